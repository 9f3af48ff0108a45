package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/rollcall-id/rollcall/internal/quota"
	"github.com/rollcall-id/rollcall/structs"
)

// AcceptStream sends the acknowledgement of a streaming call now, for a handler that may have nothing to write or
// read for a while. stream is what Handler.ServeStream was given.
func AcceptStream(stream net.Conn) error {
	s, ok := stream.(*serverStream)
	if !ok {
		return fmt.Errorf("accept stream: %T is not a stream that this package handed out", stream)
	}
	return s.acknowledge("")
}

// serveStreaming reads a streaming call's header and lets the handler have the rest.
func (e *engine) serveStreaming(ctx context.Context, c *Conn, conn net.Conn, r *Reader) (err error) {
	if !c.share.Take(quota.Streaming, 1) {
		return errTooManyStreams
	}
	defer c.share.Give(quota.Streaming, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn.SetReadDeadline(time.Now().Add(e.handshake))
	head, err := r.ReadValue("streaming header", headerLimits)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	var h streamHeader
	if err := structs.Decode(head, &h); err != nil {
		return &FrameError{What: "streaming header", Err: err}
	}
	conn.SetReadDeadline(time.Time{})
	stream, stop := newServerStream(&bufferedConn{Conn: conn, early: r.buffered()}, e.timeout, cancel)
	defer stop()
	text := ""
	if err := e.callStream(ctx, c, stream, h.Method); err != nil {
		if text = err.Error(); text == "" {
			text = "unspecified error"
		}
		e.log.Debug("streaming call ended", "method", h.Method, "peer", c.RemoteAddr(), "error", err)
	}
	// Does nothing if the handler has accepted. If it has not and the peer is gone, there is nobody to tell.
	_ = stream.acknowledge(text)
	return nil
}

func (e *engine) callStream(ctx context.Context, c *Conn, stream *serverStream, method string) (err error) {
	defer func() {
		if x := recover(); x != nil {
			e.log.Error("handler panicked", "method", method, "panic", x, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal error in %s", method)
		}
	}()
	return e.handler.ServeStream(ctx, c, stream, method)
}

// serverStream is a streaming call's connection; it accepts the call when it is first used. What the caller sends is
// read ahead by one piece, also while the handler does not read, because that is how a caller that goes away is noticed.
type serverStream struct {
	net.Conn
	in         net.Conn // where the handler reads; a pipe, since it has deadlines
	ackTimeout time.Duration

	once   sync.Once
	ackErr error
}

// newServerStream calls gone once the caller has closed its side and the handler has read everything. stop closes conn.
func newServerStream(conn net.Conn, ackTimeout time.Duration, gone func()) (stream *serverStream, stop func()) {
	in, feed := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Why it ended makes no difference to anybody: a handler that reads gets the end, one that writes an error.
		_, _ = io.Copy(feed, conn)
		feed.Close()
		gone()
	}()
	return &serverStream{Conn: conn, in: in, ackTimeout: ackTimeout}, func() {
		in.Close()
		conn.SetReadDeadline(longAgo)
		conn.Close()
		<-done
	}
}

func (s *serverStream) acknowledge(text string) error {
	s.once.Do(func() {
		b, err := structs.EncodeBytes(&streamAck{Error: text})
		if err == nil {
			s.Conn.SetWriteDeadline(time.Now().Add(s.ackTimeout))
			_, err = s.Conn.Write(b)
			s.Conn.SetWriteDeadline(time.Time{})
		}
		s.ackErr = err
	})
	return s.ackErr
}

func (s *serverStream) Read(b []byte) (int, error) {
	if err := s.acknowledge(""); err != nil {
		return 0, err
	}
	return s.in.Read(b)
}

func (s *serverStream) Write(b []byte) (int, error) {
	if err := s.acknowledge(""); err != nil {
		return 0, err
	}
	return s.Conn.Write(b)
}

func (s *serverStream) SetReadDeadline(t time.Time) error { return s.in.SetReadDeadline(t) }

func (s *serverStream) SetDeadline(t time.Time) error {
	return errors.Join(s.in.SetReadDeadline(t), s.Conn.SetWriteDeadline(t))
}

// Close ends the call; the handler need not call it.
func (s *serverStream) Close() error {
	return errors.Join(s.in.Close(), s.Conn.Close())
}

// bufferedConn is a connection some of whose bytes have been read already.
type bufferedConn struct {
	net.Conn
	early []byte
}

func (c *bufferedConn) Read(b []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(b, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// isReset tells whether err is only a connection that has ended, by either side.
func isReset(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
