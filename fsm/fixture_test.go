package fsm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/structs"
)

// See testdata/nomad-1.10.5/README.md: all of it was written by a Nomad 1.10.5 server.
const fixture = "testdata/nomad-1.10.5"

// member returns a file out of a gzip tar archive of the fixture.
func member(tb testing.TB, archive, name string) []byte {
	tb.Helper()
	f, err := os.Open(filepath.Join(fixture, archive))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	zip, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	for in := tar.NewReader(zip); ; {
		h, err := in.Next()
		if err != nil {
			tb.Fatalf("%s in %s: %v", name, archive, err)
		}
		if h.Name == name {
			b, err := io.ReadAll(in)
			if err != nil {
				tb.Fatal(err)
			}
			return b
		}
	}
}

func answered[T any](tb testing.TB, name string) (v T) {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(fixture, name))
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		tb.Fatal(err)
	}
	return v
}

// checkFixtureState compares a state with what the server that it comes from answered about it.
func checkFixtureState(t *testing.T, f *FSM) {
	t.Helper()
	s := f.State()
	pools, err := s.NodePools(nil)
	var names []string
	for _, p := range collect(t, pools, err) {
		names = append(names, p.Name)
		if p.NodeIdentityTTL != 24*time.Hour || len(p.Hash) != 32 {
			t.Errorf("pool %s: TTL %s, hash %x", p.Name, p.NodeIdentityTTL, p.Hash)
		}
	}
	if diff := cmp.Diff([]string{"all", "default", "edge", "newpool"}, names); diff != "" {
		t.Errorf("pools, -want +got:\n%s", diff)
	}
	for _, want := range answered[[]*structs.NodePool](t, "pools.json") {
		got := pool(t, f, want.Name)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(structs.NodePool{}, "Hash", "NodeIdentityTTL")); diff != "" {
			t.Errorf("pool %s, -want +got:\n%s", want.Name, diff)
		}
	}

	keys, err := s.RootKeys(nil)
	var metas []*structs.RootKeyMeta
	for _, k := range collect(t, keys, err) {
		if len(k.WrappedKeys) != 1 || len(k.WrappedKeys[0].KeyEncryptionKey) != 32 || k.WrappedKeys[0].WrappedRSAKey == nil {
			t.Errorf("key %s lost its material", k.KeyID)
		}
		metas = append(metas, k.Meta())
	}
	if diff := cmp.Diff(answered[[]*structs.RootKeyMeta](t, "keys.json"), metas); diff != "" {
		t.Errorf("keys, -want +got:\n%s", diff)
	}

	type stub struct {
		ID, Name, NodePool, Status, SchedulingEligibility string
		Drain                                             bool
		CreateIndex, ModifyIndex                          uint64
	}
	var got []stub
	for _, n := range nodes(t, s) {
		if n.SecretID != "" || len(n.SecretHash) != 32 {
			t.Errorf("the secret of node %s was not converted", n.ID)
		}
		if n.Attributes.Len() == 0 || len(n.Events) == 0 {
			t.Errorf("node %s lost attributes or events", n.ID)
		}
		got = append(got, stub{n.ID, n.Name, n.NodePool, n.Status, n.SchedulingEligibility, n.DrainStrategy != nil, n.CreateIndex, n.ModifyIndex})
	}
	if len(got) != 40 || s.NodeCount() != 40 {
		t.Errorf("%d nodes, counted %d", len(got), s.NodeCount())
	}
	want := answered[[]stub](t, "nodes.json")
	slices.SortFunc(want, func(a, b stub) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("nodes, -want +got:\n%s", diff)
	}

	meta, err := s.ClusterMetadata(nil)
	if err != nil || meta == nil || meta.ClusterID != "1536270f-dad9-69d1-a402-cd58a6e19000" {
		t.Errorf("cluster metadata %v, %v", meta, err)
	}
	if c, err := s.SchedulerConfig(nil); err != nil || c == nil || c.SchedulerAlgorithm != "binpack" || !c.PreemptionConfig.SystemSchedulerEnabled {
		t.Errorf("scheduler configuration %v, %v", c, err)
	}
	if n, err := s.NamespaceByName(nil, "team-a"); err != nil || n == nil || n.Description != "team a" {
		t.Errorf("namespace %v, %v", n, err)
	}
	// The rotated key encrypts the variable.
	if users, err := s.KeyUsers("6bbe0afe-7825-0fb8-6e68-e9e4f1b176cc", 1_795_300_000); err != nil || users.Foreign != 1 {
		t.Errorf("users of the rotated key: %+v, %v", users, err)
	}
}

func TestRestoreOfANomadSnapshotGivesWhatThatServerHad(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	stream := member(t, "state.snap", "state.bin")
	restore(t, f, stream)
	checkFixtureState(t, f)

	report := f.LastRestore()
	if report.Index != 96 || report.PoolsBackfilled != 4 || report.SecretsConverted != 40 {
		t.Errorf("report %+v", report)
	}
	wantRecords := map[structs.RecordType]uint64{
		structs.NodeRecord: 40, structs.NodePoolRecord: 4, structs.RootKeyRecord: 2, structs.NamespaceRecord: 2,
		structs.ClusterMetadataRecord: 1, structs.SchedulerConfigRecord: 1,
	}
	for _, c := range report.Records {
		if want, ok := wantRecords[c.Type]; ok && c.Records != want {
			t.Errorf("%d %s records, want %d", c.Records, c.Type, want)
		}
	}
	var size uint64 = 1
	for _, c := range slices.Concat(report.Records, report.Opaque, report.Discarded) {
		size += c.Bytes
	}
	if size != uint64(len(stream)) {
		t.Errorf("the report accounts for %d of %d bytes", size, len(stream))
	}
}

func TestRestoreOfANomadSnapshotKeepsWhatIsLaterDeleted(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	restore(t, f, member(t, "early.snap", "state.bin"))
	if p := pool(t, f, "gpu"); p == nil || p.NodeIdentityTTL != 24*time.Hour || p.Meta["site"] != "oslo" {
		t.Errorf("pool %+v", p)
	}
	if r := f.LastRestore(); r.PoolsBackfilled != 5 || r.Index != 94 {
		t.Errorf("report %+v", r)
	}
}

// TestANomadSnapshotSavedAgainLosesNothing: opaque records come out byte for byte, the others with all they held.
func TestANomadSnapshotSavedAgainLosesNothing(t *testing.T) {
	t.Parallel()
	stream := member(t, "state.snap", "state.bin")
	f := New(Config{})
	restore(t, f, stream)
	saved := persist(t, f)
	before, after := readRecords(t, stream), readRecords(t, saved)
	for typ, want := range before {
		got := after[typ]
		if loaders[typ] == nil {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("opaque %s records, -before +after:\n%s", typ, diff)
			}
			continue
		}
		if len(got) != len(want) {
			t.Errorf("%d %s records became %d", len(want), typ, len(got))
			continue
		}
		sortBy := map[structs.RecordType]string{structs.IndexRecord: "Key", structs.NodePoolRecord: "Name", structs.NamespaceRecord: "Name", structs.RootKeyRecord: "KeyID", structs.NodeRecord: "ID"}[typ]
		converted := map[structs.RecordType]string{
			structs.NodeRecord:     "SecretID", // became SecretHash
			structs.NodePoolRecord: "Hash",     // covers the TTL now
		}[typ]
		saved := decodeAll(t, got, sortBy)
		for i, old := range decodeAll(t, want, sortBy) {
			delete(old, converted)
			for _, path := range lost("", old, saved[i]) {
				t.Errorf("%s record %d lost or changed %s", typ, i, path)
			}
		}
	}
	again := New(Config{})
	restore(t, again, saved)
	sameState(t, "saved and restored", f, again)
	if r := again.LastRestore(); r.PoolsBackfilled != 0 || r.SecretsConverted != 0 {
		t.Errorf("the second restore had to convert: %+v", r)
	}
}

// lost returns the paths of what is in before and not, or otherwise, in after.
func lost(path string, before, after any) []string {
	var paths []string
	switch b := before.(type) {
	case map[string]any:
		a, _ := after.(map[string]any)
		for k, v := range b {
			paths = append(paths, lost(path+"."+k, v, a[k])...)
		}
	case []any:
		a, _ := after.([]any)
		if len(a) != len(b) {
			return []string{path}
		}
		for i := range b {
			paths = append(paths, lost(path+"[]", b[i], a[i])...)
		}
	default:
		if !cmp.Equal(before, after) {
			return []string{path}
		}
	}
	return paths
}

func readRecords(tb testing.TB, stream []byte) map[structs.RecordType][]string {
	tb.Helper()
	records := map[structs.RecordType][]string{}
	for in := snapshot.NewReader(bytes.NewReader(stream)); ; {
		rec, err := in.Next()
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			tb.Fatal(err)
		}
		records[rec.Type] = append(records[rec.Type], string(rec.Raw))
	}
}

func decodeAll(tb testing.TB, raws []string, sortBy string) []map[string]any {
	tb.Helper()
	list := make([]map[string]any, len(raws))
	for i, raw := range raws {
		if err := structs.Decode([]byte(raw), &list[i]); err != nil {
			tb.Fatal(err)
		}
	}
	if sortBy != "" {
		slices.SortFunc(list, func(a, b map[string]any) int {
			return bytes.Compare([]byte(a[sortBy].(string)), []byte(b[sortBy].(string)))
		})
	}
	return list
}

// fixtureLog returns the whole Raft log of the fixture.
func fixtureLog(tb testing.TB) []*raft.Log {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "raft.db")
	if err := os.WriteFile(path, member(tb, "server-datadir.tar.gz", "server/raft/raft.db"), 0o600); err != nil {
		tb.Fatal(err)
	}
	store, err := raftboltdb.New(raftboltdb.Options{Path: path})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	first, _ := store.FirstIndex()
	last, _ := store.LastIndex()
	if first != 1 || last != 96 {
		tb.Fatalf("log from %d to %d", first, last)
	}
	var entries []*raft.Log
	for i := first; i <= last; i++ {
		l := &raft.Log{}
		if err := store.GetLog(i, l); err != nil {
			tb.Fatal(err)
		}
		entries = append(entries, l)
	}
	return entries
}

func TestReplayOfANomadLogGivesWhatThatServerHad(t *testing.T) {
	t.Parallel()
	f := New(Config{OnFatal: func(err error) { t.Error(err) }})
	for _, e := range fixtureLog(t) {
		if res := f.Apply(e); res != nil {
			t.Errorf("entry %d: %v", e.Index, res)
		}
	}
	checkFixtureState(t, f)
	want := []SkippedCount{
		{structs.JobRegisterMsg, 1}, {structs.EvalUpdateMsg, 2}, {structs.ApplyPlanResultsMsg, 1}, {structs.VarApplyStateMsg, 1},
	}
	if diff := cmp.Diff(want, f.Skipped()); diff != "" {
		t.Errorf("skipped, -want +got:\n%s", diff)
	}
	if c, err := f.State().AutopilotConfig(nil); err != nil || c == nil || !c.CleanupDeadServers || c.CreateIndex != 4 {
		t.Errorf("autopilot configuration %+v, %v", c, err)
	}
	batched := New(Config{})
	batched.ApplyBatch(fixtureLog(t))
	sameState(t, "in one batch", f, batched)
}

// TestReplayAgreesWithTheSnapshotOfTheSameServer: the log and the snapshot of the fixture tell the same, in all fields.
func TestReplayAgreesWithTheSnapshotOfTheSameServer(t *testing.T) {
	t.Parallel()
	replayed, restored := New(Config{}), New(Config{})
	replayed.ApplyBatch(fixtureLog(t))
	restore(t, restored, member(t, "state.snap", "state.bin"))
	// Times are compared as instants: that server wrote them in its own zone.
	if diff := cmp.Diff(nodes(t, restored.State()), nodes(t, replayed.State()), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("nodes, -snapshot +replay:\n%s", diff)
	}
	a, b := readRecords(t, persist(t, replayed)), readRecords(t, persist(t, restored))
	for _, typ := range []structs.RecordType{
		structs.NodePoolRecord, structs.RootKeyRecord, structs.NamespaceRecord, structs.ClusterMetadataRecord, structs.SchedulerConfigRecord,
	} {
		fromSnapshot, fromLog := b[typ], a[typ]
		if typ == structs.NamespaceRecord { // the built-in one is never in a log
			fromSnapshot, fromLog = fromSnapshot[1:], fromLog[1:]
		}
		if diff := cmp.Diff(fromSnapshot, fromLog); diff != "" {
			t.Errorf("%s records, -snapshot +replay:\n%s", typ, diff)
		}
	}
}
