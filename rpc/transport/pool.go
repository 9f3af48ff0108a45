package transport

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/internal/trust"
	"github.com/rollcall-id/rollcall/structs"
)

// Defaults of PoolConfig, from wire.md §1.1 and §1.2 where it has them.
const (
	DefaultDialTimeout    = 10 * time.Second
	DefaultIdleTimeout    = 5 * time.Minute
	DefaultMaxIdleStreams = 64
)

// PoolConfig configures a Pool. The zero value is a plain-TCP pool with the defaults.
type PoolConfig struct {
	Logger hclog.Logger // nil: no logging

	// DialTLS is the client configuration for a connection to addr; nil, or a nil result: plain.
	DialTLS func(addr string) *tls.Config
	// Dial opens the connection that everything else runs on; nil: TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Reverse serves the conversations and streaming calls that servers open toward us on our sessions; nil: they are closed.
	Reverse Handler

	DialTimeout      time.Duration // TCP connection and TLS handshake together
	IdleTimeout      time.Duration // after which a session without calls is closed
	MaxIdleStreams   int           // idle streams kept for reuse on one session
	MaxResponseBytes int           // longest body of a response
}

func (c PoolConfig) withDefaults() PoolConfig {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	setDefault(&c.DialTimeout, DefaultDialTimeout)
	setDefault(&c.IdleTimeout, DefaultIdleTimeout)
	setDefault(&c.MaxIdleStreams, DefaultMaxIdleStreams)
	setDefault(&c.MaxResponseBytes, DefaultMaxResponseBytes)
	return c
}

// Pool calls servers over one session an address. It is safe for concurrent use.
type Pool struct {
	cfg     PoolConfig
	log     hclog.Logger
	dialer  dialer
	limits  structs.Limits // of responses
	workers workers
	reverse *engine // nil: servers may not call us

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	sessions map[string]*session
	dials    map[string]*leadDial
	shut     bool
}

// NewPool returns a pool without connections.
func NewPool(cfg PoolConfig) *Pool {
	cfg = cfg.withDefaults()
	p := &Pool{
		cfg:      cfg,
		log:      cfg.Logger,
		dialer:   dialer{tls: cfg.DialTLS, raw: cfg.Dial, peers: new(trust.Conns)},
		limits:   structs.Limits{MaxBytes: cfg.MaxResponseBytes},
		sessions: make(map[string]*session),
		dials:    make(map[string]*leadDial),
	}
	if cfg.Reverse != nil {
		p.reverse = &engine{handler: cfg.Reverse, log: cfg.Logger, timeout: DefaultFrameTimeout, handshake: DefaultHandshakeTimeout, maxInFlight: DefaultMaxInFlight,
			overloaded: structs.ErrOverloaded, workers: &p.workers, limits: structs.Limits{MaxBytes: DefaultMaxRequestBytes, MaxValues: maxRequestValues}}
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wg.Add(1)
	go p.reap()
	return p
}

// Recheck closes the connections to servers that DialTLS's configuration of now does not trust, and returns why, one error for each.
// New calls dial anew at once; those under way have trust.Grace to end, and it waits for them.
func (p *Pool) Recheck() []error {
	p.mu.Lock()
	for addr, s := range p.sessions {
		if state := s.conn.TLSState(); state != nil && trust.Verify(p.cfg.DialTLS(addr), *state) != nil {
			delete(p.sessions, addr)
		}
	}
	p.mu.Unlock()
	return p.dialer.peers.Recheck()
}

// Call calls method at addr with args and decodes the answer into the pointer reply; nil drops it. args and reply may be
// a codec.Raw and a *codec.Raw to pass bodies on unread. It blocks until the answer is there or ctx ends.
//
// The error is a *RemoteError if the server answered with one, else a *TransportError, or, if args can't be encoded or the answer
// does not fit reply, an error of structs. A call that certainly has not been sent because its session was found dead
// is sent once more over a new session; further retries are the caller's (NeverSent).
func (p *Pool) Call(ctx context.Context, addr, method string, args, reply any) error {
	c := calls.Get().(*call)
	defer c.free()
	if err := c.encode(method, args); err != nil {
		return err
	}
	for retried := false; ; retried = true {
		err := p.try(ctx, addr, c, reply)
		if retried || ctx.Err() != nil {
			return err
		}
		if te, ok := err.(*TransportError); !ok || te.Sent || te.Op == opGetConn {
			return err
		}
	}
}

// try makes one attempt at a call.
func (p *Pool) try(ctx context.Context, addr string, c *call, reply any) error {
	s, err := p.session(ctx, addr)
	if err != nil {
		return &TransportError{Addr: addr, Op: opGetConn, Err: err}
	}
	st, err := s.take()
	if err != nil {
		p.drop(s)
		return &TransportError{Addr: addr, Op: opStartStream, Err: err}
	}
	reuse, err := c.exchange(ctx, st, p.limits, reply)
	s.give(st, reuse)
	if te, ok := err.(*TransportError); ok {
		te.Addr = addr
	}
	return err
}

// Stream starts a streaming call (wire.md §1.10) on a connection of its own, which the caller closes. ctx bounds only
// the start. The error is of the kinds that Call has.
func (p *Pool) Stream(ctx context.Context, addr, method string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.DialTimeout)
	defer cancel()
	conn, _, err := p.dialer.dial(ctx, addr, ByteStreaming)
	if err != nil {
		return nil, &TransportError{Addr: addr, Op: opGetConn, Err: err}
	}
	stream, err := startStreamWithin(ctx, conn, method)
	if err != nil {
		conn.Close()
		if te, ok := err.(*TransportError); ok {
			te.Addr = addr
		}
		return nil, err
	}
	return stream, nil
}

// CloseAddr closes the session to addr, if there is one; calls in flight on it fail.
func (p *Pool) CloseAddr(addr string) {
	p.mu.Lock()
	s := p.sessions[addr]
	p.mu.Unlock()
	if s != nil {
		p.drop(s)
	}
}

// Close closes all sessions, fails all calls and waits for the reverse handlers to return. Connections from Stream are not
// touched. It is idempotent.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.shut = true
	p.cancel()
	var all []*session
	for _, s := range p.sessions {
		all = append(all, s)
	}
	p.mu.Unlock()
	for _, s := range all {
		p.drop(s)
	}
	p.wg.Wait()
	p.workers.close()
	return nil
}
