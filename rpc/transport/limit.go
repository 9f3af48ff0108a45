package transport

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

var (
	errTooManyConns   = errors.New("too many connections from this address")
	errTooManyStreams = errors.New("too many streaming connections from this address")
)

// connLimiter counts connections by source address.
type connLimiter struct {
	max       int // 0 or less: no limit
	maxStream int

	mu     sync.Mutex // guards counts
	counts map[netip.Addr]*connCount
}

type connCount struct{ total, streaming int }

func newConnLimiter(limit int) *connLimiter {
	return &connLimiter{max: limit, maxStream: max(1, limit-nonStreamingReserve), counts: make(map[netip.Addr]*connCount)}
}

// lease is one counted connection. A nil lease counts nothing.
type lease struct {
	l         *connLimiter
	addr      netip.Addr
	streaming bool
	released  bool
}

// acquire counts a connection from addr, or reports that there are too many.
func (l *connLimiter) acquire(addr net.Addr) (*lease, bool) {
	if l.max <= 0 {
		return nil, true
	}
	ip := sourceIP(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.counts[ip]
	if n == nil {
		n = &connCount{}
		l.counts[ip] = n
	}
	if n.total >= l.max {
		return nil, false
	}
	n.total++
	return &lease{l: l, addr: ip}, true
}

// markStreaming counts the connection as a streaming one too, or reports that there are too many.
func (le *lease) markStreaming() bool {
	if le == nil {
		return true
	}
	le.l.mu.Lock()
	defer le.l.mu.Unlock()
	n := le.l.counts[le.addr]
	if n.streaming >= le.l.maxStream {
		return false
	}
	n.streaming++
	le.streaming = true
	return true
}

// release ends the count; further calls do nothing.
func (le *lease) release() {
	if le == nil {
		return
	}
	le.l.mu.Lock()
	defer le.l.mu.Unlock()
	if le.released {
		return
	}
	le.released = true
	n := le.l.counts[le.addr]
	n.total--
	if le.streaming {
		n.streaming--
	}
	if n.total == 0 {
		delete(le.l.counts, le.addr)
	}
}

// sourceIP is the address to count under; connections without an IP address share the zero one.
func sourceIP(addr net.Addr) netip.Addr {
	if t, ok := addr.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	if ap, err := netip.ParseAddrPort(addr.String()); err == nil {
		return ap.Addr().Unmap()
	}
	return netip.Addr{}
}
