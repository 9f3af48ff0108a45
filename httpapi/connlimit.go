package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/rollcall-id/rollcall/internal/quota"
)

// refusal answers a connection over the limit. It fits the send buffer of a fresh connection, so writing can't block.
const refusal = "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\nConnection: close\r\n\r\n" +
	"too many open connections from this address"

// refusals names the counters of what is refused, by kind.
var refusals = map[quota.Kind]string{
	quota.Conns: "http_conns_refused", quota.Requests: "http_requests_refused", quota.Bytes: "http_bytes_refused",
}

func countRefusal(name string) { metrics.IncrCounter([]string{"limits", name}, 1) }

// newQuota counts what each address has open over all listeners together.
func newQuota(cfg Config) *quota.Book {
	return quota.New(quota.Limits{
		quota.Conns: cfg.MaxConnsPerClient, quota.Requests: cfg.MaxRequestsPerClient, quota.Bytes: cfg.MaxBytesPerClient,
	}, quota.Options{Refused: func(k quota.Kind) { countRefusal(refusals[k]) }})
}

// limitedListener counts connections. Those without an IP address, as over Unix sockets, are not counted.
type limitedListener struct {
	net.Listener
	book *quota.Book
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if _, ok := conn.RemoteAddr().(*net.TCPAddr); !ok {
			return conn, nil
		}
		if share, ok := l.book.Open(conn.RemoteAddr()); ok {
			c := &limitedConn{Conn: conn, share: share}
			c.fresh.Store(true)
			return c, nil
		}
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write([]byte(refusal))
		_ = conn.Close()
	}
}

// limitedConn is a connection with what it takes. Its share ends with the connection, or with the last request on it if
// that takes longer.
type limitedConn struct {
	net.Conn
	share *quota.Share
	once  sync.Once
	fresh atomic.Bool // its first request has not come yet
	busy  atomic.Bool // a request is on its way in, or its answer out
}

// Read counts first requests that do not come in time. One that is late on a connection which had others ends as an idle
// connection does.
func (c *limitedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && c.fresh.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		countRefusal("http_timeouts")
	}
	return n, err
}

// noteRequest notes that a connection's request has come, or has been answered.
func noteRequest(conn net.Conn, state http.ConnState) {
	c := limited(conn)
	if c == nil {
		return
	}
	active := state == http.StateActive
	c.busy.Store(active)
	if active {
		c.fresh.Store(false)
	}
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.share.Close)
	return err
}

type shareKey struct{}

// withShare lets the requests of a connection find its share.
func withShare(ctx context.Context, conn net.Conn) context.Context {
	if c := limited(conn); c != nil {
		return context.WithValue(ctx, shareKey{}, c.share)
	}
	return ctx
}

// limited is the counted connection below conn; nil if it is not counted.
func limited(conn net.Conn) *limitedConn {
	for {
		switch c := conn.(type) {
		case *limitedConn:
			return c
		case interface{ NetConn() net.Conn }: // as of TLS
			conn = c.NetConn()
		default:
			return nil
		}
	}
}

// shareOf returns the share of a request's connection; nil, which takes nothing, if it has none.
func shareOf(ctx context.Context) *quota.Share {
	share, _ := ctx.Value(shareKey{}).(*quota.Share)
	return share
}
