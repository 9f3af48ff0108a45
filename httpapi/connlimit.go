package httpapi

import (
	"context"
	"net"
	"sync"
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
			return &limitedConn{Conn: conn, share: share}, nil
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
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.share.Close)
	return err
}

type shareKey struct{}

// withShare lets the requests of a connection find its share.
func withShare(ctx context.Context, conn net.Conn) context.Context {
	for {
		switch c := conn.(type) {
		case *limitedConn:
			return context.WithValue(ctx, shareKey{}, c.share)
		case interface{ NetConn() net.Conn }: // as of TLS
			conn = c.NetConn()
		default:
			return ctx
		}
	}
}

// shareOf returns the share of a request's connection; nil, which takes nothing, if it has none.
func shareOf(ctx context.Context) *quota.Share {
	share, _ := ctx.Value(shareKey{}).(*quota.Share)
	return share
}
