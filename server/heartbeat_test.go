package server

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

var heartbeatDefaults = DefaultConfig().Heartbeat

func nodesNamed(n int, status string) []*structs.Node {
	nodes := make([]*structs.Node, n)
	for i := range nodes {
		nodes[i] = &structs.Node{ID: fmt.Sprintf("node-%05d", i), Status: status}
	}
	return nodes
}

// enabled returns timers that run for n nodes.
func enabledHeartbeats(conf HeartbeatConfig, n int) *heartbeats {
	h := newHeartbeats(conf)
	h.enable(slices.Values(nodesNamed(n, structs.NodeStatusReady)))
	return h
}

func TestHeartbeatTTLGrowsWithTheFleetAndIsSpread(t *testing.T) {
	slow := heartbeatDefaults
	slow.MaxPerSecond = 1.0 / 86400
	tests := []struct {
		name  string
		conf  HeartbeatConfig
		nodes int
		base  time.Duration
	}{
		{"an empty fleet gets the minimum", heartbeatDefaults, 0, 10 * time.Second},
		{"500 nodes at 50 a second still get the minimum", heartbeatDefaults, 500, 10 * time.Second},
		{"5,000 nodes get 100 seconds", heartbeatDefaults, 5000, 100 * time.Second},
		{"10,000 nodes get 200 seconds", heartbeatDefaults, 10_000, 200 * time.Second},
		{"a rate of one a day has no say", slow, 5000, 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := enabledHeartbeats(tt.conf, tt.nodes)
				defer h.disable()
				low, high := time.Duration(1<<62), time.Duration(0)
				for range 2000 {
					ttl := h.ttl()
					if ttl < tt.base || ttl >= 2*tt.base {
						t.Fatalf("TTL %v is not within [%v, %v)", ttl, tt.base, 2*tt.base)
					}
					low, high = min(low, ttl), max(high, ttl)
				}
				if spread := high - low; spread < tt.base*9/10 {
					t.Errorf("2,000 TTLs differ by %v at most, want nearly %v", spread, tt.base)
				}
			})
		})
	}
}

func TestANodeIsSilentOnceItsTTLAndTheGraceArePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := enabledHeartbeats(heartbeatDefaults, 0)
		defer h.disable()
		ttl, err := h.Reset("a")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(ttl + heartbeatDefaults.Grace - time.Nanosecond)
		synctest.Wait()
		if got := h.silent.take(); len(got) != 0 || h.count.Load() != 1 || !h.running("a") {
			t.Fatalf("before the end of the grace: silent %v, %d timers", got, h.count.Load())
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if got := h.silent.take(); !slices.Equal(got, []string{"a"}) || h.count.Load() != 0 || h.running("a") {
			t.Fatalf("at the end of the grace: silent %v, %d timers", got, h.count.Load())
		}
	})
}

func TestANewLeaderGivesEveryNodeTheFailoverTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeartbeats(heartbeatDefaults)
		defer h.disable()
		nodes := append(nodesNamed(3, structs.NodeStatusReady), &structs.Node{ID: "init", Status: structs.NodeStatusInit},
			&structs.Node{ID: "gone", Status: structs.NodeStatusDown})
		h.enable(slices.Values(nodes))
		if n := h.count.Load(); n != 4 {
			t.Errorf("%d timers, want 4: all nodes but the one that is down", n)
		}
		time.Sleep(heartbeatDefaults.FailoverTTL - time.Nanosecond)
		synctest.Wait()
		if got := h.silent.take(); len(got) != 0 {
			t.Errorf("silent before the failover TTL: %v", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		got := h.silent.take()
		slices.Sort(got)
		if want := []string{"init", "node-00000", "node-00001", "node-00002"}; !slices.Equal(got, want) {
			t.Errorf("silent %v, want %v", got, want)
		}
	})
}

func TestAServerWithoutTimersRefusesToResetThem(t *testing.T) {
	h := newHeartbeats(heartbeatDefaults)
	if _, err := h.Reset("a"); !errors.Is(err, errHeartbeatNotLeader) || h.count.Load() != 0 {
		t.Errorf("never enabled: %v, %d timers", err, h.count.Load())
	}
	h.enable(slices.Values([]*structs.Node{}))
	if _, err := h.Reset("a"); err != nil || h.count.Load() != 1 {
		t.Errorf("enabled: %v, %d timers", err, h.count.Load())
	}
	h.disable()
	if _, err := h.Reset("a"); !errors.Is(err, errHeartbeatNotLeader) || h.count.Load() != 0 {
		t.Errorf("disabled: %v, %d timers", err, h.count.Load())
	}
}

func TestAResetOrClearAtTheMomentOfExpiryWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := enabledHeartbeats(heartbeatDefaults, 0)
		defer h.disable()
		h.start("reset", time.Second)
		h.start("cleared", time.Second)
		// The timers fire while their shard is held, then lose to what happens before they get it.
		reset, cleared := h.shard("reset"), h.shard("cleared")
		reset.mu.Lock()
		if cleared != reset {
			cleared.mu.Lock()
		}
		time.Sleep(time.Second)
		old := reset.timers["reset"]
		reset.timers["reset"] = &heartbeatTimer{time.AfterFunc(time.Minute, func() {})}
		delete(cleared.timers, "cleared")
		h.count.Add(-1)
		if cleared != reset {
			cleared.mu.Unlock()
		}
		reset.mu.Unlock()
		synctest.Wait()
		if got := h.silent.take(); len(got) != 0 || h.count.Load() != 1 || !h.running("reset") {
			t.Errorf("silent %v, %d timers, reset's runs: %v", got, h.count.Load(), h.running("reset"))
		}
		h.expire("reset", old) // an old timer that comes late
		if !h.running("reset") {
			t.Error("an old timer's expiry ended the new one")
		}
	})
}

func TestTheTimerCountIsExactAfterConcurrentUse(t *testing.T) {
	conf := HeartbeatConfig{MinTTL: time.Microsecond, Grace: time.Microsecond, FailoverTTL: time.Microsecond}
	h := enabledHeartbeats(conf, 0)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 3000 {
				id := fmt.Sprint((g*31 + i*7) % 100)
				switch i % 5 {
				case 0:
					h.Clear(id)
				case 1:
					h.silent.take()
				default:
					_, _ = h.Reset(id) // refused while disabled
				}
				if g == 0 && i%500 == 499 {
					h.disable()
					h.enable(slices.Values(nodesNamed(50, structs.NodeStatusReady)))
				}
			}
		})
	}
	wg.Wait()
	h.disable()
	eventually(t, "timers that fired meanwhile", func() error {
		if n := h.count.Load(); n != 0 {
			return fmt.Errorf("%d timers are counted after all were stopped", n)
		}
		return nil
	})
	for i := range h.shards {
		if n := len(h.shards[i].timers); n != 0 {
			t.Errorf("shard %d keeps %d timers", i, n)
		}
	}
}

func TestAFleetThatFallsSilentAtOnceIsTakenInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const fleet = 3*markDownBatch + 7
		h := enabledHeartbeats(heartbeatDefaults, fleet)
		defer h.disable()
		time.Sleep(heartbeatDefaults.FailoverTTL)
		synctest.Wait()
		var sizes []int
		seen := map[string]bool{}
		for len(seen) < fleet {
			select {
			case <-h.silent.wake:
			default:
				t.Fatalf("no token while %d nodes wait", fleet-len(seen))
			}
			ids := h.silent.take()
			sizes = append(sizes, len(ids))
			for _, id := range ids {
				seen[id] = true
			}
		}
		if want := []int{markDownBatch, markDownBatch, markDownBatch, 7}; !slices.Equal(sizes, want) {
			t.Errorf("batches of %v, want %v", sizes, want)
		}
	})
}

func TestSilenceOfALostTermIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := enabledHeartbeats(heartbeatDefaults, 5)
		time.Sleep(heartbeatDefaults.FailoverTTL)
		synctest.Wait()
		h.disable()
		if got := h.silent.take(); len(got) != 0 {
			t.Errorf("still waiting to be marked down: %v", got)
		}
	})
}

// silence makes the nodes' timers run out now, and leaves marking them down to the test.
func silence(t *testing.T, s *Server, ids ...string) {
	t.Helper()
	for _, id := range ids {
		sh := s.heartbeats.shard(id)
		sh.mu.Lock()
		timer := sh.timers[id]
		sh.mu.Unlock()
		if timer == nil {
			t.Fatalf("node %s has no timer", id)
		}
		timer.Stop()
		s.heartbeats.expire(id, timer)
	}
}

func nodeStatusOf(t *testing.T, s *Server, id string) string {
	t.Helper()
	n, err := s.fsm.State().NodeByID(nil, id)
	if err != nil || n == nil {
		t.Fatalf("node %s: %v, %v", id, n, err)
	}
	return n.Status
}

func TestSilentNodesAreMarkedDownWithAnEventAndComeBack(t *testing.T) {
	s := cluster(t, 1, nil)[0]
	pool := newPool(t)
	var ids []string
	tokens := map[string]string{}
	for range 20 {
		n := testNode()
		tokens[n.ID] = *register(t, pool, s.RPCAddr(), n, "").SignedIdentity
		ids = append(ids, n.ID)
		if _, err := heartbeat(pool, t, s.RPCAddr(), n.ID, tokens[n.ID], false); err != nil {
			t.Fatal(err)
		}
	}
	silence(t, s, ids...)
	eventually(t, "nodes marked down", func() error {
		for _, id := range ids {
			if st := nodeStatusOf(t, s, id); st != structs.NodeStatusDown {
				return fmt.Errorf("node %s is %s", id, st)
			}
		}
		return nil
	})
	n, err := s.fsm.State().NodeByID(nil, ids[0])
	if err != nil {
		t.Fatal(err)
	}
	last := n.Events[len(n.Events)-1]
	if last.Message != structs.NodeHeartbeatMissedEvent || last.Subsystem != structs.NodeEventSubsystemCluster || n.IdentitySigningKeyID == "" {
		t.Errorf("last event %+v, signing key %q", last, n.IdentitySigningKeyID)
	}
	if c := s.heartbeats.count.Load(); c != 0 {
		t.Errorf("%d timers for nodes that are down", c)
	}
	if _, err := heartbeat(pool, t, s.RPCAddr(), ids[0], tokens[ids[0]], false); err != nil {
		t.Fatal(err)
	}
	n, _ = s.fsm.State().NodeByID(nil, ids[0])
	if last := n.Events[len(n.Events)-1]; n.Status != structs.NodeStatusReady || last.Message != structs.NodeHeartbeatBackEvent {
		t.Errorf("after its heartbeat: %s, last event %+v", n.Status, last)
	}
}

func TestANodeHeardOfBetweenExpiryAndMarkingStaysUp(t *testing.T) {
	s := cluster(t, 1, nil)[0]
	pool := newPool(t)
	back, silent := testNode(), testNode()
	tokens := map[string]string{}
	for _, n := range []*structs.Node{back, silent} {
		tokens[n.ID] = *register(t, pool, s.RPCAddr(), n, "").SignedIdentity
		if _, err := heartbeat(pool, t, s.RPCAddr(), n.ID, tokens[n.ID], false); err != nil {
			t.Fatal(err)
		}
	}
	// Both were taken from the queue; one heartbeats before they are proposed.
	s.heartbeats.Clear(back.ID, silent.ID)
	if _, err := heartbeat(pool, t, s.RPCAddr(), back.ID, tokens[back.ID], false); err != nil {
		t.Fatal(err)
	}
	s.markNodesDown([]string{back.ID, silent.ID})
	if st := nodeStatusOf(t, s, back.ID); st != structs.NodeStatusReady {
		t.Errorf("the node that heartbeated is %s", st)
	}
	if st := nodeStatusOf(t, s, silent.ID); st != structs.NodeStatusDown {
		t.Errorf("the silent node is %s", st)
	}
}

func TestAServerThatCannotShowThatItLeadsMarksNobody(t *testing.T) {
	s := cluster(t, 1, nil)[0]
	pool := newPool(t)
	n := testNode()
	register(t, pool, s.RPCAddr(), n, "")
	over := s.lease.handover()
	silence(t, s, n.ID)
	eventually(t, "the node to be put off", func() error {
		if !s.heartbeats.running(n.ID) {
			return errors.New("it has no timer")
		}
		return nil
	})
	if st := nodeStatusOf(t, s, n.ID); st == structs.NodeStatusDown {
		t.Error("the node was marked down")
	}
	over()
	silence(t, s, n.ID)
	eventually(t, "the node to be marked down once the server leads", func() error {
		if st := nodeStatusOf(t, s, n.ID); st != structs.NodeStatusDown {
			return fmt.Errorf("it is %s", st)
		}
		return nil
	})
}

func BenchmarkHeartbeatReset(b *testing.B) {
	for _, fleet := range []int{1000, 50_000} {
		b.Run(fmt.Sprintf("nodes=%d", fleet), func(b *testing.B) {
			h := enabledHeartbeats(heartbeatDefaults, fleet)
			defer h.disable()
			ids := make([]string, fleet)
			for i, n := range nodesNamed(fleet, "") {
				ids[i] = n.ID
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := h.Reset(ids[i%fleet]); err != nil {
					b.Fatal(err)
				}
				i += 7919
			}
		})
	}
}
