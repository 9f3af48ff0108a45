package state

import (
	"slices"
	"sync"
	"testing"

	"github.com/rollcall-id/rollcall/structs"
)

// Sets of nodes are shared between a snapshot and what is written after it: neither may see the other's.
func TestNodeSetsOfASnapshotStayAsTheyWere(t *testing.T) {
	s := New()
	const before, after = 300, 600
	add := func(i int) {
		must(t, s, func(txn *Txn) error {
			n := newNode(i)
			n.NodePool = "edge"
			return txn.UpsertNode(uint64(10+i), &structs.NodeRegisterRequest{Node: n, CreateNodePool: true})
		})
	}
	for i := range before {
		add(i)
	}
	snap := s.Snapshot()
	want := ids(all[*structs.Node](t)(snap.NodesByPool(nil, "edge")))
	if len(want) != before || !slices.IsSorted(want) {
		t.Fatalf("%d nodes, in order: %v", len(want), slices.IsSorted(want))
	}
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for range 50 {
				if got := ids(all[*structs.Node](t)(snap.NodesByPool(nil, "edge"))); !slices.Equal(got, want) {
					t.Errorf("the snapshot has %d nodes of the pool, want the %d that it had", len(got), len(want))
				}
				if n := value[*structs.Node](t)(snap.NodeBySecretHash(structs.HashSecret(secret(7)))); n == nil || n.ID != nodeID(7) {
					t.Errorf("the snapshot has %v for a secret, want node 7", n)
				}
			}
		})
	}
	for i := before; i < after; i++ {
		add(i)
	}
	for i := range before {
		must(t, s, func(txn *Txn) error { return txn.DeleteNodes(uint64(2000+i), []string{nodeID(i)}) })
	}
	readers.Wait()
	if got := len(all[*structs.Node](t)(s.NodesByPool(nil, "edge"))); got != after-before {
		t.Errorf("%d nodes of the pool, want %d", got, after-before)
	}
}

func TestNodeSetsWithoutNodesHaveNoRow(t *testing.T) {
	s := New()
	must(t, s, register(10, newNode(1)))
	rows := func(table string) int { return len(all[*nodeSet](t)(list[nodeSet](s.read(), nil, table, ""))) }
	if rows(tableNodesByPool) != 1 || rows(tableNodesBySecret) != 1 {
		t.Fatalf("%d sets by pool and %d by secret, want one of each", rows(tableNodesByPool), rows(tableNodesBySecret))
	}
	// A set that is emptied and filled again by one transaction has its row.
	must(t, s, func(txn *Txn) error {
		if err := txn.DeleteNodes(11, []string{nodeID(1)}); err != nil {
			return err
		}
		return register(12, newNode(2))(txn)
	})
	if got := ids(all[*structs.Node](t)(s.NodesByPool(nil, "default"))); !slices.Equal(got, []string{nodeID(2)}) {
		t.Errorf("nodes of the pool: %v, want the second", got)
	}
	must(t, s, func(txn *Txn) error { return txn.DeleteNodes(13, []string{nodeID(2)}) })
	for _, ix := range nodeIndexes {
		if n := rows(ix.table); n != 0 {
			t.Errorf("%s has %d rows without any node", ix.table, n)
		}
	}
}
