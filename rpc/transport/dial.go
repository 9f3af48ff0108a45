package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/rollcall-id/rollcall/internal/trust"
)

const tcpKeepAlive = 15 * time.Second

// dialer opens connections and says what they are.
type dialer struct {
	tls func(addr string) *tls.Config
	raw func(ctx context.Context, addr string) (net.Conn, error)
	// peers are the connections with TLS, to be looked at again when the authorities change.
	peers *trust.Conns
}

// dial connects to addr, starts TLS if configured, and writes the first byte. ctx bounds all of it.
func (d dialer) dial(ctx context.Context, addr string, first byte) (net.Conn, *tls.ConnectionState, error) {
	dialRaw := d.raw
	if dialRaw == nil {
		dialRaw = dialTCP
	}
	conn, err := dialRaw(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	tuneTCP(conn)
	stop := interruptOnDone(ctx, conn)
	state, wrapped, err := d.hello(ctx, addr, conn, first)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		if tc, ok := wrapped.(*tls.Conn); ok {
			_ = tc.NetConn().Close() // it leaves its set
		}
		conn.Close()
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
		return nil, nil, err
	}
	return wrapped, state, nil
}

func (d dialer) hello(ctx context.Context, addr string, conn net.Conn, first byte) (*tls.ConnectionState, net.Conn, error) {
	under := d.peers.Under(conn)
	var cfg *tls.Config
	if d.tls != nil {
		cfg = d.tls(addr)
	}
	if cfg == nil {
		_, err := conn.Write([]byte{first})
		return nil, conn, err
	}
	if _, err := conn.Write([]byte{ByteTLS}); err != nil {
		return nil, nil, err
	}
	tc := tls.Client(under, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, nil, fmt.Errorf("during the TLS handshake: %w", err)
	}
	state := tc.ConnectionState()
	err := under.Shown(state, func() *tls.Config { return d.tls(addr) })
	if err == nil {
		_, err = tc.Write([]byte{first})
	}
	return &state, tc, err
}

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// tuneTCP sets what wire.md §1.1 asks of every connection; other kinds of connection need nothing.
func tuneTCP(conn net.Conn) {
	if t, ok := conn.(*net.TCPConn); ok {
		// An error means that the connection is gone already; its first read tells.
		_ = t.SetNoDelay(true)
		_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: tcpKeepAlive, Interval: tcpKeepAlive})
	}
}

var longAgo = time.Unix(1, 0)

// interruptOnDone makes reads and writes on conn fail once ctx is done. stop ends that; it returns false if ctx was done
// first, in which case conn is no good any more.
func interruptOnDone(ctx context.Context, conn net.Conn) (stop func() bool) {
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, func() { conn.SetDeadline(longAgo) })
}
