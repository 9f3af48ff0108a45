package server

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

// addNodes puts n nodes of the status into the state, as of the given time, and returns their IDs.
func addNodes(t *testing.T, s *Server, n int, status string, since time.Time) []string {
	t.Helper()
	var ids []string
	var futures []raft.ApplyFuture
	for range n {
		node := testNode()
		node.Status, node.StatusUpdatedAt, node.NodePool = status, since.Unix(), structs.NodePoolDefault
		f, err := s.propose(structs.NodeRegisterMsg, &structs.NodeRegisterRequest{Node: node})
		if err != nil {
			t.Fatal(err)
		}
		ids, futures = append(ids, node.ID), append(futures, f)
	}
	for _, f := range futures {
		if _, err := outcome(structs.NodeRegisterMsg, f); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

func nodeIDs(t *testing.T, s *Server) []string {
	t.Helper()
	nodes, err := s.fsm.State().Nodes(nil)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for n := range nodes {
		ids = append(ids, n.ID)
	}
	return ids
}

func sorted(lists ...[]string) []string {
	out := slices.Concat(lists...)
	slices.Sort(out)
	return out
}

func TestNodesThatAreDownForTheThresholdAreRemoved(t *testing.T) {
	s := cluster(t, 1, nil)[0]
	now := time.Now()
	old := addNodes(t, s, 3, structs.NodeStatusDown, now.Add(-25*time.Hour))
	recent := addNodes(t, s, 2, structs.NodeStatusDown, now.Add(-23*time.Hour))
	ready := addNodes(t, s, 2, structs.NodeStatusReady, now.Add(-48*time.Hour))
	if err := s.collectNodes(t.Context(), 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if got, want := sorted(nodeIDs(t, s)), sorted(recent, ready); !slices.Equal(got, want) {
		t.Errorf("left %v, want %v; old ones are %v", got, want, old)
	}
}

func TestANodeIsNotRemovedByItselfWhileItsIdentityMayVerify(t *testing.T) {
	now := time.Now()
	n := &structs.Node{Status: structs.NodeStatusDown, StatusUpdatedAt: now.Add(-25 * time.Hour).Unix(), IdentitySigningKeyID: "k"}
	for _, c := range []struct {
		ttl  time.Duration
		want bool
	}{{0, false}, {24 * time.Hour, false}, {26 * time.Hour, true}, {30 * 24 * time.Hour, true}} {
		n.IdentityTTL = c.ttl
		if got := holdsIdentity(n, now); got != c.want {
			t.Errorf("identity of %s, down for 25 hours: %t, want %t", c.ttl, got, c.want)
		}
	}
	n.IdentitySigningKeyID = ""
	if holdsIdentity(n, now) {
		t.Error("a node that never had an identity is kept")
	}
}

func TestManyNodesAreRemovedInBoundedCommands(t *testing.T) {
	s := cluster(t, 1, nil)[0]
	addNodes(t, s, structs.MaxNodesPerDeregister+10, structs.NodeStatusDown, time.Now().Add(-25*time.Hour))
	if err := s.collectNodes(t.Context(), 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := s.fsm.State().NodeCount(); got != 0 {
		t.Errorf("%d nodes left", got)
	}
	commands := 0
	for _, typ := range loggedTypes(t, s) {
		if typ == structs.NodeBatchDeregisterMsg {
			commands++
		}
	}
	if commands != 2 {
		t.Errorf("%d commands, want 2 of at most %d nodes", commands, structs.MaxNodesPerDeregister)
	}
}

func TestACollectionOnDemandTakesAllThatIsDownAndRotatesNothing(t *testing.T) {
	servers := cluster(t, 3, nil)
	leader := waitLeader(t, servers...)
	down := addNodes(t, leader, 3, structs.NodeStatusDown, time.Now().Add(-2*time.Second))
	ready := addNodes(t, leader, 2, structs.NodeStatusReady, time.Now().Add(-48*time.Hour))
	key := activeKey(t, leader)
	for i, s := range servers {
		req := &structs.GenericRequest{QueryOptions: structs.QueryOptions{Region: testRegion}}
		if err := s.RPC(t.Context(), "System.GarbageCollect", req, &structs.GenericResponse{}); err != nil {
			t.Fatalf("over %s: %v", s.cfg.NodeName, err)
		}
		if got := sorted(nodeIDs(t, leader)); !slices.Equal(got, sorted(ready)) {
			t.Errorf("collection %d left %v, want %v without %v", i, got, ready, down)
		}
	}
	if got := keyStates(t, leader); len(got) != 1 || got[key] != structs.KeyStateActive {
		t.Errorf("keys %v", got)
	}
}

func TestALeaderCollectsByItself(t *testing.T) {
	s := cluster(t, 1, func(c *Config) { c.NodeGC.Interval = 50 * time.Millisecond })[0]
	addNodes(t, s, 3, structs.NodeStatusDown, time.Now().Add(-25*time.Hour))
	eventually(t, "the nodes to be removed", func() error {
		if n := s.fsm.State().NodeCount(); n != 0 {
			return fmt.Errorf("%d nodes", n)
		}
		return nil
	})
}
