package server

import (
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

// errHeartbeatNotLeader is the answer of a server that keeps no timers.
var errHeartbeatNotLeader = errors.New("failed to reset heartbeat since server is not leader")

const (
	heartbeatShards = 64
	// minRate is the rate below which max_heartbeats_per_second has no say.
	minRate = 1.0 / 86400
	// markDownBatch is how many nodes are marked down at once.
	markDownBatch = 512
)

// heartbeats are the leader's timers, one a node. Resetting one costs a lock on a 64th of them, whatever the
// size of the fleet. It is safe for concurrent use.
type heartbeats struct {
	conf    atomic.Pointer[HeartbeatConfig]
	enabled atomic.Bool
	count   atomic.Int64
	seed    maphash.Seed
	shards  [heartbeatShards]heartbeatShard
	silent  silentNodes
}

type heartbeatShard struct {
	mu     sync.Mutex // guards timers
	timers map[string]*heartbeatTimer
}

// heartbeatTimer tells one start of a node's timer from the next.
type heartbeatTimer struct{ *time.Timer }

// silentNodes are the nodes whose timers ran out and that wait to be marked down. A fleet that falls silent at
// once piles up here, not as goroutines that wait for their turn.
type silentNodes struct {
	mu   sync.Mutex // guards ids
	ids  []string
	wake chan struct{} // holds a token while there are some
}

func newHeartbeats(conf HeartbeatConfig) *heartbeats {
	h := &heartbeats{seed: maphash.MakeSeed(), silent: silentNodes{wake: make(chan struct{}, 1)}}
	h.conf.Store(&conf)
	for i := range h.shards {
		h.shards[i].timers = make(map[string]*heartbeatTimer)
	}
	return h
}

func (h *heartbeats) shard(id string) *heartbeatShard {
	return &h.shards[maphash.String(h.seed, id)%heartbeatShards]
}

// Reset starts the node's timer anew. The returned TTL is what the node is told; the timer allows the grace on
// top. It grows with the fleet, so that all of it together heartbeats at no more than the configured rate, and
// is spread at random so that nodes that started together drift apart.
func (h *heartbeats) Reset(nodeID string) (time.Duration, error) {
	if !h.enabled.Load() {
		return 0, errHeartbeatNotLeader
	}
	ttl := h.ttl()
	h.start(nodeID, ttl+h.conf.Load().Grace)
	return ttl, nil
}

func (h *heartbeats) ttl() time.Duration {
	conf := h.conf.Load()
	base := conf.MinTTL
	if conf.MaxPerSecond > minRate {
		scaled := time.Duration(float64(h.count.Load()) / conf.MaxPerSecond * float64(time.Second))
		base = max(base, scaled)
	}
	return base + rand.N(base)
}

func (h *heartbeats) start(id string, after time.Duration) {
	s := h.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.timers[id]; ok && t.Stop() {
		t.Reset(after)
		return
	} else if !ok {
		h.count.Add(1)
	}
	t := &heartbeatTimer{}
	t.Timer = time.AfterFunc(after, func() { h.expire(id, t) })
	s.timers[id] = t
}

// expire hands a silent node over to be marked down, unless its timer was reset or cleared meanwhile.
func (h *heartbeats) expire(id string, t *heartbeatTimer) {
	s := h.shard(id)
	s.mu.Lock()
	mine := s.timers[id] == t
	if mine {
		delete(s.timers, id)
		h.count.Add(-1)
	}
	s.mu.Unlock()
	if mine && h.enabled.Load() {
		h.silent.add(id)
	}
}

func (q *silentNodes) add(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ids = append(q.ids, id)
	q.signal()
}

// signal leaves the token. The caller holds mu.
func (q *silentNodes) signal() {
	select {
	case q.wake <- struct{}{}:
	default: // it lies there already
	}
}

// take returns up to markDownBatch nodes, and leaves the token if there are more.
func (q *silentNodes) take() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.ids), markDownBatch)
	ids := slices.Clone(q.ids[:n])
	q.ids = q.ids[n:]
	if len(q.ids) == 0 {
		q.ids = nil
	} else {
		q.signal()
	}
	return ids
}

func (q *silentNodes) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ids = nil
}

// running reports whether the node's timer runs: it was heard of since it last ran out, if it ever did.
func (h *heartbeats) running(id string) bool {
	s := h.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.timers[id] != nil
}

// Clear forgets the nodes' timers.
func (h *heartbeats) Clear(nodeIDs ...string) {
	for _, id := range nodeIDs {
		s := h.shard(id)
		s.mu.Lock()
		if t, ok := s.timers[id]; ok {
			t.Stop()
			delete(s.timers, id)
			h.count.Add(-1)
		}
		s.mu.Unlock()
	}
}

// enable starts a timer for every node that is not down. They all get the failover TTL: the nodes learn of the
// new leader only when they next heartbeat.
func (h *heartbeats) enable(nodes func(yield func(*structs.Node) bool)) {
	h.enabled.Store(true)
	failover := h.conf.Load().FailoverTTL
	for n := range nodes {
		if n.Status != structs.NodeStatusDown {
			h.start(n.ID, failover)
		}
	}
}

// disable ends the timers of a server that leads no more.
func (h *heartbeats) disable() {
	h.enabled.Store(false)
	h.stopAll()
}

// stopAll stops all timers and forgets who was silent; resets are still answered.
func (h *heartbeats) stopAll() {
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		for id, t := range s.timers {
			t.Stop()
			delete(s.timers, id)
			h.count.Add(-1)
		}
		s.mu.Unlock()
	}
	h.silent.clear()
}

// markDown runs while this server leads: it marks silent nodes down, many with one write.
func (s *Server) markDown(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-s.heartbeats.silent.wake:
			if ids := s.heartbeats.silent.take(); len(ids) > 0 {
				s.markNodesDown(ids)
			}
		}
	}
}

// proposal is a node's new status on its way through Raft.
type proposal struct {
	id     string
	future raft.ApplyFuture
}

// markNodesDown proposes the nodes' new status. A server that can't show that it still leads marks no one: the
// nodes may have been heartbeating elsewhere for a while. It tries them again later, should it lead after all. A
// node that was heard of meanwhile stays as it is.
func (s *Server) markNodesDown(ids []string) {
	if err := s.lease.check(s.ctx); err != nil {
		s.log.Warn("nodes missed their heartbeats but this server can't confirm that it leads", "nodes", len(ids), "error", err)
		s.retryLater(ids)
		return
	}
	now := s.cfg.Clock()
	st := s.fsm.State()
	var proposed []proposal
	for _, id := range ids {
		if s.heartbeats.running(id) {
			continue
		}
		n, err := st.NodeByID(nil, id)
		if err != nil || n == nil || n.Status == structs.NodeStatusDown {
			continue
		}
		req := &structs.NodeUpdateStatusRequest{
			NodeID: id, Status: structs.NodeStatusDown, UpdatedAt: now.Unix(),
			NodeEvent:    structs.NewNodeEvent(structs.NodeEventSubsystemCluster, structs.NodeHeartbeatMissedEvent, now),
			WriteRequest: structs.WriteRequest{Region: s.cfg.Region},
		}
		f, err := s.propose(structs.NodeUpdateStatusMsg, req)
		if err != nil {
			s.log.Error("node not marked down", "node_id", id, "error", err)
			continue
		}
		proposed = append(proposed, proposal{id, f})
	}
	var retry []string
	for _, p := range proposed {
		_, err := outcome(structs.NodeUpdateStatusMsg, p.future)
		switch {
		case err == nil:
			s.log.Warn("node missed its heartbeat and is down", "node_id", p.id)
		case !errors.Is(err, structs.ErrNodeNotFound):
			s.log.Error("node not marked down", "node_id", p.id, "error", err)
			retry = append(retry, p.id)
		}
	}
	s.retryLater(retry)
}

// retryLater gives nodes that could not be marked another grace period, as long as this server has timers.
func (s *Server) retryLater(ids []string) {
	grace := s.heartbeats.conf.Load().Grace
	for _, id := range ids {
		if s.heartbeats.enabled.Load() && !s.heartbeats.running(id) {
			s.heartbeats.start(id, grace)
		}
	}
}
