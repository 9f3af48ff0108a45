package state

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func TestFirstRegistration(t *testing.T) {
	s := New()
	n := newNode(1)
	sent := n.Copy()
	must(t, s, register(7, n))
	got := value[*structs.Node](t)(s.NodeByID(nil, n.ID))
	want := n.Copy()
	want.SecretID, want.SecretHash = "", structs.HashSecret(secret(1))
	want.NodePool, want.SchedulingEligibility = "default", "eligible"
	want.CreateIndex, want.ModifyIndex = 7, 7
	want.Events = []*structs.NodeEvent{{Message: "Node registered", Subsystem: "Cluster", Timestamp: time.Unix(1000, 0).UTC()}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(sent, n); diff != "" {
		t.Errorf("the request's node was changed:\n%s", diff)
	}
}

func TestReregistrationKeepsWhatBelongsToTheCluster(t *testing.T) {
	s := New()
	must(t, s, register(7, newNode(1)), status(8, nodeID(1), "down"), func(t *Txn) error {
		return t.UpdateNodeDrain(9, &structs.NodeUpdateDrainRequest{
			NodeID: nodeID(1), DrainStrategy: &structs.DrainStrategy{}, UpdatedAt: 900,
		})
	})
	n := newNode(1)
	n.Name, n.Status, n.StatusUpdatedAt = "renamed", "ready", 2000
	must(t, s, register(10, n))
	got := value[*structs.Node](t)(s.NodeByID(nil, n.ID))
	if got.Name != "renamed" || got.CreateIndex != 7 || got.ModifyIndex != 10 || got.DrainStrategy == nil || got.LastDrain == nil ||
		got.SchedulingEligibility != "ineligible" || got.LastMissedHeartbeatIndex != 8 {
		t.Errorf("got %+v", got)
	}
	if last := got.Events[len(got.Events)-1]; len(got.Events) != 2 || last.Message != "Node re-registered" || last.Timestamp.Unix() != 2000 || last.CreateIndex != 10 {
		t.Errorf("events: %+v", got.Events)
	}
}

func TestRegistrationCreatesPool(t *testing.T) {
	s := New()
	n := newNode(1)
	n.NodePool = "edge"
	must(t, s, func(t *Txn) error {
		return t.UpsertNode(7, &structs.NodeRegisterRequest{Node: n, CreateNodePool: true})
	})
	p := value[*structs.NodePool](t)(s.NodePoolByName(nil, "edge"))
	if p == nil || p.NodeIdentityTTL != 24*time.Hour || len(p.Hash) != 32 || p.CreateIndex != 7 || p.ModifyIndex != 7 {
		t.Errorf("pool: %+v", p)
	}
	if ix := value[uint64](t)(s.Index(TableNodePools)); ix != 1 {
		t.Errorf("index of the pool table is %d, want it left at 1", ix)
	}
	must(t, s, register(8, func() *structs.Node { n := newNode(2); n.NodePool = "gpu"; return n }()))
	if p := value[*structs.NodePool](t)(s.NodePoolByName(nil, "gpu")); p != nil {
		t.Errorf("a registration that may not create pools created %+v", p)
	}
}

func TestLastMissedHeartbeat(t *testing.T) {
	for _, c := range []struct {
		name   string
		status []string // one command each, at index 10, 11, ...
		want   uint64
	}{
		{"is set when a ready node goes down", []string{"ready", "down"}, 11},
		{"is set when a node disconnects", []string{"ready", "disconnected"}, 11},
		{"stays when a disconnected node goes down", []string{"disconnected", "down"}, 10},
		{"stays while a node is coming back", []string{"down", "initializing"}, 10},
		{"is cleared when a node becomes ready", []string{"down", "ready"}, 0},
		{"is set anew by the next miss", []string{"down", "ready", "down"}, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New()
			must(t, s, register(7, newNode(1)))
			for i, to := range c.status {
				must(t, s, status(uint64(10+i), nodeID(1), to))
			}
			if got := value[*structs.Node](t)(s.NodeByID(nil, nodeID(1))).LastMissedHeartbeatIndex; got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

// TestIdentityTTL: how long a node keeps its key in use follows from the longest identity it may hold.
func TestIdentityTTL(t *testing.T) {
	for _, c := range []struct {
		name           string
		oldKey, newKey int // 0 for none
		old, new, want time.Duration
	}{
		{"the first identity's counts", 0, 1, 0, time.Hour, time.Hour},
		{"a shorter one under the same key doesn't", 1, 1, 2 * time.Hour, time.Hour, 2 * time.Hour},
		{"a longer one under the same key does", 1, 1, time.Hour, 2 * time.Hour, 2 * time.Hour},
		{"a new key's replaces it", 1, 2, 2 * time.Hour, time.Hour, time.Hour},
		{"one that was not known stays so under the same key", 1, 1, 0, time.Hour, 0},
		{"one that is not known any more makes it so", 1, 1, time.Hour, 0, 0},
		{"no key leaves it", 1, 0, time.Hour, 2 * time.Hour, time.Hour},
	} {
		id := func(i int) string {
			if i == 0 {
				return ""
			}
			return keyID(i)
		}
		setup := func(t *testing.T) *Store {
			s := New()
			n := newNode(1)
			n.IdentitySigningKeyID, n.IdentityTTL = id(c.oldKey), c.old
			must(t, s, putKey(2, newKey(1, structs.KeyStateInactive)), putKey(3, newKey(2, structs.KeyStateActive)), register(4, n))
			return s
		}
		check := func(t *testing.T, s *Store, key string) {
			n := value[*structs.Node](t)(s.NodeByID(nil, nodeID(1)))
			if n.IdentityTTL != c.want || n.IdentitySigningKeyID != key {
				t.Errorf("key %q with TTL %s, want %q with %s", n.IdentitySigningKeyID, n.IdentityTTL, key, c.want)
			}
		}
		t.Run("status update: "+c.name, func(t *testing.T) {
			s := setup(t)
			must(t, s, func(t *Txn) error {
				return t.UpdateNodeStatus(5, &structs.NodeUpdateStatusRequest{
					NodeID: nodeID(1), Status: "ready", IdentitySigningKeyID: id(c.newKey), IdentityTTL: c.new,
				})
			})
			check(t, s, id(max(c.newKey, c.oldKey)))
		})
		if c.newKey == 0 {
			continue // a registration says what the node's key is, also that it has none
		}
		t.Run("registration: "+c.name, func(t *testing.T) {
			s := setup(t)
			n := newNode(1)
			n.IdentitySigningKeyID, n.IdentityTTL = id(c.newKey), c.new
			must(t, s, register(5, n))
			check(t, s, id(c.newKey))
		})
	}
}

func TestNodeCommandsThatAreRefused(t *testing.T) {
	signed := func() *structs.Node { n := newNode(1); n.IdentitySigningKeyID = keyID(9); return n }
	for _, c := range []struct {
		name    string
		command func(*Txn) error
		want    error // nil: any
	}{
		{"register without a node", func(t *Txn) error { return t.UpsertNode(9, &structs.NodeRegisterRequest{}) }, nil},
		{"register with an unknown key", register(9, signed()), structs.ErrRootKeyNotFound},
		{"register a new pool with an unknown key", func(t *Txn) error {
			n := signed()
			n.NodePool = "edge"
			return t.UpsertNode(9, &structs.NodeRegisterRequest{Node: n, CreateNodePool: true})
		}, structs.ErrRootKeyNotFound},
		{"status of an unknown node", status(9, nodeID(5), "ready"), structs.ErrNodeNotFound},
		{"an unknown status", status(9, nodeID(1), "fine"), nil},
		{"status with an unknown key", func(t *Txn) error {
			return t.UpdateNodeStatus(9, &structs.NodeUpdateStatusRequest{NodeID: nodeID(1), Status: "ready", IdentitySigningKeyID: keyID(9)})
		}, structs.ErrRootKeyNotFound},
		{"delete no node", func(t *Txn) error { return t.DeleteNodes(9, nil) }, nil},
		{"delete a node and an unknown one", func(t *Txn) error { return t.DeleteNodes(9, []string{nodeID(1), nodeID(5)}) }, structs.ErrNodeNotFound},
		{"delete a node twice", func(t *Txn) error { return t.DeleteNodes(9, []string{nodeID(1), nodeID(1)}) }, structs.ErrNodeNotFound},
		{"drain an unknown node", func(t *Txn) error {
			return t.UpdateNodeDrain(9, &structs.NodeUpdateDrainRequest{NodeID: nodeID(5)})
		}, structs.ErrNodeNotFound},
		{"drain a node and an unknown one", func(t *Txn) error {
			return t.BatchUpdateNodeDrain(9, &structs.BatchNodeUpdateDrainRequest{Updates: map[string]*structs.DrainUpdate{nodeID(1): {}, nodeID(5): {}}})
		}, structs.ErrNodeNotFound},
		{"drain without an update", func(t *Txn) error {
			return t.BatchUpdateNodeDrain(9, &structs.BatchNodeUpdateDrainRequest{Updates: map[string]*structs.DrainUpdate{nodeID(1): nil}})
		}, nil},
		{"make a draining node eligible", func(t *Txn) error {
			return t.UpdateNodeEligibility(9, &structs.NodeUpdateEligibilityRequest{NodeID: nodeID(2), Eligibility: "eligible"})
		}, nil},
		{"an unknown eligibility", func(t *Txn) error {
			return t.UpdateNodeEligibility(9, &structs.NodeUpdateEligibilityRequest{NodeID: nodeID(1), Eligibility: "maybe"})
		}, nil},
		{"events of a node and an unknown one", func(t *Txn) error {
			return t.UpsertNodeEvents(9, map[string][]*structs.NodeEvent{nodeID(1): {{}}, nodeID(5): {{}}})
		}, structs.ErrNodeNotFound},
		{"a missing event", func(t *Txn) error {
			return t.UpsertNodeEvents(9, map[string][]*structs.NodeEvent{nodeID(1): {{}, nil}})
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New()
			must(t, s, register(7, newNode(1)), register(7, newNode(2)), func(t *Txn) error {
				return t.UpdateNodeDrain(8, &structs.NodeUpdateDrainRequest{NodeID: nodeID(2), DrainStrategy: &structs.DrainStrategy{}})
			})
			if err := unchanged(t, s, c.command); c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestNodeWhoseKeyIsGone: a key that vanished by an imported log must not stop the node's heartbeats.
func TestNodeWhoseKeyIsGone(t *testing.T) {
	s := New()
	n := newNode(1)
	n.IdentitySigningKeyID = keyID(1)
	must(t, s, putKey(2, newKey(1, structs.KeyStateInactive)), register(3, n),
		func(t *Txn) error { return t.DeleteRootKey(4, &structs.KeyringDeleteRequest{KeyID: keyID(1)}) },
		func(t *Txn) error {
			return t.UpdateNodeStatus(5, &structs.NodeUpdateStatusRequest{NodeID: n.ID, Status: "ready", IdentitySigningKeyID: keyID(1)})
		}, register(6, n))
}

func TestDrainIsRemembered(t *testing.T) {
	drain := &structs.DrainStrategy{StartedAt: time.Unix(50, 9).UTC()}
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	one := func(s *structs.DrainStrategy, when int64, eligible bool) func(*Txn) error {
		return func(t *Txn) error {
			return t.UpdateNodeDrain(uint64(when), &structs.NodeUpdateDrainRequest{
				NodeID: nodeID(1), DrainStrategy: s, UpdatedAt: when, MarkEligible: eligible, UpdatedBy: "me", Meta: map[string]string{"why": "x"},
			})
		}
	}
	batch := func(when int64) func(*Txn) error {
		return func(t *Txn) error {
			return t.BatchUpdateNodeDrain(uint64(when), &structs.BatchNodeUpdateDrainRequest{
				Updates: map[string]*structs.DrainUpdate{nodeID(1): {MarkEligible: true}}, UpdatedAt: when,
				NodeEvents: map[string]*structs.NodeEvent{nodeID(1): {Message: "done"}},
			})
		}
	}
	for _, c := range []struct {
		name        string
		commands    []func(*Txn) error
		last        *structs.DrainMetadata
		eligibility string
	}{
		{"from its start", []func(*Txn) error{one(drain, 100, false)},
			&structs.DrainMetadata{StartedAt: at(100), UpdatedAt: at(100), Status: "draining", AccessorID: "me", Meta: map[string]string{"why": "x"}}, "ineligible"},
		{"through changes", []func(*Txn) error{one(drain, 100, false), one(drain, 200, true)},
			&structs.DrainMetadata{StartedAt: at(100), UpdatedAt: at(200), Status: "draining", AccessorID: "me", Meta: map[string]string{"why": "x"}}, "ineligible"},
		{"to its cancellation", []func(*Txn) error{one(drain, 100, false), one(nil, 200, false)},
			&structs.DrainMetadata{StartedAt: at(100), UpdatedAt: at(200), Status: "canceled", AccessorID: "me", Meta: map[string]string{"why": "x"}}, "ineligible"},
		{"to its completion", []func(*Txn) error{one(drain, 100, false), batch(300)},
			&structs.DrainMetadata{StartedAt: at(100), UpdatedAt: at(300), Status: "complete", AccessorID: "me", Meta: map[string]string{"why": "x"}}, "eligible"},
		{"unchanged by an end to no drain", []func(*Txn) error{one(drain, 100, false), batch(300), one(nil, 400, false)},
			&structs.DrainMetadata{StartedAt: at(100), UpdatedAt: at(300), Status: "complete", AccessorID: "me", Meta: map[string]string{"why": "x"}}, "eligible"},
		{"anew from the next", []func(*Txn) error{one(drain, 100, false), batch(300), one(drain, 400, false)},
			&structs.DrainMetadata{StartedAt: at(400), UpdatedAt: at(400), Status: "draining", AccessorID: "me", Meta: map[string]string{"why": "x"}}, "ineligible"},
		{"not if there was none", []func(*Txn) error{one(nil, 100, true)}, nil, "eligible"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New()
			must(t, s, append([]func(*Txn) error{register(7, newNode(1))}, c.commands...)...)
			n := value[*structs.Node](t)(s.NodeByID(nil, nodeID(1)))
			if diff := cmp.Diff(c.last, n.LastDrain); diff != "" || n.SchedulingEligibility != c.eligibility {
				t.Errorf("%s; last drain (-want +got):\n%s", n.SchedulingEligibility, diff)
			}
		})
	}
}

func TestNodeEventsKeepTheLastTen(t *testing.T) {
	s := New()
	must(t, s, register(7, newNode(1)))
	var events []*structs.NodeEvent
	for i := range 12 {
		events = append(events, &structs.NodeEvent{Message: string(rune('a' + i))})
	}
	must(t, s, func(t *Txn) error { return t.UpsertNodeEvents(8, map[string][]*structs.NodeEvent{nodeID(1): events}) })
	n := value[*structs.Node](t)(s.NodeByID(nil, nodeID(1)))
	if len(n.Events) != 10 || n.Events[0].Message != "c" || n.Events[9].Message != "l" || n.Events[9].CreateIndex != 8 || n.ModifyIndex != 7 {
		t.Errorf("modified at %d, events %+v", n.ModifyIndex, n.Events)
	}
	if events[0].CreateIndex != 0 {
		t.Error("the request's events were changed")
	}
	if ix := value[uint64](t)(s.Index(TableNodes)); ix != 8 {
		t.Errorf("index of the node table is %d, want 8", ix)
	}
}
