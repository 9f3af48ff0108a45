package state

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

func TestPoolsAreBackfilledAsTheyAreWritten(t *testing.T) {
	s := New()
	p := &structs.NodePool{Name: "edge", Hash: []byte("old")}
	must(t, s, putPool(5, p), putPool(6, &structs.NodePool{Name: "edge", NodeIdentityTTL: time.Hour}), putPool(7, p))
	got := value[*structs.NodePool](t)(s.NodePoolByName(nil, "edge"))
	want := &structs.NodePool{Name: "edge", NodeIdentityTTL: 24 * time.Hour}
	want.SetHash()
	if got.NodeIdentityTTL != 24*time.Hour || string(got.Hash) != string(want.Hash) || got.CreateIndex != 5 || got.ModifyIndex != 7 {
		t.Errorf("got %+v", got)
	}
	if p.NodeIdentityTTL != 0 || string(p.Hash) != "old" {
		t.Errorf("the request's pool was changed: %+v", p)
	}
}

func TestBuiltinPoolsHaveAnIdentityTTL(t *testing.T) {
	for _, name := range []string{"all", "default"} {
		p := value[*structs.NodePool](t)(New().NodePoolByName(nil, name))
		if p == nil || p.NodeIdentityTTL != 24*time.Hour || p.CreateIndex != 1 || len(p.Hash) != 32 {
			t.Errorf("pool %s: %+v", name, p)
		}
	}
}

func TestPoolCommandsThatAreRefused(t *testing.T) {
	put := func(pools ...*structs.NodePool) func(*Txn) error {
		return func(t *Txn) error { return t.UpsertNodePools(9, pools) }
	}
	del := func(names ...string) func(*Txn) error {
		return func(t *Txn) error { return t.DeleteNodePools(9, names) }
	}
	good := &structs.NodePool{Name: "good"}
	for _, c := range []struct {
		name    string
		command func(*Txn) error
		want    string
	}{
		{"write a built-in pool", put(good, &structs.NodePool{Name: "default"}), `RPC Error:: 400,modifying node pool "default" is not allowed`},
		{"write a negative TTL", put(good, &structs.NodePool{Name: "bad", NodeIdentityTTL: -1}), "negative"},
		{"write a TTL of eleven years", put(good, &structs.NodePool{Name: "bad", NodeIdentityTTL: 11 * 365 * 24 * time.Hour}), "ten years"},
		{"write a pool without a name", put(good, &structs.NodePool{}), "no name"},
		{"write a missing pool", put(good, nil), "missing"},
		{"delete a built-in pool", del("edge", "all"), `RPC Error:: 400,deleting node pool "all" is not allowed`},
		{"delete an unknown pool", del("edge", "nopool"), structs.ErrNodePoolNotFound.Error()},
		{"delete a pool twice", del("edge", "edge"), structs.ErrNodePoolNotFound.Error()},
		{"delete a pool with nodes", del("edge", "gpu"), `node pool "gpu" has nodes`},
		{"delete an empty name", del(""), "RPC Error:: 400,"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New()
			n := newNode(1)
			n.NodePool = "gpu"
			must(t, s, putPool(5, &structs.NodePool{Name: "edge"}), putPool(6, &structs.NodePool{Name: "gpu"}), register(7, n))
			if err := unchanged(t, s, c.command); !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	t.Run("a pool can be deleted once its nodes are gone", func(t *testing.T) {
		s := New()
		n := newNode(1)
		n.NodePool = "edge"
		must(t, s, putPool(5, &structs.NodePool{Name: "edge"}), register(6, n))
		if err := unchanged(t, s, del("edge")); errors.Is(err, structs.ErrNodePoolNotFound) {
			t.Fatal(err)
		}
		must(t, s, func(t *Txn) error { return t.DeleteNodes(7, []string{n.ID}) }, del("edge"))
	})
}
