package state

import (
	"sync"
	"testing"

	"github.com/rollcall-id/rollcall/structs"
)

func TestClusterIsNamedOnce(t *testing.T) {
	s := New()
	name := func(id string, created int64) func(*Txn) error {
		return func(t *Txn) error {
			return t.SetClusterMetadata(5, &structs.ClusterMetadata{ClusterID: id, CreateTime: created})
		}
	}
	_ = unchanged(t, s, name("", 1))
	must(t, s, name("a", 1), name("a", 2))
	_ = unchanged(t, s, name("b", 3))
	if m := value[*structs.ClusterMetadata](t)(s.ClusterMetadata(nil)); m.ClusterID != "a" || m.CreateTime != 1 {
		t.Errorf("got %+v", m)
	}
}

func TestConfigurationsAreSwappedOnlyIfUnchanged(t *testing.T) {
	s := New()
	var swapped [3]bool
	cas := func(i int, index, expect uint64) func(*Txn) error {
		return func(t *Txn) (err error) {
			swapped[i], err = t.CASAutopilotConfig(index, &structs.AutopilotConfig{ModifyIndex: expect, MaxTrailingLogs: index})
			return err
		}
	}
	must(t, s, cas(0, 4, 0),
		func(t *Txn) error { return t.SetAutopilotConfig(5, &structs.AutopilotConfig{ModifyIndex: 77}) },
		cas(1, 6, 4), cas(2, 7, 5))
	if swapped != [3]bool{false, false, true} {
		t.Errorf("swapped %v: want no swap without a value, none of a changed one, one of the present one", swapped)
	}
	if c := value[*structs.AutopilotConfig](t)(s.AutopilotConfig(nil)); c.CreateIndex != 5 || c.ModifyIndex != 7 || c.MaxTrailingLogs != 7 {
		t.Errorf("got %+v", c)
	}
	_ = unchanged(t, s, func(t *Txn) error { return t.SetAutopilotConfig(8, nil) })
	_ = unchanged(t, s, func(t *Txn) error { return t.SetSchedulerConfig(8, nil) })
}

func TestDefaultNamespaceStays(t *testing.T) {
	s := New()
	must(t, s, func(t *Txn) error { return t.UpsertNamespaces(5, []*structs.Namespace{{Name: "prod"}}) })
	_ = unchanged(t, s, func(t *Txn) error { return t.DeleteNamespaces(6, []string{"prod", "default"}) })
	_ = unchanged(t, s, func(t *Txn) error { return t.DeleteNamespaces(6, []string{"prod", "prod"}) })
	must(t, s, func(t *Txn) error { return t.DeleteNamespaces(6, []string{"prod"}) })
	if n := value[*structs.Namespace](t)(s.NamespaceByName(nil, "prod")); n != nil {
		t.Errorf("got %+v", n)
	}
}

// TestReadersSeeWholeTransactions: while a writer moves nodes between pools in batches, every snapshot has all of
// them, in one pool or the other.
func TestReadersSeeWholeTransactions(t *testing.T) {
	s := New()
	move := func(index uint64, pool string) {
		txn := s.WriteTxn()
		defer txn.Commit()
		for i := range 8 {
			n := newNode(i)
			n.NodePool = pool
			if err := register(index, n)(txn); err != nil {
				t.Error(err)
			}
		}
	}
	move(5, "a")
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				snap := s.Snapshot()
				a, b := len(all[*structs.Node](t)(snap.NodesByPool(nil, "a"))), len(all[*structs.Node](t)(snap.NodesByPool(nil, "b")))
				if a+b != 8 || a*b != 0 {
					t.Errorf("%d nodes in one pool and %d in the other", a, b)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range uint64(200) {
		move(6+i, []string{"b", "a"}[i%2])
	}
	close(done)
	readers.Wait()
}
