package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/rollcall-id/rollcall/internal/quota"
)

// Why connections are closed before they do anything.
var (
	errNestedTLS   = errors.New("nested TLS is not allowed")
	errNoTLS       = errors.New("peer wants TLS, which is not configured here")
	errTLSRequired = errors.New("peer does not use TLS, which is required here")
	errNoRaft      = errors.New("no part of this server accepts Raft connections now")
)

type badByteError struct{ b byte }

func (e badByteError) Error() string { return fmt.Sprintf("unknown first byte 0x%02x", e.b) }

// serveConn finds out what a connection is and serves it to its end. handed means that the connection belongs to somebody
// else now.
func (s *Server) serveConn(raw net.Conn, share *quota.Share) (handed bool, err error) {
	conn := raw
	var state *tls.ConnectionState
	first, err := s.firstByte(conn)
	if err == nil && first == ByteTLS {
		var tc *tls.Conn
		if tc, err = s.handshake(raw); err != nil {
			return false, err
		}
		defer func() {
			if !handed {
				_ = tc.NetConn().Close() // it leaves its set
			}
		}()
		conn = tc
		cs := tc.ConnectionState()
		state = &cs
		if first, err = s.firstByte(conn); err == nil && first == ByteTLS {
			return false, errNestedTLS
		}
	} else if err == nil && s.cfg.RequireTLS {
		return false, errTLSRequired
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			return false, nil // somebody looked whether the port is open
		}
		return false, fmt.Errorf("waiting for the first byte: %w", err)
	}

	c := newConn(conn, state, budgetBodies*s.cfg.MaxRequestBytes, share)
	if first == ByteRaft {
		return s.handToRaft(c)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer c.end()
	defer cancel()
	switch first {
	case ByteRPC:
		return false, s.engine().serve(ctx, c, conn, c.reader(conn, s.cfg.FrameTimeout))
	case ByteMultiplex, ByteMultiplexV2:
		return false, s.serveSession(ctx, c, first == ByteMultiplexV2)
	case ByteStreaming:
		return false, s.engine().serveStreaming(ctx, c, conn, NewReader(conn, 0))
	}
	return false, badByteError{first}
}

func (s *Server) engine() *engine {
	return &engine{handler: s.cfg.Handler, log: s.log, limits: s.limits, timeout: s.cfg.FrameTimeout, handshake: s.cfg.HandshakeTimeout,
		maxInFlight: s.cfg.MaxInFlight, workers: &s.workers, overloaded: s.cfg.Overloaded}
}

// firstByte reads a connection's first byte under the handshake deadline.
func (s *Server) firstByte(conn net.Conn) (byte, error) {
	var b [1]byte
	conn.SetReadDeadline(time.Now().Add(s.cfg.HandshakeTimeout))
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return 0, err
	}
	return b[0], conn.SetReadDeadline(time.Time{})
}

func (s *Server) handshake(raw net.Conn) (*tls.Conn, error) {
	under := s.peers.Under(raw)
	var cfg *tls.Config
	if s.cfg.TLSConfig != nil {
		cfg = s.cfg.TLSConfig()
	}
	if cfg == nil {
		return nil, errNoTLS
	}
	tc := tls.Server(under, cfg)
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.HandshakeTimeout)
	defer cancel()
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("during the TLS handshake: %w", err)
	}
	if err := under.Shown(tc.ConnectionState(), s.cfg.TLSConfig); err != nil {
		_ = under.Close()
		return nil, err
	}
	return tc, nil
}

func (s *Server) handToRaft(c *Conn) (handed bool, err error) {
	if s.cfg.AuthorizeRaft != nil {
		if err := s.cfg.AuthorizeRaft(c); err != nil {
			return false, fmt.Errorf("refuse Raft connection: %w", err)
		}
	}
	c.share.Close()
	if !s.raft.offer(s.ctx, c.raw) {
		return false, errNoRaft
	}
	return true, nil
}

// serveSession serves a yamux session to its end.
func (s *Server) serveSession(ctx context.Context, c *Conn, typed bool) error {
	ctx, cancel := context.WithCancel(ctx)
	conn := newMuxConn(c.raw)
	conn.ended = c.end
	session, err := yamux.Server(conn, yamuxConfig(s.log))
	if err != nil {
		cancel()
		return fmt.Errorf("start session: %w", err)
	}
	c.session = session
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { conn.keepAlive(session) })
	defer cancel()
	defer c.end()
	defer conn.closeSession(session)
	var open atomic.Int32
	var streamErr onceError
	eng := s.engine()
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return streamErr.or(sessionError(err))
		}
		if session.NumStreams()-int(open.Load()) > maxLingering {
			return streamErr.or(errLingering)
		}
		if open.Add(1) > int32(s.cfg.MaxStreams) {
			open.Add(-1)
			stream.Close()
			streamErr.set(fmt.Errorf("more than %d streams open", s.cfg.MaxStreams))
			continue
		}
		if !c.share.Take(quota.Streams, 1) {
			open.Add(-1)
			stream.Close()
			streamErr.set(errTooManyOpenStreams)
			continue
		}
		wg.Add(1)
		conn.beginReading(stream)
		go func() {
			defer wg.Done()
			defer conn.endReading(stream)
			defer open.Add(-1)
			defer c.share.Give(quota.Streams, 1)
			defer stream.Close()
			streamErr.set(s.serveStream(ctx, c, eng, stream, typed))
		}()
	}
}

// serveStream serves one stream of a session; typed streams start with a byte of their own.
func (s *Server) serveStream(ctx context.Context, c *Conn, eng *engine, stream net.Conn, typed bool) error {
	r := c.reader(stream, s.cfg.FrameTimeout)
	if !typed {
		return eng.serve(ctx, c, stream, r)
	}
	stream.SetReadDeadline(time.Now().Add(s.cfg.HandshakeTimeout))
	first, err := r.readByte()
	if err != nil {
		if errors.Is(err, io.EOF) || c.ended() {
			return nil
		}
		return fmt.Errorf("waiting for a stream's first byte: %w", err)
	}
	stream.SetReadDeadline(time.Time{})
	switch first {
	case ByteRPC:
		return eng.serve(ctx, c, stream, r)
	case ByteStreaming:
		return eng.serveStreaming(ctx, c, stream, r)
	}
	return fmt.Errorf("stream: %w", badByteError{first})
}

// sessionError drops what is only the peer's leaving.
func sessionError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, yamux.ErrSessionShutdown) || isReset(err) {
		return nil
	}
	return fmt.Errorf("session: %w", err)
}

// onceError keeps the first error of a connection's streams, so that a connection is worth one log line however many
// of its streams go wrong.
type onceError struct {
	mu  sync.Mutex
	err error
}

func (o *onceError) set(err error) {
	if err == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
}

func (o *onceError) or(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	return err
}
