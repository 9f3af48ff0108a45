package replay

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/snapshot"
)

// TestAReplayIsWrittenAsAnArchive: the archive restores to the same state, and is the same each time.
func TestAReplayIsWrittenAsAnArchive(t *testing.T) {
	t.Parallel()
	dir := writeDir(t, entries(t, commands(t, 90)))
	unchanged(t, dir)
	out := t.TempDir()
	var files [2][]byte
	var r *Result
	for i, batch := range []int{1, 50} {
		r = replayed(t, dir, Options{Batch: batch})
		path := filepath.Join(out, []string{"a", "b"}[i])
		if _, err := r.WriteArchive(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = b
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two replays of the same log give different archives")
	}
	v, err := snapshot.VerifyFile(t.Context(), filepath.Join(out, "a"), snapshot.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	want := snapshot.Meta{
		Version: 1, ID: "2-92-1772362889000", Index: 92, Term: 2, Peers: []byte("\x91\xad10.0.0.1:4647"), ConfigurationIndex: 1, Size: v.Meta.Size,
		Configuration: snapshot.Configuration{Servers: []snapshot.Server{{ID: "server-1", Address: "10.0.0.1:4647"}}},
	}
	if diff := cmp.Diff(want, v.Meta); diff != "" {
		t.Errorf("meta.json, -want +got:\n%s", diff)
	}
	store, _, err := fsm.ReadState(v.State())
	if err != nil {
		t.Fatal(err)
	}
	digest, err := store.Digest()
	if err != nil {
		t.Fatal(err)
	}
	mine, err := r.State().Digest()
	if err != nil || digest != mine {
		t.Errorf("the archive has digest %x, the replay %x, %v", digest, mine, err)
	}
	c, err := r.Compare(t.Context(), filepath.Join(out, "b"), Options{})
	if err != nil || !c.Equal {
		t.Errorf("comparison %+v, %v", c, err)
	}
}

// TestASnapshotWithItsTailIsTheWholeLog: it makes no difference where a replay starts.
func TestASnapshotWithItsTailIsTheWholeLog(t *testing.T) {
	t.Parallel()
	logs := entries(t, commands(t, 90))
	dir := writeDir(t, logs)
	want := replayed(t, dir, Options{})
	for _, n := range []int{10, 50, 92} {
		id := filepath.Base(writeSnapshot(t, dir, logs, n))
		r := replayed(t, dir, Options{})
		if r.Snapshot == nil || r.Snapshot.ID != id || r.Digest != want.Digest || r.LastIndex != 92 || r.Entries != uint64(92-n) {
			t.Errorf("from the snapshot at %d: %+v", n, r)
		}
		if r.Configuration == nil || r.ConfigurationIndex != 1 {
			t.Errorf("from the snapshot at %d: configuration %v at %d", n, r.Configuration, r.ConfigurationIndex)
		}
	}
}

func TestCountsSayWhatBecameOfEachEntry(t *testing.T) {
	t.Parallel()
	r := replayed(t, writeDir(t, entries(t, commands(t, 90))), Options{})
	want := []TypeCount{
		{Type: "NodeRegister", Number: 0, Entries: 29, Applied: 29},
		{Type: "NodeUpdateStatus", Number: 2, Entries: 29, Applied: 29},
		{Type: "JobRegister", Number: 4, Entries: 25, Skipped: 25},
		{Type: "ClusterMetadata", Number: 32, Entries: 1, Applied: 1},
		{Type: "NodePoolUpsert", Number: 59, Entries: 1, Applied: 1},
		{Type: "NodePoolDelete", Number: 60, Entries: 5, Failed: 5},
	}
	if diff := cmp.Diff(want, r.Types); diff != "" {
		t.Errorf("types, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]Count{{Type: "Noop", Number: 1, Entries: 1}, {Type: "Configuration", Number: 5, Entries: 1}}, r.OtherLogTypes); diff != "" {
		t.Errorf("other log types, -want +got:\n%s", diff)
	}
	if want := (Backfills{LogPools: 1, LogCreatedPools: 1, LogSecrets: 29}); r.Backfills != want {
		t.Errorf("backfills %+v, want %+v", r.Backfills, want)
	}
	if r.Failed != 5 || len(r.Failures) != 5 || r.Failures[1].Type != "NodePoolDelete" || !strings.Contains(r.Failures[1].Error, "none") {
		t.Errorf("failures %+v", r.Failures)
	}
}

func TestAViewHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	r := replayed(t, unpack(t), Options{})
	v, err := r.View()
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if v.Index != 96 || v.Digest != r.Digest || len(v.Nodes) != 40 || len(v.Indexes) == 0 || v.Scheduler == nil || v.ClusterMetadata == nil || len(v.Namespaces) != 2 {
		t.Errorf("view %+v", v)
	}
	nodes, err := r.State().Nodes(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range nodes {
		hash, err := json.Marshal(n.SecretHash)
		if err != nil || len(hash) < 10 || bytes.Contains(b, bytes.Trim(hash, `"`)) {
			t.Fatalf("the hash of a secret is shown, or there is none: %s, %v", hash, err)
		}
	}
	for _, word := range []string{"KeyEncryptionKey", "WrappedKeys", "Ciphertext"} {
		if bytes.Contains(b, []byte(word)) {
			t.Errorf("the view has %s", word)
		}
	}
}
