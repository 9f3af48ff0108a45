package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/internal/quietlog"
	"github.com/rollcall-id/rollcall/internal/quota"
	"github.com/rollcall-id/rollcall/internal/trust"
	"github.com/rollcall-id/rollcall/structs"
)

// Defaults of Config, from wire.md §1.1 where it has them.
const (
	DefaultHandshakeTimeout = 5 * time.Second
	DefaultMaxConnsPerIP    = 100
	DefaultMaxStreamsPerIP  = 2048
	DefaultMaxRequestsPerIP = 2048
	DefaultMaxBytesPerIP    = 16 << 20
	DefaultMaxInFlight      = 64
	DefaultMaxStreams       = 4096
	DefaultMaxRequestBytes  = 2 << 20
	DefaultMaxResponseBytes = 256 << 20
	DefaultFrameTimeout     = time.Minute
	// maxLingering is how many streams of a session may be closed here alone: they are kept for minutes, for a peer that may still
	// send. Who closes what is closed has hardly any; who opens one after the other would fill the memory with them.
	maxLingering        = 1024
	maxHeaderBytes      = 4 << 10
	maxRequestValues    = 1 << 17 // bounds what a body of one-byte values can grow to when decoded
	valueCost           = 32      // bytes that a value counts for besides its own, for what decoding makes of it
	budgetBodies        = 8       // request bodies of the largest size that one connection may have unfinished
	nonStreamingReserve = 20      // connections of a source that streaming calls must leave free
	acceptBackoffMin    = 5 * time.Millisecond
	acceptBackoffMax    = time.Second
)

// Config configures a Server. Handler is required; zero values of the rest mean the defaults.
type Config struct {
	Handler Handler
	Logger  hclog.Logger // nil: no logging

	// TLSConfig returns the configuration for the next incoming TLS connection. Nil, or a nil result: TLS is refused.
	TLSConfig func() *tls.Config
	// RequireTLS refuses every connection that is not TLS.
	RequireTLS bool

	// RaftAddr is the address that RaftLayer reports; nil: the address of the first listener.
	RaftAddr net.Addr
	// DialTLS is the configuration for RaftLayer's connections to addr; nil, or a nil result: plain.
	DialTLS func(addr string) *tls.Config
	// AuthorizeRaft decides whether a connection may speak Raft; nil: all may.
	AuthorizeRaft func(c *Conn) error

	// HandshakeTimeout is how long a connection may take to say what it is, a TLS handshake to finish, and a new
	// stream to say what it is, each.
	HandshakeTimeout time.Duration
	// FrameTimeout is how long a request may take to arrive once its first bytes have, and a reply to leave.
	FrameTimeout time.Duration

	// MaxConnsPerIP bounds the connections of one source address; streaming calls may use all but 20 of them
	// (at least one). Raft's connections don't count. Negative: no limit.
	MaxConnsPerIP int
	// MaxStreamsPerIP bounds the open streams of one source address, MaxRequestsPerIP its requests that are handled, and
	// MaxBytesPerIP those of its requests that are read or handled, with an allowance for what decoding makes of them. Negative: no limit.
	MaxStreamsPerIP, MaxRequestsPerIP, MaxBytesPerIP int
	// Trusted names the addresses to which those three don't apply: other servers speak for many. nil: none.
	Trusted func(netip.Addr) bool
	// Overloaded is what a request beyond MaxRequestsPerIP is answered with; nil: structs.ErrOverloaded.
	Overloaded error
	// LogRate is how many lines a second are written about connections that end badly.
	LogRate int
	// Metrics counts what is refused; nil: nobody does.
	Metrics Metrics
	// MaxInFlight bounds the requests of one stream that are handled at the same time; further ones wait.
	MaxInFlight int
	// MaxStreams bounds the open streams of one session; further ones are closed at once.
	MaxStreams int
	// MaxRequestBytes bounds the body of one request; eight times as much bounds the bodies that one connection may
	// have unfinished, being read or handled, on all its streams.
	MaxRequestBytes int
}

// Metrics receives counters.
type Metrics interface {
	IncrCounter(key []string, n float32)
}

type noMetrics struct{}

func (noMetrics) IncrCounter([]string, float32) {}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	setDefault(&c.HandshakeTimeout, DefaultHandshakeTimeout)
	setDefault(&c.FrameTimeout, DefaultFrameTimeout)
	setDefault(&c.MaxConnsPerIP, DefaultMaxConnsPerIP)
	setDefault(&c.MaxStreamsPerIP, DefaultMaxStreamsPerIP)
	setDefault(&c.MaxRequestsPerIP, DefaultMaxRequestsPerIP)
	setDefault(&c.MaxBytesPerIP, DefaultMaxBytesPerIP)
	setDefault(&c.Overloaded, structs.ErrOverloaded)
	setDefault[Metrics](&c.Metrics, noMetrics{})
	setDefault(&c.MaxInFlight, DefaultMaxInFlight)
	setDefault(&c.MaxStreams, DefaultMaxStreams)
	setDefault(&c.MaxRequestBytes, DefaultMaxRequestBytes)
	return c
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Server serves the RPC port.
type Server struct {
	cfg     Config
	log     hclog.Logger
	limits  structs.Limits
	quota   *quota.Book
	raft    *RaftLayer
	workers workers
	closed  *quietlog.Log
	peers   trust.Conns // all with TLS, Raft's too

	ctx    context.Context
	cancel context.CancelCauseFunc // with ErrShutdown, which calls under way see as their cause
	wg     sync.WaitGroup

	mu        sync.Mutex // guards the fields below
	listeners map[net.Listener]struct{}
	open      map[net.Conn]struct{}
	shut      bool
}

// New returns a server that serves no listener yet.
func New(cfg Config) *Server {
	cfg = cfg.withDefaults()
	s := &Server{
		cfg:       cfg,
		log:       cfg.Logger,
		limits:    structs.Limits{MaxBytes: cfg.MaxRequestBytes, MaxValues: maxRequestValues},
		quota:     newQuota(cfg),
		listeners: make(map[net.Listener]struct{}),
		open:      make(map[net.Conn]struct{}),
	}
	s.closed = quietlog.New(cfg.Logger, cfg.LogRate)
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.raft = newRaftLayer(cfg, &s.peers)
	return s
}

// Recheck closes the connections whose peers the TLS configurations of now do not trust, and returns why, one error for each. It
// reaches those that Raft has been given, and those that RaftLayer has dialed.
func (s *Server) Recheck() []error { return s.peers.Recheck() }

// RaftLayer is where Raft gets its connections from.
func (s *Server) RaftLayer() *RaftLayer { return s.raft }

// Serve accepts connections from ln until Close, and then returns nil, or until ln fails for good. It closes ln. Several listeners may be
// served at once.
func (s *Server) Serve(ln net.Listener) error {
	if !s.addListener(ln) {
		ln.Close()
		return nil
	}
	defer s.dropListener(ln)
	s.raft.setDefaultAddr(ln.Addr())
	backoff := time.Duration(0)
	for {
		raw, err := ln.Accept()
		if err == nil {
			backoff = 0
			s.accept(raw)
			continue
		}
		if s.ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		}
		backoff = min(max(2*backoff, acceptBackoffMin), acceptBackoffMax)
		s.log.Error("accepting connections", "listener", ln.Addr(), "error", err, "retry_in", backoff)
		select {
		case <-time.After(backoff):
		case <-s.ctx.Done():
			return nil
		}
	}
}

func (s *Server) addListener(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return false
	}
	s.listeners[ln] = struct{}{}
	s.wg.Add(1)
	return true
}

func (s *Server) dropListener(ln net.Listener) {
	ln.Close()
	s.mu.Lock()
	delete(s.listeners, ln)
	s.mu.Unlock()
	s.wg.Done()
}

// accept starts serving a connection unless its source has too many.
func (s *Server) accept(raw net.Conn) {
	share, ok := s.quota.Open(raw.RemoteAddr())
	if !ok {
		raw.Close()
		s.report(raw, errTooManyConns)
		return
	}
	tuneTCP(raw)
	s.mu.Lock()
	if s.shut {
		s.mu.Unlock()
		share.Close()
		raw.Close()
		return
	}
	s.open[raw] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.wg.Done()
		defer share.Close()
		handed, err := s.serveConn(raw, share)
		s.mu.Lock()
		delete(s.open, raw)
		s.mu.Unlock()
		if !handed {
			raw.Close()
		}
		if err != nil && s.ctx.Err() == nil {
			s.report(raw, err)
		}
	}()
}

// Close stops listening, ends every connection and every handler's context, and waits until all handlers have
// returned. It closes RaftLayer too; connections that Raft already has are Raft's to close. It is idempotent.
func (s *Server) Close() error {
	s.mu.Lock()
	s.shut = true
	s.cancel(ErrShutdown)
	for ln := range s.listeners {
		ln.Close()
	}
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.raft.Close()
	s.wg.Wait()
	s.workers.close()
	return nil
}
