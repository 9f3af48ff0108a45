package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/rollcall-id/rollcall/internal/trust"
)

// session is a Pool's yamux session to one address.
type session struct {
	addr string
	raw  *muxConn
	mux  *yamux.Session
	conn *Conn

	mu       sync.Mutex // guards the fields below
	idle     []*clientStream
	active   int // calls in flight
	lastUsed time.Time
	maxIdle  int
}

// clientStream is a conversation that we are the caller of.
type clientStream struct {
	net.Conn
	r     *Reader
	fresh bool // its first byte has not been written
	timed bool // it may carry the deadline of an earlier call
}

// take returns a stream for one call: an idle one, else a new one, whose first byte goes out with the request.
func (s *session) take() (*clientStream, error) {
	s.mu.Lock()
	s.active++
	if n := len(s.idle); n > 0 {
		st := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.mu.Unlock()
		return st, nil
	}
	s.mu.Unlock()
	st, err := s.mux.OpenStream()
	if err != nil {
		s.give(nil, false)
		return nil, err
	}
	return &clientStream{Conn: st, r: NewReader(st, 0), fresh: true}, nil
}

// give takes a stream back after its call; reuse says that it is fit for another.
func (s *session) give(st *clientStream, reuse bool) {
	s.mu.Lock()
	s.active--
	s.lastUsed = time.Now()
	if reuse && len(s.idle) < s.maxIdle {
		s.idle = append(s.idle, st)
		st = nil
	}
	s.mu.Unlock()
	if st != nil {
		st.Close()
	}
}

// idleSince returns since when no call has been in flight; ok is false if one is.
func (s *session) idleSince() (t time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastUsed, s.active == 0
}

// leadDial is a dial under way; all callers that want its address wait for it.
type leadDial struct {
	done chan struct{}
	s    *session
	err  error
}

var errNoLead = errors.New(RPCErrorPrefix + "lead thread didn't get connection")

var errPoolShut = fmt.Errorf("%s%w", RPCErrorPrefix, ErrShutdown)

// session returns a live session to addr, dialling if there is none. Only one dial an address is under way at a time; it
// does not end with the context of the caller that caused it, since others wait for it too.
func (p *Pool) session(ctx context.Context, addr string) (*session, error) {
	p.mu.Lock()
	if p.shut {
		p.mu.Unlock()
		return nil, errPoolShut
	}
	if s := p.sessions[addr]; s != nil && !s.mux.IsClosed() {
		p.mu.Unlock()
		return s, nil
	}
	d, waiting := p.dials[addr]
	if !waiting {
		d = &leadDial{done: make(chan struct{})}
		p.dials[addr] = d
		p.wg.Add(1)
		go p.lead(addr, d)
	}
	p.mu.Unlock()
	select {
	case <-d.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if d.err != nil && waiting {
		return nil, fmt.Errorf("%w: %w", errNoLead, d.err)
	}
	return d.s, d.err
}

// lead dials addr for everybody who waits on d.
func (p *Pool) lead(addr string, d *leadDial) {
	defer p.wg.Done()
	d.s, d.err = p.connect(addr)
	p.mu.Lock()
	delete(p.dials, addr)
	if d.err == nil && p.shut {
		d.s.close()
		d.s, d.err = nil, errPoolShut
	}
	if d.err == nil {
		p.sessions[addr] = d.s
		p.wg.Add(1)
		go p.serveReverse(d.s)
	}
	p.mu.Unlock()
	close(d.done)
}

func (p *Pool) connect(addr string) (*session, error) {
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.DialTimeout)
	defer cancel()
	raw, state, err := p.dialer.dial(ctx, addr, ByteMultiplexV2)
	if err != nil {
		return nil, err
	}
	under := newMuxConn(raw)
	mux, err := yamux.Client(under, yamuxConfig(p.log))
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("start session: %w", err)
	}
	c := newConn(raw, state, budgetBodies*DefaultMaxRequestBytes, nil)
	c.session = mux
	s := &session{addr: addr, raw: under, mux: mux, conn: c, lastUsed: time.Now(), maxIdle: p.cfg.MaxIdleStreams}
	trust.FinishFirst(raw, func() bool {
		_, idle := s.idleSince()
		return !idle || c.calls.Load() > 0
	})
	return s, nil
}

// drop closes s and forgets it, unless another has taken its place already.
func (p *Pool) drop(s *session) {
	p.mu.Lock()
	if p.sessions[s.addr] == s {
		delete(p.sessions, s.addr)
	}
	p.mu.Unlock()
	s.close()
}

// close ends the session, once what was written has gone out.
func (s *session) close() {
	s.raw.flush()
	s.raw.closeSession(s.mux)
}

// serveReverse serves the streams that the server opens on s, until s ends.
func (p *Pool) serveReverse(s *session) {
	defer p.wg.Done()
	ctx, cancel := context.WithCancel(p.ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.raw.keepAlive(s.mux) })
	for {
		stream, err := s.mux.AcceptStream()
		if err != nil {
			break
		}
		if p.reverse == nil {
			stream.Close()
			continue
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer stream.Close()
			if err := p.serveReverseStream(ctx, s, stream); err != nil {
				p.log.Debug("reverse stream closed", "server", s.addr, "reason", err)
			}
		}()
	}
	s.conn.end()
	cancel()
	p.drop(s)
	wg.Wait()
}

func (p *Pool) serveReverseStream(ctx context.Context, s *session, stream net.Conn) error {
	r := s.conn.reader(stream, p.reverse.timeout)
	stream.SetReadDeadline(time.Now().Add(p.reverse.handshake))
	first, err := r.readByte()
	if err != nil {
		return fmt.Errorf("waiting for the first byte: %w", err)
	}
	stream.SetReadDeadline(time.Time{})
	switch first {
	case ByteRPC:
		return p.reverse.serve(ctx, s.conn, stream, r)
	case ByteStreaming:
		return p.reverse.serveStreaming(ctx, s.conn, stream, r)
	}
	return badByteError{first}
}

// reap closes sessions that have been idle for too long.
func (p *Pool) reap() {
	defer p.wg.Done()
	if p.cfg.IdleTimeout < 0 {
		return
	}
	tick := time.NewTicker(max(p.cfg.IdleTimeout/10, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-p.ctx.Done():
			return
		}
		for _, s := range p.takeStale(time.Now()) {
			s.close()
		}
	}
}

// takeStale forgets and returns the sessions that have been idle for too long. It does so under the pool's lock, so that no new call gets a
// session that is about to be closed.
func (p *Pool) takeStale(now time.Time) []*session {
	p.mu.Lock()
	defer p.mu.Unlock()
	var stale []*session
	for _, s := range p.sessions {
		if since, idle := s.idleSince(); idle && now.Sub(since) >= p.cfg.IdleTimeout {
			stale = append(stale, s)
			delete(p.sessions, s.addr)
		}
	}
	return stale
}
