package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// fullArchive has a record of each type that a compatible archive does not have, beside those that it has.
func fullArchive(t *testing.T) []byte {
	return testArchive(t, 99, func(r *state.Restore) error {
		return errors.Join(
			r.ACLPolicy(&structs.ACLPolicy{Name: "read", Rules: `node { policy = "read" }`, CreateIndex: 8, ModifyIndex: 8}),
			r.ACLToken(&structs.ACLToken{AccessorID: node2, SecretHash: structs.HashSecret(secretOfTest), Type: "client", Policies: []string{"read"}, CreateTime: start, CreateIndex: 9, ModifyIndex: 9}),
			r.OneTimeToken(&structs.OneTimeToken{OneTimeSecretID: node3, AccessorID: node2, ExpiresAt: start.Add(time.Minute), CreateIndex: 10, ModifyIndex: 10}),
			r.AutopilotConfig(&structs.AutopilotConfig{MaxTrailingLogs: 777, CreateIndex: 11, ModifyIndex: 11}),
			r.KeyUse(structs.KeyUse{KeyID: key1, User: "variable"}),
			r.FeatureGate(&structs.FeatureGate{Name: structs.FeatureNodeIdentity, MinBuild: "1.11.0"}),
			r.Base(structs.StateBase{ID: "grown-here"}),
		)
	})
}

// loaded is the state that an archive gives a server that has none.
func loaded(t *testing.T, file string) *fsm.Loaded {
	t.Helper()
	a, err := snapshot.VerifyFile(t.Context(), file, snapshot.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := fsm.Load(a.State())
	if err := errors.Join(err, a.Close()); err != nil {
		t.Fatal(err)
	}
	return l
}

// counted are the records that were loaded or kept, by type.
func counted(l *fsm.Loaded) map[structs.RecordType]uint64 {
	out := map[structs.RecordType]uint64{}
	for _, c := range slices.Concat(l.Report.Records, l.Report.Opaque) {
		out[c.Type] += c.Records
	}
	return out
}

// What the command writes restores into a state with all that the archive had but for what the command says.
func TestACompatibleSnapshotGivesAFreshServerAllButWhatIsSaid(t *testing.T) {
	dir := t.TempDir()
	full, converted, saved := filepath.Join(dir, "full.snap"), filepath.Join(dir, "converted.snap"), filepath.Join(dir, "saved.snap")
	archive := fullArchive(t)
	if err := os.WriteFile(full, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	said := mustPrint[savedSnapshot](t, "operator", "snapshot", "convert", "-json", "-out", converted, full)
	(&snapshotServer{archive: archive}).serve(t)
	if diff := cmp.Diff(said.LeftOut, mustPrint[savedSnapshot](t, "operator", "snapshot", "save", "-json", "-compatible", saved).LeftOut); diff != "" {
		t.Errorf("left out by convert and by save (-convert +save):\n%s", diff)
	}
	want := counted(loaded(t, full))
	for _, l := range said.LeftOut {
		if want[l.Type] -= l.Records; want[l.Type] == 0 {
			delete(want, l.Type)
		}
	}
	if len(said.LeftOut) != 7 || want[structs.NodeRecord] != 2 || want[structs.ACLPolicyRecord] != 1 {
		t.Errorf("left out are %+v, what stays is %v", said.LeftOut, want)
	}
	first, second := loaded(t, converted), loaded(t, saved)
	for name, l := range map[string]*fsm.Loaded{"convert": first, "save": second} {
		got := counted(l)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: records (-want +got):\n%s", name, diff)
		}
		for r := range got {
			if !r.Compatible() {
				t.Errorf("%s: others refuse %s", name, r)
			}
		}
	}
	wantFresh(t, first.State)
	// Servers that restore the same archive have grown from the same, and so can be compared.
	if a, b := grownFrom(t, first), grownFrom(t, second); a != b || a == "" || a == "grown-here" {
		t.Errorf("the states grew from %q and %q", a, b)
	}
}

// wantFresh wants the settings of a cluster that has just begun.
func wantFresh(t *testing.T, s *state.Store) {
	t.Helper()
	if pilot, err := s.AutopilotConfig(nil); err != nil || pilot != nil {
		t.Errorf("autopilot is %+v, %v; the next leader is to begin anew", pilot, err)
	}
	gates, err := s.FeatureGates(nil)
	if err != nil {
		t.Fatal(err)
	}
	if open := slices.Collect(gates); len(open) > 0 || s.FeatureOpen(structs.FeatureNodeIdentity) {
		t.Errorf("features are open: %v", open)
	}
	if uses := s.KeyUses(); len(uses) > 0 {
		t.Errorf("keys are in use by %v", uses)
	}
}

func grownFrom(t *testing.T, l *fsm.Loaded) string {
	t.Helper()
	base, err := l.State.Base()
	if err != nil {
		t.Fatal(err)
	}
	return base.ID
}

// mustPrint runs a command that has to succeed, and decodes what it printed.
func mustPrint[T any](t *testing.T, args ...string) T {
	t.Helper()
	got := rollcall(t, "", args...)
	var v T
	if err := json.Unmarshal([]byte(got.out), &v); err != nil || got.code != exitOK {
		t.Fatalf("%v: exit %d, %v: %s%s", args, got.code, err, got.out, got.err)
	}
	return v
}
