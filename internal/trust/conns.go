package trust

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// Grace is how long a connection may finish what is under way on it.
	Grace = 5 * time.Second
	// idlePoll is how often it is looked at meanwhile.
	idlePoll = 5 * time.Millisecond
)

// Conns is a set of open connections. The zero value is empty and ready; it is safe for concurrent use.
type Conns struct {
	mu      sync.Mutex // guards the fields below, and what is noted of the connections
	changes uint64     // calls of Recheck
	open    map[*Conn]struct{}
}

// Conn is what TLS runs on. It leaves its set when it is closed.
type Conn struct {
	net.Conn
	of      *Conns
	changes uint64 // of the set, before the handshake
	peer    tls.ConnectionState
	config  func() *tls.Config
	busy    func() bool
}

// Under returns the connection that TLS is to run on in place of raw. It is called before the configuration of the handshake is
// chosen.
func (s *Conns) Under(raw net.Conn) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Conn{Conn: raw, of: s, changes: s.changes}
}

// Shown adds the connection to its set, with what its peer has shown. config returns the configuration that a handshake would have
// now; nil trusts everybody. An error says that the peer is not trusted any more: close the connection.
func (c *Conn) Shown(peer tls.ConnectionState, config func() *tls.Config) error {
	c.of.mu.Lock()
	c.peer, c.config = peer, config
	changed := c.changes != c.of.changes
	if c.of.open == nil {
		c.of.open = map[*Conn]struct{}{}
	}
	c.of.open[c] = struct{}{}
	c.of.mu.Unlock()
	if changed {
		return c.verify()
	}
	return nil
}

// FinishFirst lets a connection, that of TLS on one of a set, stay open while busy says so, for up to Grace. Others are nothing to it.
func FinishFirst(conn net.Conn, busy func() bool) {
	if tc, ok := conn.(*tls.Conn); ok {
		if c, ok := tc.NetConn().(*Conn); ok {
			c.of.mu.Lock()
			defer c.of.mu.Unlock()
			c.busy = busy
		}
	}
}

// NetConn returns the connection below.
func (c *Conn) NetConn() net.Conn { return c.Conn }

func (c *Conn) verify() error {
	if err := Verify(c.config(), c.peer); err != nil {
		return fmt.Errorf("peer %s is not trusted any more: %w", c.RemoteAddr(), err)
	}
	return nil
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// Recheck closes the connections whose peers the configuration of now does not trust, and returns why, one error for each. It
// takes about as long as verifying the certificates of all; where something is under way it waits, up to Grace.
func (s *Conns) Recheck() []error {
	s.mu.Lock()
	s.changes++
	open := make([]*Conn, 0, len(s.open))
	for c := range s.open { // map order: each is looked at by itself
		open = append(open, c)
	}
	s.mu.Unlock()
	var reasons []error
	var left []*Conn
	for _, c := range open {
		if err := c.verify(); err != nil {
			reasons = append(reasons, err)
			left = append(left, c)
		}
	}
	for end := time.Now().Add(Grace); len(left) > 0; {
		late := !time.Now().Before(end)
		var busy []*Conn
		for _, c := range left {
			if !late && c.isBusy() {
				busy = append(busy, c)
				continue
			}
			_ = c.Close() // whoever uses it hears of it
		}
		if left = busy; len(left) > 0 {
			time.Sleep(idlePoll)
		}
	}
	return reasons
}

func (c *Conn) isBusy() bool {
	c.of.mu.Lock()
	busy := c.busy
	c.of.mu.Unlock()
	return busy != nil && busy()
}
