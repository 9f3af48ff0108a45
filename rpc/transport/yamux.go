package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/yamux"
)

// yamuxConfig is yamux's default (wire.md §1.2) with its log at our levels: what it calls an error is a peer that went away.
func yamuxConfig(log hclog.Logger) *yamux.Config {
	cfg := yamux.DefaultConfig()
	cfg.LogOutput = nil
	cfg.Logger = yamuxLogger{log}
	return cfg
}

type yamuxLogger struct{ log hclog.Logger }

func (l yamuxLogger) Printf(format string, args ...any) {
	switch {
	case l.log.IsTrace() && strings.HasPrefix(format, "[WARN]"):
		l.log.Trace(fmt.Sprintf(format, args...))
	case l.log.IsDebug() && !strings.HasPrefix(format, "[WARN]"):
		l.log.Debug(fmt.Sprintf(format, args...))
	}
}

func (l yamuxLogger) Print(args ...any) {
	if l.log.IsDebug() {
		l.log.Debug(fmt.Sprint(args...))
	}
}

func (l yamuxLogger) Println(args ...any) { l.Print(args...) }

// openStream opens a stream and says what it is. ctx bounds the wait for the peer to accept earlier ones.
func openStream(ctx context.Context, s *yamux.Session, first byte) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stream, err := s.OpenStream()
	if err != nil {
		return nil, err
	}
	if _, err := stream.Write([]byte{first}); err != nil {
		stream.Close()
		return nil, err
	}
	return stream, nil
}

const yamuxHeaderSize = 12

// muxConn is what yamux runs on. yamux writes a data frame's header and its body one by one; muxConn holds the header
// back until the body comes, which saves a system call (and a TLS record) a frame. yamux writes from one goroutine.
type muxConn struct {
	net.Conn
	frame []byte
	held  bool
}

func newMuxConn(c net.Conn) *muxConn { return &muxConn{Conn: c} }

func (c *muxConn) Write(b []byte) (int, error) {
	if c.held {
		c.held = false
		c.frame = append(c.frame, b...)
		_, err := c.Conn.Write(c.frame)
		if cap(c.frame) > keptBufferSize {
			c.frame = nil
		}
		if err != nil {
			return 0, err
		}
		return len(b), nil
	}
	const typeData = 0
	if len(b) == yamuxHeaderSize && b[1] == typeData && binary.BigEndian.Uint32(b[8:]) > 0 {
		c.frame = append(c.frame[:0], b...)
		c.held = true
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// refusedWrite tells whether yamux refused a write before taking any of it over.
func refusedWrite(err error) bool {
	return errors.Is(err, yamux.ErrStreamClosed) || errors.Is(err, yamux.ErrConnectionReset)
}
