package quota

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Kind is something of which an address has only so much.
type Kind int

const (
	// Conns are open connections.
	Conns Kind = iota
	// Streaming are connections and streams that carry a streaming call.
	Streaming
	// Streams are open streams of multiplexed connections.
	Streams
	// Requests are those being handled, waiting ones included.
	Requests
	// Bytes are those of requests that are being read or handled.
	Bytes
	kinds
)

// Limits are how much of each kind one address may have; 0 or less: as much as it likes.
type Limits [kinds]int

// Book counts by source address. It is safe for concurrent use.
type Book struct {
	limits Limits
	exempt func(netip.Addr) bool
	refuse func(Kind)

	mu    sync.Mutex // guards pages and their shares
	pages map[netip.Addr]*page
}

// page is one address.
type page struct {
	addr   netip.Addr
	shares int
	used   [kinds]atomic.Int64
}

// Options are what a Book can do without.
type Options struct {
	// Exempt names the addresses whose peers are trusted with more than Conns, as other servers are. It is asked only
	// about those that are over a bound.
	Exempt func(netip.Addr) bool
	// Refused is told of everything that is refused.
	Refused func(Kind)
}

// New returns an empty Book.
func New(limits Limits, o Options) *Book {
	b := &Book{limits: limits, exempt: o.Exempt, refuse: o.Refused, pages: make(map[netip.Addr]*page)}
	if b.exempt == nil {
		b.exempt = func(netip.Addr) bool { return false }
	}
	if b.refuse == nil {
		b.refuse = func(Kind) {}
	}
	return b
}

// Share is what one connection takes. All of its methods may be called on a nil Share, which takes nothing of anybody.
type Share struct {
	b      *Book
	p      *page
	closed atomic.Bool
}

// Open counts a connection from addr, or reports that there are too many. Addresses that are no IP addresses count as one.
func (b *Book) Open(addr net.Addr) (*Share, bool) {
	ip := sourceIP(addr)
	b.mu.Lock()
	p := b.pages[ip]
	if p == nil {
		p = &page{addr: ip}
		b.pages[ip] = p
	}
	s := &Share{b: b, p: p}
	p.shares++
	b.mu.Unlock()
	if !s.take(Conns, 1, false) {
		s.leave()
		b.refuse(Conns)
		return nil, false
	}
	return s, true
}

// Take counts n more of the kind, or reports that it would be too many. What was taken has to be given back.
func (s *Share) Take(k Kind, n int) bool {
	if s == nil || n == 0 || s.take(k, n, true) {
		return true
	}
	s.b.refuse(k)
	return false
}

func (s *Share) take(k Kind, n int, mayBeExempt bool) bool {
	limit := s.b.limits[k]
	if s.p.used[k].Add(int64(n)) <= int64(limit) || limit <= 0 || mayBeExempt && s.b.exempt(s.p.addr) {
		return true
	}
	s.p.used[k].Add(-int64(n))
	return false
}

// Give gives back what was taken.
func (s *Share) Give(k Kind, n int) {
	if s != nil {
		s.p.used[k].Add(-int64(n))
	}
}

// Close ends the connection's share; everything else that it took has been given back. Further calls do nothing.
func (s *Share) Close() {
	if s == nil || s.closed.Swap(true) {
		return
	}
	s.Give(Conns, 1)
	s.leave()
}

func (s *Share) leave() {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.p.shares--; s.p.shares == 0 {
		delete(s.b.pages, s.p.addr)
	}
}

// Used is how much of a kind all addresses have taken.
func (b *Book) Used(k Kind) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	var n int64
	for _, p := range b.pages {
		n += p.used[k].Load()
	}
	return int(n)
}

func sourceIP(addr net.Addr) netip.Addr {
	if t, ok := addr.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	if ap, err := netip.ParseAddrPort(addr.String()); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
