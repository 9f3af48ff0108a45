package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/internal/quietlog"
	"github.com/rollcall-id/rollcall/internal/trust"
)

// handshakeLines is how many lines a second the log tells of handshakes that failed; whoever can connect can cause one.
const handshakeLines = 1

// tlsListener hands out connections whose TLS handshake is done, each of which has a time of its own for that: net/http knows one limit
// for the handshake and a request's header together, and says little of what went wrong.
type tlsListener struct {
	net.Listener
	conf    *tls.Config
	timeout time.Duration // 0: no limit
	peers   *trust.Conns
	log     *quietlog.Log

	ready  chan net.Conn
	failed chan error // why accepting ended
	ctx    context.Context
	cancel context.CancelFunc
	start  sync.Once
	wg     sync.WaitGroup
}

func newTLSListener(l net.Listener, conf *tls.Config, timeout time.Duration, peers *trust.Conns, log hclog.Logger) *tlsListener {
	t := &tlsListener{
		Listener: l, conf: conf, timeout: timeout, peers: peers, log: quietlog.New(log, handshakeLines),
		ready: make(chan net.Conn), failed: make(chan error, 1),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// Accept returns the next connection that has shown who it is.
func (t *tlsListener) Accept() (net.Conn, error) {
	t.start.Do(func() { t.wg.Go(t.acceptAll) })
	select {
	case c := <-t.ready:
		return c, nil
	case err := <-t.failed:
		t.failed <- err // for whoever asks again
		return nil, err
	}
}

func (t *tlsListener) acceptAll() {
	for {
		raw, err := t.Listener.Accept()
		var temporary interface{ Temporary() bool }
		if errors.As(err, &temporary) && temporary.Temporary() && t.ctx.Err() == nil {
			// Mostly too many open files. Accepting again at once would only use the processor.
			select {
			case <-time.After(acceptPause):
			case <-t.ctx.Done():
			}
			continue
		}
		if err != nil {
			t.failed <- err
			return
		}
		t.wg.Go(func() { t.handshake(raw) })
	}
}

const acceptPause = 100 * time.Millisecond

func (t *tlsListener) handshake(raw net.Conn) {
	ctx, cancel := t.ctx, context.CancelFunc(func() {})
	if t.timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, t.timeout)
	}
	defer cancel()
	under := t.peers.Under(raw)
	conn := tls.Server(under, t.conf)
	err := conn.HandshakeContext(ctx)
	if c := limited(raw); c != nil {
		trust.FinishFirst(conn, c.busy.Load)
	}
	if err == nil {
		err = under.Shown(conn.ConnectionState(), func() *tls.Config { return t.conf })
	}
	if err != nil {
		_ = under.Close() // nothing was said
		if errors.Is(err, context.DeadlineExceeded) {
			countRefusal("http_timeouts")
		}
		if !errors.Is(err, io.EOF) && t.ctx.Err() == nil {
			t.log.Warn("TLS handshake failed", "peer", raw.RemoteAddr(), "error", err)
		}
		return
	}
	select {
	case t.ready <- conn:
	case <-t.ctx.Done():
		_ = conn.Close() // no request was read
	}
}

// Close stops accepting, ends the handshakes under way and waits for them.
func (t *tlsListener) Close() error {
	err := t.Listener.Close()
	t.cancel()
	t.wg.Wait()
	return err
}
