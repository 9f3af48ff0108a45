package rpc

import (
	"sync"
	"time"

	"github.com/rollcall-id/rollcall/rpc/transport"
)

// Sessions knows over which connections nodes can be reached: a server calls a node over the session that the
// node opened (wire.md §1.2). It is safe for concurrent use.
type Sessions struct {
	mu    sync.RWMutex // guards the fields below
	nodes map[string][]*transport.Conn
	conns map[*transport.Conn]map[string]struct{}
}

// NewSessions returns an empty registry.
func NewSessions() *Sessions {
	return &Sessions{nodes: make(map[string][]*transport.Conn), conns: make(map[*transport.Conn]map[string]struct{})}
}

// Track notes that the node is at the other end of conn, until conn ends. Connections without a session can't
// carry calls to the node and are not noted.
func (s *Sessions) Track(nodeID string, conn *transport.Conn) {
	if conn.Session() == nil || nodeID == "" || s.has(nodeID, conn) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ids, known := s.conns[conn]
	if !known {
		ids = make(map[string]struct{})
		s.conns[conn] = ids
		go s.forgetAfter(conn)
	}
	if _, ok := ids[nodeID]; !ok {
		ids[nodeID] = struct{}{}
		s.nodes[nodeID] = append(s.nodes[nodeID], conn)
	}
}

func (s *Sessions) has(nodeID string, conn *transport.Conn) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.conns[conn][nodeID]
	return ok
}

func (s *Sessions) forgetAfter(conn *transport.Conn) {
	<-conn.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.conns[conn] {
		left := s.nodes[id][:0:0]
		for _, c := range s.nodes[id] {
			if c != conn {
				left = append(left, c)
			}
		}
		if len(left) == 0 {
			delete(s.nodes, id)
		} else {
			s.nodes[id] = left
		}
	}
	delete(s.conns, conn)
}

// Find returns the newest connection of a node and when it was made, or nil.
func (s *Sessions) Find(nodeID string) (*transport.Conn, time.Time) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var best *transport.Conn
	for _, c := range s.nodes[nodeID] {
		if best == nil || c.Established().After(best.Established()) {
			best = c
		}
	}
	if best == nil {
		return nil, time.Time{}
	}
	return best, best.Established()
}

// Count is the number of nodes that can be reached from here.
func (s *Sessions) Count() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.nodes)
}
