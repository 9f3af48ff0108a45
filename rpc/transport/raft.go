package transport

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/rollcall-id/rollcall/internal/trust"
)

// RaftLayer hands the connections that start with Raft's byte to the Raft library and dials such connections. It is
// a net.Listener with Dial; a two-line adapter makes it raft.StreamLayer.
type RaftLayer struct {
	cfg      Config
	incoming chan net.Conn
	done     chan struct{}
	once     sync.Once

	peers *trust.Conns // those of the server, and those that are dialed

	mu   sync.Mutex // guards addr
	addr net.Addr
}

var _ net.Listener = (*RaftLayer)(nil)

func newRaftLayer(cfg Config, peers *trust.Conns) *RaftLayer {
	return &RaftLayer{cfg: cfg, peers: peers, incoming: make(chan net.Conn), done: make(chan struct{}), addr: cfg.RaftAddr}
}

func (l *RaftLayer) setDefaultAddr(a net.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.addr == nil {
		l.addr = a
	}
}

// offer gives conn to the next Accept; false if there won't be one before ctx ends or in time.
func (l *RaftLayer) offer(ctx context.Context, conn net.Conn) bool {
	t := time.NewTimer(l.cfg.HandshakeTimeout)
	defer t.Stop()
	select {
	case l.incoming <- conn:
		return true
	case <-l.done:
	case <-ctx.Done():
	case <-t.C:
	}
	return false
}

// Accept returns the next incoming Raft connection, its first bytes consumed. It fails with net.ErrClosed after Close.
func (l *RaftLayer) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close makes Accept fail and new incoming Raft connections be refused. It is idempotent and closes no connection.
func (l *RaftLayer) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr is the address that other servers reach this one at: Config.RaftAddr, else that of the first listener. It is nil before
// there is one.
func (l *RaftLayer) Addr() net.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addr
}

// Dial opens a Raft connection to address; timeout covers connecting and the TLS handshake together, 0 means 10 s.
func (l *RaftLayer) Dial(address string, timeout time.Duration) (net.Conn, error) {
	if timeout <= 0 {
		timeout = DefaultDialTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	d := dialer{tls: l.cfg.DialTLS, peers: l.peers}
	conn, _, err := d.dial(ctx, address, ByteRaft)
	if err != nil {
		return nil, fmt.Errorf("dial Raft peer %s: %w", address, err)
	}
	return conn, nil
}
