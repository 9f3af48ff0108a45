package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/rollcall-id/rollcall/internal/quota"
	"github.com/rollcall-id/rollcall/internal/trust"
)

// Conn is one connection of a peer: a session with its streams, or a single conversation. It is safe for
// concurrent use and stays valid, if useless, after the connection has ended.
type Conn struct {
	raw         net.Conn
	session     *yamux.Session
	tls         *tls.ConnectionState
	established time.Time
	done        chan struct{}
	endOnce     sync.Once
	budget      *budget // for the requests that the peer sends
	share       *quota.Share
	calls       atomic.Int64 // of the peer, that are being answered
}

func newConn(raw net.Conn, state *tls.ConnectionState, budgetBytes int, share *quota.Share) *Conn {
	c := &Conn{raw: raw, tls: state, established: time.Now(), done: make(chan struct{}), budget: newBudget(budgetBytes, share), share: share}
	trust.FinishFirst(raw, func() bool { return c.calls.Load() > 0 })
	return c
}

// reader returns a Reader for the requests on one of the connection's streams.
func (c *Conn) reader(stream net.Conn, timeout time.Duration) *Reader {
	r := NewReader(stream, timeout)
	r.budget = c.budget
	return r
}

// end marks the connection as ended.
func (c *Conn) end() { c.endOnce.Do(func() { close(c.done) }) }

// ended tells whether the whole connection has ended, which ends its streams without being their fault.
func (c *Conn) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return c.session != nil && c.session.IsClosed()
	}
}

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// LocalAddr is our address on this connection.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// Session is the yamux session, nil if the connection has none.
func (c *Conn) Session() *yamux.Session { return c.session }

// TLSState describes the TLS connection after its handshake, nil if the connection is plain. It must not be modified.
func (c *Conn) TLSState() *tls.ConnectionState { return c.tls }

// Established is when the connection had said what it is.
func (c *Conn) Established() time.Time { return c.established }

// Done is closed when the connection has ended; handlers of its last requests may still be returning.
func (c *Conn) Done() <-chan struct{} { return c.done }

// ErrNoSession is returned by OpenReverse on a connection that can't carry streams. Wait for the peer to connect otherwise.
var ErrNoSession = errors.New("connection has no session to open streams on")

// OpenReverse opens a conversation toward the dialer of this connection (wire.md §1.2), for CallStream. The caller
// closes it. One call may be in flight on it at a time; any number may follow each other.
func (c *Conn) OpenReverse(ctx context.Context) (net.Conn, error) { return c.openReverse(ctx, ByteRPC) }

// StreamReverse starts a streaming call of the dialer of this connection, on a connection that the caller closes. ctx
// bounds only the start. The error is of the kinds that Pool.Call has.
func (c *Conn) StreamReverse(ctx context.Context, method string) (net.Conn, error) {
	conn, err := c.openReverse(ctx, ByteStreaming)
	if err != nil {
		return nil, &TransportError{Op: opStartStream, Err: err}
	}
	stream, err := startStreamWithin(ctx, conn, method)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return stream, nil
}

func (c *Conn) openReverse(ctx context.Context, first byte) (net.Conn, error) {
	if c.session == nil {
		return nil, fmt.Errorf("open reverse stream to %s: %w", c.RemoteAddr(), ErrNoSession)
	}
	stream, err := openStream(ctx, c.session, first)
	if err != nil {
		return nil, fmt.Errorf("open reverse stream to %s: %w", c.RemoteAddr(), err)
	}
	return stream, nil
}
