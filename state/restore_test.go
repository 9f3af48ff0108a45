package state

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	for _, g := range all[*structs.FeatureGate](t)(s.FeatureGates(nil)) {
		check(r.FeatureGate(reread(t, g)))
	}
	for _, p := range all[*structs.ACLPolicy](t)(s.ACLPolicies(nil)) {
		check(r.ACLPolicy(reread(t, p)))
	}
	for _, token := range all[*structs.ACLToken](t)(s.ACLTokens(nil, "")) {
		check(r.ACLToken(reread(t, token)))
	}
	for _, role := range all[*structs.ACLRole](t)(s.ACLRoles(nil)) {
		check(r.ACLRole(reread(t, role)))
	}
	for _, o := range all[*structs.OneTimeToken](t)(s.OneTimeTokens(nil)) {
		check(r.OneTimeToken(reread(t, o)))
	}
	for _, u := range s.KeyUses() {
		check(r.KeyUse(u))
	}
	for _, o := range s.OpaqueRecords() {
		check(r.Opaque(o))
	}
	check(r.Base(value[structs.StateBase](t)(s.Base())))
	check(r.Commit())
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

func TestRestoreBringsRecordsUpToDate(t *testing.T) {
	s := New()
	r := s.Restore()
	legacy := newNode(1)
	for _, err := range []error{
		r.NodePool(&structs.NodePool{Name: "default", Description: "Default node pool.", CreateIndex: 1, ModifyIndex: 1}),
		r.NodePool(&structs.NodePool{Name: "edge", CreateIndex: 8, ModifyIndex: 95}),
		r.NodePool(&structs.NodePool{Name: "gpu", NodeIdentityTTL: time.Hour}),
		r.Node(legacy),
		r.Index(structs.IndexEntry{Key: "jobs", Value: 90}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if s.NodeCount() != 0 {
		t.Error("visible before it is committed")
	}
	if err := r.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := r.Report(); got != (RestoreReport{PoolsBackfilled: 2, SecretsConverted: 1}) {
		t.Errorf("report %+v", got)
	}
	for name, want := range map[string]time.Duration{"all": 24 * time.Hour, "default": 24 * time.Hour, "edge": 24 * time.Hour, "gpu": time.Hour} {
		p := value[*structs.NodePool](t)(s.NodePoolByName(nil, name))
		if p.NodeIdentityTTL != want || len(p.Hash) != 32 {
			t.Errorf("pool %s: %+v", name, p)
		}
	}
	n := value[*structs.Node](t)(s.NodeBySecretHash(structs.HashSecret(secret(1))))
	if s.NodeCount() != 1 || n == nil || n.SecretID != "" || n.NodePool != "default" || n.SchedulingEligibility != "eligible" {
		t.Errorf("%d nodes, %+v", s.NodeCount(), n)
	}
	if latest := value[uint64](t)(s.LatestIndex()); latest != 90 {
		t.Errorf("latest index %d, want 90", latest)
	}
}

func TestRestoreRefusesABadPool(t *testing.T) {
	r := New().Restore()
	defer r.Abort()
	err := r.NodePool(&structs.NodePool{Name: "edge", NodeIdentityTTL: -time.Hour})
	if err == nil || !strings.Contains(err.Error(), `"edge"`) || !strings.Contains(err.Error(), "negative") {
		t.Errorf("got %v, want an error that names the pool and what is wrong", err)
	}
}

// opaque returns a record whose value is the map.
func opaque(t testing.TB, typ structs.RecordType, v map[string]any) structs.OpaqueRecord {
	return structs.OpaqueRecord{Type: typ, Data: encoded(t, v)}
}

func TestOpaqueRecords(t *testing.T) {
	records := []structs.OpaqueRecord{
		opaque(t, variableRecord, map[string]any{"Path": "a", "KeyID": keyID(1), "Data": []byte{1}}),
		opaque(t, 1, map[string]any{"ID": "job-b"}),
		opaque(t, allocationRecord, map[string]any{"SigningKeyID": keyID(1), "ClientStatus": "running"}),
		opaque(t, 1, map[string]any{"ID": "job-a"}),
		opaque(t, allocationRecord, map[string]any{"SigningKeyID": keyID(2), "ClientStatus": "complete"}),
		opaque(t, allocationRecord, map[string]any{"SigningKeyID": keyID(2), "ClientStatus": "failed"}),
		opaque(t, allocationRecord, map[string]any{"SigningKeyID": keyID(2), "ClientStatus": "lost"}),
		opaque(t, allocationRecord, map[string]any{"SigningKeyID": keyID(3), "ClientStatus": "pending"}),
	}
	load := func(order ...int) *Store {
		s := New()
		r := s.Restore()
		for _, i := range order {
			if err := r.Opaque(records[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Commit(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := load(0, 1, 2, 3, 4, 5, 6, 7)
	want := []structs.OpaqueRecord{records[1], records[3], records[2], records[4], records[5], records[6], records[7], records[0]}
	if diff := cmp.Diff(want, s.OpaqueRecords()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for key, want := range map[int]int{1: 2, 2: 0, 3: 1} {
		if got := value[KeyUsers](t)(s.KeyUsers(keyID(key), 1)); got.Foreign != want || got.InUse() != (want > 0) {
			t.Errorf("key %d has users %+v, want %d foreign ones", key, got, want)
		}
	}
	if digest(t, s) != digest(t, load(1, 0, 3, 2, 4, 5, 6, 7)) {
		t.Error("the order between types shows in the digest")
	}
	if digest(t, s) == digest(t, load(0, 3, 2, 1, 4, 5, 6, 7)) {
		t.Error("the order within a type, which is kept, doesn't show in the digest")
	}
	if digest(t, s) == digest(t, load(0, 1, 2, 3, 4, 5, 6)) {
		t.Error("a missing record doesn't show in the digest")
	}
	checkRestored(t, s)

	r := New().Restore()
	defer r.Abort()
	if err := r.Opaque(structs.OpaqueRecord{Type: variableRecord, Data: structs.Raw{0x92, 0x01}}); err == nil {
		t.Error("a record that is cut off was taken")
	}
}

func TestTheLastRecordOfANodeCountsInAnyOrder(t *testing.T) {
	s := New()
	r := s.Restore()
	for _, e := range []struct {
		node int
		name string
	}{{3, "first"}, {1, "first"}, {2, "first"}, {3, "second"}, {1, "second"}, {2, "second"}} {
		n := newNode(e.node)
		n.Name = e.name
		if err := r.Node(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Commit(); err != nil {
		t.Fatal(err)
	}
	nodes := all[*structs.Node](t)(s.Nodes(nil))
	if len(nodes) != 3 || s.NodeCount() != 3 {
		t.Fatalf("%d nodes, counted as %d, want 3", len(nodes), s.NodeCount())
	}
	for _, n := range nodes {
		if n.Name != "second" {
			t.Errorf("node %s has its %s record", n.ID, n.Name)
		}
	}
	checkRestored(t, s)
}

func TestRestoredSecretsMayCollide(t *testing.T) {
	s := New()
	r := s.Restore()
	for _, i := range []int{2, 1} {
		n := newNode(i)
		n.SecretID = secret(7)
		if err := r.Node(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Commit(); err != nil {
		t.Fatal(err)
	}
	first, second := min(nodeID(1), nodeID(2)), max(nodeID(1), nodeID(2))
	hash := structs.HashSecret(secret(7))
	if n := value[*structs.Node](t)(s.NodeBySecretHash(hash)); n == nil || n.ID != first {
		t.Errorf("got %v, want node %s", n, first)
	}
	must(t, s, func(t *Txn) error { return t.DeleteNodes(9, []string{first}) })
	if n := value[*structs.Node](t)(s.NodeBySecretHash(hash)); n == nil || n.ID != second {
		t.Errorf("got %v, want the other node once the first is gone", n)
	}
}
