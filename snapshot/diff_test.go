package snapshot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

// verified returns a snapshot of the records; the test closes it.
func verified(t *testing.T, records ...typed) *Verified {
	t.Helper()
	return verifiedState(t, stateOf(t, records...))
}

func verifiedState(t *testing.T, state []byte) *Verified {
	t.Helper()
	v, err := Verify(t.Context(), bytes.NewReader(archiveOf(t, testMeta, state)), VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func diffOf(t *testing.T, a, b *Verified, opts DiffOptions) *Difference {
	t.Helper()
	d, err := Diff(t.Context(), a, b, opts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAStateEqualsItself(t *testing.T) {
	t.Parallel()
	a := verifiedState(t, smallState(t))
	if d := diffOf(t, a, a, DiffOptions{}); !d.Equal() {
		t.Errorf("%+v", d)
	}
}

func TestDiffNamesWhatChanged(t *testing.T) {
	t.Parallel()
	changed := testNode(1)
	changed.Status = structs.NodeStatusDown
	changed.Attributes = changed.Attributes.With("os.name", "fedora").With("os.version", "44").Without("unique.n")
	changed.SecretHash = structs.HashSecret("another")
	key := testKey(1000)
	key.State, key.WrappedKeys = structs.KeyStateInactive, nil
	config := structs.DefaultAutopilotConfig()
	config.ServerStabilizationTime = time.Minute
	a := verified(t,
		typed{structs.IndexRecord, structs.IndexEntry{Key: "nodes", Value: 7}},
		typed{structs.NodeRecord, testNode(1)}, typed{structs.NodeRecord, testNode(2)}, typed{structs.NodeRecord, testNode(3)},
		typed{structs.NodePoolRecord, &structs.NodePool{Name: "edge"}}, typed{structs.RootKeyRecord, testKey(1000)},
		typed{structs.AutopilotConfigRecord, structs.DefaultAutopilotConfig()},
		typed{structs.NamespaceRecord, &structs.Namespace{Name: "default"}},
		typed{1, []byte("\x81\xa2ID\xa1a")}, typed{1, []byte("\x81\xa2ID\xa1b")}, typed{9, []byte("\x01")}, typed{90, []byte("\x01")},
	)
	b := verified(t,
		typed{structs.IndexRecord, structs.IndexEntry{Key: "nodes", Value: 8}},
		typed{structs.NodeRecord, testNode(4)}, typed{structs.NodeRecord, testNode(3)}, typed{structs.NodeRecord, changed},
		typed{structs.NodePoolRecord, &structs.NodePool{Name: "edge", NodeIdentityTTL: 24 * time.Hour}}, typed{structs.RootKeyRecord, key},
		typed{structs.AutopilotConfigRecord, config},
		typed{structs.NamespaceRecord, &structs.Namespace{Name: "other"}},
		typed{1, []byte("\x81\xa2ID\xa1b")}, typed{1, []byte("\x81\xa2ID\xa1a")}, typed{9, []byte("\x02")},
	)
	d := diffOf(t, a, b, DiffOptions{})
	want := &Difference{
		A: d.A, B: d.B,
		Nodes: Changes{Added: 1, Removed: 1, Changed: 1, List: []Change{
			{Op: Changed, ID: uuid(1), Fields: []FieldChange{
				{"Attributes.os.name", "debian", "fedora"}, {"Attributes.os.version", "", "44"}, {"Attributes.unique.n", "1", ""},
				{"SecretHash", "", ""}, {"Status", "ready", "down"},
			}},
			{Op: Removed, ID: uuid(2)}, {Op: Added, ID: uuid(4)},
		}},
		NodePools:  Changes{Changed: 1, List: []Change{{Op: Changed, ID: "edge", Fields: []FieldChange{{"NodeIdentityTTL", "", "24h0m0s"}}}}},
		RootKeys:   Changes{Changed: 1, List: []Change{{Op: Changed, ID: uuid(1000), Fields: []FieldChange{{"State", "active", "inactive"}, {"WrappedKeys", "", ""}}}}},
		Namespaces: Changes{Added: 1, Removed: 1, List: []Change{{Op: Removed, ID: "default"}, {Op: Added, ID: "other"}}},
		Settings:   Changes{Changed: 1, List: []Change{{Op: Changed, ID: "autopilot", Fields: []FieldChange{{"ServerStabilizationTime", "10s", "1m0s"}}}}},
		Indexes:    Changes{Changed: 1, List: []Change{{Op: Changed, ID: "nodes", Fields: []FieldChange{{"Value", "7", "8"}}}}},
		Others:     []OtherChange{{9, "JobVersion", 1, 1}, {90, "unknown(90)", 1, 0}},
	}

	if diff := cmp.Diff(want, d, cmp.Transformer("byID", func(l []Change) map[string]Change {
		m := map[string]Change{}
		for _, c := range l {
			m[c.ID] = c
		}
		return m
	})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, c := range d.kinds() {
		for i := range c.List[min(1, len(c.List)):] {
			if c.List[i].ID > c.List[i+1].ID {
				t.Errorf("not sorted: %+v", c.List)
			}
		}
	}
	if d.Equal() {
		t.Error("equal")
	}
	if few := diffOf(t, a, b, DiffOptions{MaxListed: 1}); few.Nodes.Added != 1 || few.Nodes.Removed != 1 || few.Nodes.Changed != 1 || len(few.Nodes.List) != 1 {
		t.Errorf("with one listed: %+v", few.Nodes)
	}
	back := diffOf(t, b, a, DiffOptions{})
	if back.Nodes.Added != 1 || back.Nodes.Removed != 1 || back.Nodes.Changed != 1 || len(back.Others) != 2 {
		t.Errorf("the other way round: %+v", back)
	}
}

func TestDiffForgivesWhatVersionsWriteDifferently(t *testing.T) {
	t.Parallel()
	clear := testNode(1)
	clear.SecretID, clear.SecretHash = uuid(-2), nil
	a := verified(t, typed{structs.NodeRecord, clear}, typed{structs.NodePoolRecord, []byte("\x82\xa4Name\xa1p\xa3New\xc0")})
	b := verified(t, typed{structs.NodeRecord, testNode(1)}, typed{structs.NodePoolRecord, []byte("\x83\xa3Old\x80\xa4Hash\xc4\x00\xa4Name\xd9\x01p")})
	if d := diffOf(t, a, b, DiffOptions{}); !d.Equal() {
		t.Errorf("%+v", d)
	}
}

func TestDiffAndInspectStopWhenTheyShould(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var records []typed
	for n := range 2000 {
		records = append(records, typed{structs.IndexRecord, structs.IndexEntry{Key: uuid(n)}})
	}
	v := verified(t, records...)
	if _, err := Diff(ctx, v, v, DiffOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("diff: %v", err)
	}
	if _, err := Inspect(ctx, v); !errors.Is(err, context.Canceled) {
		t.Errorf("inspect: %v", err)
	}
}

func TestRedactedArchiveHasNoSecretsAndEverythingElse(t *testing.T) {
	t.Parallel()
	clear := testNode(2)
	clear.SecretID = uuid(77)
	token := []byte("\x83\xaaAccessorID\xa3acc\xa8SecretID\xb0tokenssecretword\xa4Name\xa3ops")
	job := []byte("\x81\xa2ID\xd9\x03web")
	before := verified(t,
		typed{structs.NodeRecord, testNode(1)}, typed{structs.NodeRecord, clear}, typed{1, job}, typed{12, token},
		typed{structs.RootKeyMetaRecord, testKey(5).Meta()}, typed{structs.RootKeyRecord, testKey(1000)}, typed{90, []byte("\x07")},
	)
	var out bytes.Buffer
	var done, total int64
	r, err := Redact(t.Context(), &out, before, WriteOptions{Progress: func(d, n int64) { done, total = d, n }})
	if err != nil {
		t.Fatal(err)
	}
	if done != r.Meta.Size || total != before.Meta.Size {
		t.Errorf("progress %d of %d", done, total)
	}
	var records []uint64
	for _, c := range r.Records {
		records = append(records, uint64(c.Type), c.Records)
	}
	if diff := cmp.Diff([]uint64{0, 2, 12, 1, 30, 1}, records); diff != "" {
		t.Errorf("redacted records: %s", diff)
	}
	after, err := Verify(t.Context(), bytes.NewReader(out.Bytes()), VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = after.Close() }()
	wantMeta := before.Meta
	wantMeta.Size = after.Meta.Size
	if diff := cmp.Diff(wantMeta, after.Meta); diff != "" {
		t.Error(diff)
	}
	var state bytes.Buffer
	if _, err := state.ReadFrom(after.State()); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{uuid(77), string(structs.HashSecret(uuid(-2))), "the-wrapping-key", "the-wrapped-material", "tokenssecretword"} {
		if strings.Contains(state.String(), secret) {
			t.Errorf("%q is still there", secret)
		}
	}
	for _, kept := range []string{string(job), "\x83\xaaAccessorID\xa3acc\xa8SecretID\xa0\xa4Name\xa3ops", uuid(1000) + " [REDACTED]", "\x5a\x07"} {
		if !strings.Contains(state.String(), kept) {
			t.Errorf("%q is gone", kept)
		}
	}
	d := diffOf(t, before, after, DiffOptions{})
	fields := map[string]bool{}
	for _, c := range d.Nodes.List {
		for _, f := range c.Fields {
			fields[f.Name] = true
		}
	}
	if diff := cmp.Diff(map[string]bool{"SecretHash": true}, fields); diff != "" || d.Nodes.Changed != 2 {
		t.Errorf("changed in nodes: %s", diff)
	}
	if d.RootKeys.Added != 1 || d.RootKeys.Removed != 1 || len(d.Others) != 1 {
		t.Errorf("%+v", d)
	}
	var twice bytes.Buffer
	if again, err := Redact(t.Context(), &twice, after, WriteOptions{}); err != nil || !bytes.Equal(twice.Bytes(), out.Bytes()) || len(again.Records) != 0 {
		t.Errorf("redacted again: %+v, %v", again, err)
	}
}

func TestRedactRefusesRecordsItCannotRead(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{"no map": "\x07", "a key ID that is a number": "\x81\xa5KeyID\x07"} {
		typ := structs.RootKeyRecord
		if name == "no map" {
			typ = structs.ACLTokenRecord
		}
		v := verifiedAs(t, typed{typ, []byte(raw)})
		var out bytes.Buffer
		var at *RecordError
		if _, err := Redact(t.Context(), &out, v, WriteOptions{}); !errors.As(err, &at) || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes written", name, err, out.Len())
		}
	}
}

// verifiedAs is verified without decoding the records.
func verifiedAs(t *testing.T, records ...typed) *Verified {
	t.Helper()
	v, err := Verify(t.Context(), bytes.NewReader(archiveOf(t, testMeta, stateOf(t, records...))), VerifyOptions{Record: func(Record) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func TestDifferenceOfTheFixtureIsWhatItsReadmeSays(t *testing.T) {
	t.Parallel()
	var v [2]*Verified
	for i, name := range []string{"early", "state"} {
		var err error
		if v[i], err = VerifyFile(t.Context(), "testdata/nomad-1.10.5/"+name+".snap", VerifyOptions{}); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = v[i].Close() }()
	}
	d := diffOf(t, v[0], v[1], DiffOptions{})
	want := []Change{{Op: Changed, ID: "edge", Fields: []FieldChange{{"ModifyIndex", "8", "95"}}}, {Op: Removed, ID: "gpu"}}
	if diff := cmp.Diff(want, d.NodePools.List); diff != "" {
		t.Errorf("pools, -want +got:\n%s", diff)
	}
	if d.Nodes.Added+d.Nodes.Removed+d.RootKeys.Added+d.RootKeys.Removed+d.Settings.Changed != 0 || len(d.Others) != 0 || d.A.Index != 94 || d.B.Index != 96 {
		t.Errorf("%+v", d)
	}
	text, err := json.Marshal(d)
	if err != nil || !bytes.Contains(text, []byte(`"NodePools":{"Added":0,"Removed":1,"Changed":1`)) {
		t.Errorf("%s, %v", text, err)
	}
}
