package httpapi

import (
	"net"
	"sync"
	"time"
)

// refusal answers a connection over the limit. It fits the send buffer of a fresh connection, so writing can't block.
const refusal = "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
	"too many open connections from this address"

// connLimit counts the open connections of each IP address, over all listeners together.
type connLimit struct {
	most int

	mu   sync.Mutex
	open map[string]int // guarded by mu; no entry is 0
}

func newConnLimit(most int) *connLimit { return &connLimit{most: most, open: map[string]int{}} }

// wrap returns l itself if there is no limit. Connections without an IP address, as over Unix sockets, are not counted.
func (c *connLimit) wrap(l net.Listener) net.Listener {
	if c.most <= 0 {
		return l
	}
	return &limitedListener{Listener: l, limit: c}
}

func (c *connLimit) acquire(ip string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[ip] >= c.most {
		return false
	}
	c.open[ip]++
	return true
}

func (c *connLimit) release(ip string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[ip]--; c.open[ip] == 0 {
		delete(c.open, ip)
	}
}

type limitedListener struct {
	net.Listener
	limit *connLimit
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr, ok := conn.RemoteAddr().(*net.TCPAddr)
		if !ok {
			return conn, nil
		}
		ip := addr.IP.String()
		if l.limit.acquire(ip) {
			return &limitedConn{Conn: conn, release: func() { l.limit.release(ip) }}, nil
		}
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write([]byte(refusal))
		_ = conn.Close()
	}
}

type limitedConn struct {
	net.Conn
	once    sync.Once
	release func()
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.release)
	return err
}
