package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// First bytes of connections and streams (docs/wire.md §1.1).
const (
	byteRPC         = 0x01
	byteMultiplex   = 0x03
	byteTLS         = 0x04
	byteMultiplexV2 = 0x06
)

// callLimit bounds a call that does not wait on purpose.
const callLimit = 30 * time.Second

// RemoteError is the text that a server answered with.
type RemoteError string

func (e RemoteError) Error() string { return string(e) }

// Stream is one conversation of calls, one after the other.
type Stream struct {
	conn net.Conn
	r    *bufio.Reader
	seq  uint64
}

// DialPlain opens the oldest kind of connection: one conversation, right on the socket.
func DialPlain(ctx context.Context, addr string) (*Stream, error) {
	conn, err := dial(ctx, addr, byteRPC)
	if err != nil {
		return nil, err
	}
	return newStream(conn), nil
}

// DialTLS is DialPlain with TLS inside of the connection.
func DialTLS(ctx context.Context, addr string, conf *tls.Config) (*Stream, error) {
	conn, err := dial(ctx, addr, byteTLS)
	if err != nil {
		return nil, err
	}
	secure := tls.Client(conn, conf)
	if _, err := secure.Write([]byte{byteRPC}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return newStream(secure), nil
}

func dial(ctx context.Context, addr string, first byte) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte{first}); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func newStream(conn net.Conn) *Stream {
	return &Stream{conn: conn, r: bufio.NewReader(conn), seq: 1000} // callers begin anywhere
}

// Close ends the conversation.
func (s *Stream) Close() error { return s.conn.Close() }

// Call makes one call and returns the reply, or a RemoteError. wait is how long the server is asked to hold it.
func (s *Stream) Call(method string, args Map, wait time.Duration) (any, error) {
	if err := s.conn.SetDeadline(time.Now().Add(callLimit + wait)); err != nil {
		return nil, err
	}
	s.seq++
	b := Append(nil, Map{"Seq": s.seq, "ServiceMethod": method})
	if _, err := s.conn.Write(Append(b, args)); err != nil {
		return nil, fmt.Errorf("send %s: %w", method, err)
	}
	head, err := Read(s.r)
	if err != nil {
		return nil, fmt.Errorf("read header of the answer to %s: %w", method, err)
	}
	body, err := Read(s.r)
	if err != nil {
		return nil, fmt.Errorf("read answer to %s: %w", method, err)
	}
	h, _ := head.(Map)
	if text, ok := h["Error"].(string); !ok || len(h) != 3 || h["ServiceMethod"] != method || number(h["Seq"]) != s.seq {
		return nil, fmt.Errorf("the answer to %s, number %d, has the header %v", method, s.seq, head)
	} else if text != "" {
		if m, ok := body.(Map); !ok || len(m) != 0 {
			return nil, fmt.Errorf("beside the error %q there is the body %v, want an empty map", text, body)
		}
		return nil, RemoteError(text)
	}
	return body, nil
}

// number makes one kind of both kinds of whole numbers.
func number(v any) uint64 {
	switch n := v.(type) {
	case int64:
		return uint64(n)
	case uint64:
		return n
	}
	return 0
}

// Session is a connection that carries many streams, in both directions.
type Session struct {
	mux *yamux.Session
	v2  bool

	served sync.WaitGroup
}

// Dial opens the kind of connection that client agents use today. answer is called for each call that the server makes to the
// client; nil refuses them.
func Dial(ctx context.Context, addr string, answer func(method string, args Map) (any, error)) (*Session, error) {
	return dialSession(ctx, addr, byteMultiplexV2, answer)
}

// DialV1 opens the kind of connection before that: its streams have no byte of their own.
func DialV1(ctx context.Context, addr string) (*Session, error) {
	return dialSession(ctx, addr, byteMultiplex, nil)
}

func dialSession(ctx context.Context, addr string, first byte, answer func(string, Map) (any, error)) (*Session, error) {
	conn, err := dial(ctx, addr, first)
	if err != nil {
		return nil, err
	}
	conf := yamux.DefaultConfig()
	conf.LogOutput = io.Discard
	mux, err := yamux.Client(conn, conf)
	if err != nil {
		conn.Close()
		return nil, err
	}
	s := &Session{mux: mux, v2: first == byteMultiplexV2}
	s.served.Go(func() { s.accept(answer) })
	return s, nil
}

// Close ends the session with its streams.
func (s *Session) Close() error {
	err := s.mux.Close()
	s.served.Wait()
	return err
}

// Stream opens a conversation toward the server.
func (s *Session) Stream() (*Stream, error) {
	conn, err := s.mux.Open()
	if err != nil {
		return nil, err
	}
	if s.v2 {
		if _, err := conn.Write([]byte{byteRPC}); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return newStream(conn), nil
}

// accept serves the streams that the server opens.
func (s *Session) accept(answer func(string, Map) (any, error)) {
	for {
		conn, err := s.mux.Accept()
		if err != nil {
			return
		}
		s.served.Go(func() {
			defer conn.Close()
			_ = serve(conn, answer) // the server sees what went wrong
		})
	}
}

// serve answers the calls of one stream until it ends.
func serve(conn net.Conn, answer func(string, Map) (any, error)) error {
	r := bufio.NewReader(conn)
	if first, err := r.ReadByte(); err != nil || first != byteRPC {
		return errors.Join(err, fmt.Errorf("a stream begins with %#x", first))
	}
	for {
		head, err := Read(r)
		if err != nil {
			return err
		}
		body, err := Read(r)
		if err != nil {
			return err
		}
		h, _ := head.(Map)
		args, _ := body.(Map)
		method, _ := h["ServiceMethod"].(string)
		text := ""
		var reply any = Map{}
		if answer == nil {
			text = "rpc: can't find service " + method
		} else if out, err := answer(method, args); err != nil {
			text = err.Error()
		} else {
			reply = out
		}
		b := Append(nil, Map{"Error": text, "Seq": number(h["Seq"]), "ServiceMethod": method})
		if _, err := conn.Write(Append(b, reply)); err != nil {
			return err
		}
	}
}
