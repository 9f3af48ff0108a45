package state

import (
	"fmt"
	"testing"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// fired reports whether anything in the watch set has changed by now.
func fired(ws memdb.WatchSet) bool {
	for ch := range ws {
		select {
		case <-ch:
			return true
		default:
		}
	}
	return false
}

// watchStore has nodes 0 to 99 in pool edge (even) and default (odd), the even ones signed with key 1.
func watchStore(t testing.TB) *Store {
	s := New()
	must(t, s, putPool(2, &structs.NodePool{Name: "edge"}), putKey(3, newKey(1, structs.KeyStateActive)),
		func(t *Txn) error { return t.SetSchedulerConfig(4, &structs.SchedulerConfiguration{}) })
	for i := range 100 {
		n := newNode(i)
		if i%2 == 0 {
			n.NodePool, n.IdentitySigningKeyID = "edge", keyID(1)
		}
		must(t, s, register(uint64(10+i), n))
	}
	return s
}

func status(index uint64, id, to string) func(*Txn) error {
	return func(t *Txn) error {
		return t.UpdateNodeStatus(index, &structs.NodeUpdateStatusRequest{NodeID: id, Status: to})
	}
}

// TestWatches checks for each read which changes wake it.
func TestWatches(t *testing.T) {
	changes := map[string]func(*Txn) error{
		"node 2 ready":   status(1000, nodeID(2), "ready"),
		"node 3 ready":   status(1000, nodeID(3), "ready"),
		"node 2 deleted": func(t *Txn) error { return t.DeleteNodes(1000, []string{nodeID(2)}) },
		"node 200 registered": func(t *Txn) error {
			return t.UpsertNode(1000, &structs.NodeRegisterRequest{Node: newNode(200)})
		},
		"pool edge written":   putPool(1000, &structs.NodePool{Name: "edge", Description: "new"}),
		"pool gpu written":    putPool(1000, &structs.NodePool{Name: "gpu"}),
		"key 1 written":       putKey(1000, newKey(1, structs.KeyStateActive)),
		"key 2 written":       putKey(1000, newKey(2, structs.KeyStateInactive)),
		"scheduler written":   func(t *Txn) error { return t.SetSchedulerConfig(1000, &structs.SchedulerConfiguration{}) },
		"autopilot written":   func(t *Txn) error { return t.SetAutopilotConfig(1000, &structs.AutopilotConfig{}) },
		"cluster named":       func(t *Txn) error { return t.SetClusterMetadata(1000, &structs.ClusterMetadata{ClusterID: "c"}) },
		"namespace written":   func(t *Txn) error { return t.UpsertNamespaces(1000, []*structs.Namespace{{Name: "prod"}}) },
		"gate opened":         openGate("a", "", ""),
		"a failing command":   status(1000, nodeID(2), "nonsense"),
		"an unrelated change": func(t *Txn) error { return t.NoteKeyUse(1000, structs.KeyUse{KeyID: keyID(9), User: "variable"}) },
	}
	anyNode := []string{"node 2 ready", "node 3 ready", "node 2 deleted", "node 200 registered"}
	anyPool := []string{"pool edge written", "pool gpu written"}
	anyKey := []string{"key 1 written", "key 2 written"}
	reads := map[string]struct {
		read  func(*Store, memdb.WatchSet) error
		wakes []string
	}{
		"a node by ID": {
			func(s *Store, ws memdb.WatchSet) error { _, err := s.NodeByID(ws, nodeID(2)); return err },
			[]string{"node 2 ready", "node 2 deleted"},
		},
		"all nodes":         {func(s *Store, ws memdb.WatchSet) error { _, err := s.Nodes(ws); return err }, anyNode},
		"nodes of a pool":   {func(s *Store, ws memdb.WatchSet) error { _, err := s.NodesByPool(ws, "edge"); return err }, anyNode},
		"nodes of pool all": {func(s *Store, ws memdb.WatchSet) error { _, err := s.NodesByPool(ws, "all"); return err }, anyNode},
		"nodes of a key":    {func(s *Store, ws memdb.WatchSet) error { _, err := s.NodesBySigningKey(ws, keyID(1)); return err }, anyNode},
		"nodes by ID prefix": {
			func(s *Store, ws memdb.WatchSet) error { _, err := s.NodesByIDPrefix(ws, nodeID(2)[:8]); return err },
			[]string{"node 2 ready", "node 2 deleted"},
		},
		"all pools": {func(s *Store, ws memdb.WatchSet) error { _, err := s.NodePools(ws); return err }, anyPool},
		"a pool": {
			func(s *Store, ws memdb.WatchSet) error { _, err := s.NodePoolByName(ws, "edge"); return err },
			[]string{"pool edge written"},
		},
		"all keys": {func(s *Store, ws memdb.WatchSet) error { _, err := s.RootKeys(ws); return err }, anyKey},
		"a key": {
			func(s *Store, ws memdb.WatchSet) error { _, err := s.RootKeyByID(ws, keyID(1)); return err },
			[]string{"key 1 written"},
		},
		"the active key": {func(s *Store, ws memdb.WatchSet) error { _, err := s.ActiveRootKey(ws); return err }, anyKey},
		"the scheduler configuration": {
			func(s *Store, ws memdb.WatchSet) error { _, err := s.SchedulerConfig(ws); return err },
			[]string{"scheduler written"},
		},
		"the missing autopilot configuration": {
			func(s *Store, ws memdb.WatchSet) error { _, err := s.AutopilotConfig(ws); return err },
			[]string{"autopilot written"},
		},
		"the missing cluster metadata": {
			func(s *Store, ws memdb.WatchSet) error { _, err := s.ClusterMetadata(ws); return err },
			[]string{"cluster named"},
		},
		"all namespaces": {
			func(s *Store, ws memdb.WatchSet) error { _, err := s.Namespaces(ws); return err },
			[]string{"namespace written"},
		},
		"all feature gates": {
			func(s *Store, ws memdb.WatchSet) error { _, err := s.FeatureGates(ws); return err },
			[]string{"gate opened"},
		},
	}
	for readName, r := range reads {
		wakes := map[string]bool{}
		for _, w := range r.wakes {
			if changes[w] == nil {
				t.Fatalf("no change is called %q", w)
			}
			wakes[w] = true
		}
		for changeName, change := range changes {
			t.Run(fmt.Sprintf("%s and %s", readName, changeName), func(t *testing.T) {
				t.Parallel()
				s, ws := watchStore(t), memdb.NewWatchSet()
				if err := r.read(s, ws); err != nil {
					t.Fatal(err)
				}
				txn := s.WriteTxn()
				_ = change(txn)
				if fired(ws) {
					t.Error("woken before the change was committed")
				}
				txn.Commit()
				if got := fired(ws); got != wakes[changeName] {
					t.Errorf("woken: %v, want %v", got, wakes[changeName])
				}
			})
		}
	}
}

func TestWatchOfAbsentNode(t *testing.T) {
	for name, read := range map[string]func(*Store, memdb.WatchSet) error{
		"by ID":     func(s *Store, ws memdb.WatchSet) error { _, err := s.NodeByID(ws, nodeID(500)); return err },
		"by prefix": func(s *Store, ws memdb.WatchSet) error { _, err := s.NodesByIDPrefix(ws, nodeID(500)); return err },
		"by key":    func(s *Store, ws memdb.WatchSet) error { _, err := s.NodesBySigningKey(ws, keyID(9)); return err },
		"by pool":   func(s *Store, ws memdb.WatchSet) error { _, err := s.NodesByPool(ws, "gpu"); return err },
	} {
		t.Run(name+" wakes when it is registered", func(t *testing.T) {
			s, ws := watchStore(t), memdb.NewWatchSet()
			if err := read(s, ws); err != nil {
				t.Fatal(err)
			}
			must(t, s, register(1000, newNode(500)))
			if !fired(ws) {
				t.Error("not woken")
			}
		})
	}
}

func TestAbandonWakesWaiters(t *testing.T) {
	s := New()
	ws := memdb.NewWatchSet()
	ws.Add(s.AbandonCh())
	if fired(ws) {
		t.Fatal("a store in use counts as abandoned")
	}
	s.Abandon()
	s.Abandon()
	if !fired(ws) {
		t.Error("not woken")
	}
}

func TestAbortedTransactionLeavesNothing(t *testing.T) {
	s, ws := watchStore(t), memdb.NewWatchSet()
	before := digest(t, s)
	all[*structs.Node](t)(s.Nodes(ws))
	txn := s.WriteTxn()
	if err := register(1000, newNode(500))(txn); err != nil {
		t.Fatal(err)
	}
	txn.Abort()
	txn.Commit() // does nothing any more
	if fired(ws) || digest(t, s) != before || s.NodeCount() != 100 {
		t.Errorf("woken %v, %d nodes", fired(ws), s.NodeCount())
	}
	must(t, s, register(1001, newNode(500))) // the writer's lock is free again
	if s.NodeCount() != 101 {
		t.Errorf("%d nodes, want 101", s.NodeCount())
	}
}
