package state

import (
	"github.com/rollcall-id/rollcall/structs"
)

// reread returns what a reader of v's encoding gets.
func reread[T any](t failer, v *T) *T {
	t.Helper()
	out := new(T)
	if err := structs.Decode(encoded(t, v), out); err != nil {
		t.Fatal(err)
	}
	return out
}

// copyOf loads everything that can be read from s into a new store, by way of its encoding.
func copyOf(t failer, s *Store) *Store {
	t.Helper()
	c := New()
	r := c.Restore()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range value[[]structs.IndexEntry](t)(s.Indexes()) {
		check(r.Index(e))
	}
	for _, n := range all[*structs.Node](t)(s.Nodes(nil)) {
		check(r.Node(reread(t, n)))
	}
	for _, p := range all[*structs.NodePool](t)(s.NodePools(nil)) {
		check(r.NodePool(reread(t, p)))
	}
	for _, k := range all[*structs.RootKey](t)(s.RootKeys(nil)) {
		check(r.RootKey(reread(t, k)))
	}
	for _, n := range all[*structs.Namespace](t)(s.Namespaces(nil)) {
		check(r.Namespace(reread(t, n)))
	}
	if m := value[*structs.ClusterMetadata](t)(s.ClusterMetadata(nil)); m != nil {
		check(r.ClusterMetadata(reread(t, m)))
	}
	if a := value[*structs.AutopilotConfig](t)(s.AutopilotConfig(nil)); a != nil {
		check(r.AutopilotConfig(reread(t, a)))
	}
	if a := value[*structs.SchedulerConfiguration](t)(s.SchedulerConfig(nil)); a != nil {
		check(r.SchedulerConfig(reread(t, a)))
	}
	for _, u := range s.KeyUses() {
		check(r.KeyUse(u))
	}
	for _, o := range s.OpaqueRecords() {
		check(r.Opaque(o))
	}
	r.Commit()
	return c
}

// checkRestored fails unless a store that was loaded with everything of s is like s.
func checkRestored(t failer, s *Store) {
	t.Helper()
	c := copyOf(t, s)
	if digest(t, c) != digest(t, s) {
		t.Fatal("a restored copy has another digest")
	}
	if c.NodeCount() != s.NodeCount() {
		t.Fatalf("a restored copy has %d nodes, want %d", c.NodeCount(), s.NodeCount())
	}
}
