package client

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/rollcall-id/rollcall/structs"
)

// serverList says which server to talk to: the same one until it fails, so that servers find the node at the end of one
// session, then the next. Those that servers named come first, the configured ones after them. It is safe for concurrent use.
type serverList struct {
	mu         sync.Mutex // guards the fields below
	configured []string
	learned    []string // shuffled, so that a fleet spreads over the servers
	current    string
}

func newServerList(configured []string) *serverList {
	s := new(serverList)
	s.configure(configured)
	return s
}

// configure replaces the configured servers and forgets the learned ones.
func (s *serverList) configure(addrs []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.configured, s.learned = shuffled(addrs), nil
	if !slices.Contains(s.configured, s.current) {
		s.current = ""
	}
}

// learn takes the list that a server's reply carried. The current server stays even if it is not in it: it answers.
func (s *serverList) learn(infos []*structs.NodeServerInfo) error {
	var addrs []string
	for _, i := range infos {
		if i == nil {
			continue
		}
		if a, err := normalizeServer(i.RPCAdvertiseAddr); err == nil && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return fmt.Errorf("reply names no usable server (%d entries)", len(infos))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !sameSet(addrs, s.learned) {
		s.learned = shuffled(addrs)
	}
	return nil
}

// pick returns the server to call, "" if none is known.
func (s *serverList) pick() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == "" {
		s.advance()
	}
	return s.current
}

// failed moves on to the next server, unless somebody has already moved on from addr.
func (s *serverList) failed(addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == addr {
		s.advance()
	}
}

// advance is called with mu held.
func (s *serverList) advance() {
	ring := s.ring()
	if len(ring) == 0 {
		s.current = ""
		return
	}
	s.current = ring[(slices.Index(ring, s.current)+1)%len(ring)]
}

// ring is called with mu held.
func (s *serverList) ring() []string {
	ring := slices.Clone(s.learned)
	for _, a := range s.configured {
		if !slices.Contains(ring, a) {
			ring = append(ring, a)
		}
	}
	return ring
}

// all returns the servers in the order of their turn.
func (s *serverList) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ring()
}

func shuffled(addrs []string) []string {
	out := slices.Clone(addrs)
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func sameSet(a, b []string) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x string) bool { return !slices.Contains(b, x) })
}
