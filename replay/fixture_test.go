package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/structs"
)

// The digests of the state that the fixture has come to. They change only if the meaning of an entry, or the encoding
// of the state, does; the second has what only a snapshot keeps, such as the job.
const (
	digestFromStart    = "97bef222cb3bfda6240c716090a669ddfc855752f171b32a1f8b392154cc37f2"
	digestFromSnapshot = "d0c73287eba427881f9208fca49f5ac0cfa405ccb350de99f9e9cdddd256cf01"
)

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

type stub struct {
	ID, Name, NodePool, Status, SchedulingEligibility string
	Drain                                             bool
	CreateIndex, ModifyIndex                          uint64
}

// checkAnswers compares a state with what the server that it comes from answered about it.
func checkAnswers(t *testing.T, r *Result) {
	t.Helper()
	v, err := r.View()
	if err != nil {
		t.Fatal(err)
	}
	want := answered[[]stub](t, "nodes.json")
	slices.SortFunc(want, func(a, b stub) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) })
	var got []stub
	for _, n := range v.Nodes {
		got = append(got, stub{n.ID, n.Name, n.NodePool, n.Status, n.SchedulingEligibility, n.DrainStrategy != nil, n.CreateIndex, n.ModifyIndex})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("nodes, -answered +replayed:\n%s", diff)
	}
	pools := answered[[]*structs.NodePool](t, "pools.json")
	for _, p := range pools {
		p.NodeIdentityTTL = 24 * time.Hour
	}
	if diff := cmp.Diff(pools, v.NodePools, cmpopts.IgnoreFields(structs.NodePool{}, "Hash")); diff != "" {
		t.Errorf("pools, -answered +replayed:\n%s", diff)
	}
	if diff := cmp.Diff(answered[[]*structs.RootKeyMeta](t, "keys.json"), v.RootKeys); diff != "" {
		t.Errorf("keys, -answered +replayed:\n%s", diff)
	}
	checkJWKS(t, r)
}

// checkJWKS: the replayed keys are usable at once, and are those that the server published.
func checkJWKS(t *testing.T, r *Result) {
	t.Helper()
	ring, err := keyring.New(keyring.Config{})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := r.State().RootKeys(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ring.Set(ctx, slices.Collect(keys))
	if err := ring.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(answered[keyring.JWKSet](t, "jwks.json"), ring.JWKS()); diff != "" {
		t.Errorf("JWKS, -answered +replayed:\n%s", diff)
	}
}

func TestReplayOfANomadDataDirectoryGivesWhatThatServerHad(t *testing.T) {
	t.Parallel()
	dir := unpack(t)
	unchanged(t, dir)
	t.Run("from its snapshot", func(t *testing.T) {
		r := replayed(t, dir, Options{})
		checkAnswers(t, r)
		if r.Snapshot == nil || r.Snapshot.ID != "2-96-1795295951419" || r.Entries != 0 || r.LastIndex != 96 || r.LastTerm != 2 {
			t.Errorf("result %+v", r)
		}
		if want := (Backfills{SnapshotPools: 4, SnapshotSecrets: 40}); r.Backfills != want {
			t.Errorf("backfills %+v, want %+v", r.Backfills, want)
		}
		if r.Digest != digestFromSnapshot {
			t.Errorf("digest %s, want %s", r.Digest, digestFromSnapshot)
		}
	})
	t.Run("from the start", func(t *testing.T) {
		r := replayed(t, dir, Options{FromStart: true})
		checkAnswers(t, r)
		if r.Snapshot != nil || r.First != 1 || r.Entries != 96 || r.LastIndex != 96 {
			t.Errorf("result %+v", r)
		}
		if want := (Backfills{LogPools: 3, LogCreatedPools: 1, LogSecrets: 40}); r.Backfills != want {
			t.Errorf("backfills %+v, want %+v", r.Backfills, want)
		}
		if r.Digest != digestFromStart {
			t.Errorf("digest %s, want %s", r.Digest, digestFromStart)
		}
		want := []Server{{ID: "e38d3b8d-c763-c7df-cfe7-664e0a1da6be", Address: "127.0.0.1:15647", Suffrage: "Voter"}}
		if diff := cmp.Diff(want, r.Configuration); diff != "" || r.ConfigurationIndex != 1 {
			t.Errorf("configuration at %d, -want +got:\n%s", r.ConfigurationIndex, diff)
		}
		for _, c := range r.Types {
			if c.Applied+c.Failed+c.Skipped != c.Entries || c.Undecodable != 0 {
				t.Errorf("counts don't add up: %+v", c)
			}
		}
	})
	t.Run("from the older snapshot, with the entries after it", func(t *testing.T) {
		older := replayed(t, dir, Options{Until: 95})
		if older.Snapshot == nil || older.Snapshot.Index != 94 || older.LastIndex != 95 || older.Entries != 1 {
			t.Errorf("result %+v", older)
		}
	})
}

func TestAReplayStopsWhereItIsTold(t *testing.T) {
	t.Parallel()
	dir := unpack(t)
	early := replayed(t, dir, Options{FromStart: true, Until: 94})
	if p, err := early.State().NodePoolByName(nil, "gpu"); err != nil || p == nil || early.LastIndex != 94 {
		t.Errorf("at %d, before it is deleted, pool gpu is %v, %v", early.LastIndex, p, err)
	}
	none := replayed(t, dir, Options{Until: 1})
	if none.State().NodeCount() != 0 || none.Snapshot != nil || none.Entries != 1 {
		t.Errorf("result %+v", none)
	}
}

func TestTheDigestDependsOnTheLogAlone(t *testing.T) {
	t.Parallel()
	dir := unpack(t)
	if os.Getenv("REPLAY_TZ_CHILD") != "" {
		fmt.Printf("zone %s from start %s from snapshot %s\n", time.Local, replayed(t, dir, Options{FromStart: true}).Digest, replayed(t, dir, Options{}).Digest)
		return
	}
	for _, batch := range []int{1, 7, 256, 1, 7, 256} {
		if r := replayed(t, dir, Options{FromStart: true, Batch: batch}); r.Digest != digestFromStart {
			t.Errorf("batches of %d: digest %s, want %s", batch, r.Digest, digestFromStart)
		}
	}
	if r := replayed(t, dir, Options{FromStart: true, KeepGoing: true}); r.Digest != digestFromStart {
		t.Errorf("when going on after problems that there are none of: digest %s, want %s", r.Digest, digestFromStart)
	}
	for _, zone := range []string{"UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati"} {
		child := exec.Command(os.Args[0], "-test.run=^TestTheDigestDependsOnTheLogAlone$", "-test.v") //nolint:gosec // this very test
		child.Env = append(os.Environ(), "TZ="+zone, "REPLAY_TZ_CHILD=1")
		out, err := child.CombinedOutput()
		if err != nil {
			t.Fatalf("in %s: %v\n%s", zone, err, out)
		}
		want := fmt.Sprintf("from start %s from snapshot %s\n", digestFromStart, digestFromSnapshot)
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("in %s the replay says\n%s\nwant %s", zone, out, want)
		}
	}
}

func TestInfoOfANomadDataDirectory(t *testing.T) {
	t.Parallel()
	dir := unpack(t)
	unchanged(t, dir)
	i, err := openDir(t, dir).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if i.ServerID != "e38d3b8d-c763-c7df-cfe7-664e0a1da6be" || i.Entries != 96 || i.CurrentTerm != 2 || i.LastVoteTerm != 2 ||
		i.LastVoteCand != "127.0.0.1:15647" || i.FileBytes != 262144 || len(i.Problems) != 0 {
		t.Errorf("info %+v", i)
	}
	if diff := cmp.Diff([]Range{{1, 96}}, i.Ranges); diff != "" {
		t.Error(diff)
	}
	if len(i.Snapshots) != 2 || i.Snapshots[0].Index != 96 || !i.Snapshots[0].Usable || !i.Snapshots[1].Usable || i.Snapshots[0].Size != 49668 ||
		!i.Snapshots[0].Created.Equal(time.UnixMilli(1795295951419)) {
		t.Errorf("snapshots %+v", i.Snapshots)
	}
	if i.ConfigurationIndex != 1 || len(i.Configuration) != 1 || i.Configuration[0].Suffrage != "Voter" {
		t.Errorf("configuration at %d: %+v", i.ConfigurationIndex, i.Configuration)
	}
	var commands, all uint64
	for _, c := range i.LogTypes {
		all += c.Entries
		if c.Type == "Command" {
			commands = c.Entries
		}
	}
	for _, c := range i.MessageTypes {
		commands -= c.Entries
	}
	if all != 96 || commands != 0 || i.MessageTypes[0].Type != "NodeRegister" || i.MessageTypes[0].Entries != 40 {
		t.Errorf("counts %+v %+v", i.LogTypes, i.MessageTypes)
	}
}

// TestEntriesOfANomadLogShowNoSecrets: the secret of every node, and all key material, is in the log and not in what is
// shown of it.
func TestEntriesOfANomadLogShowNoSecrets(t *testing.T) {
	t.Parallel()
	d := openDir(t, unpack(t))
	var secrets [][]byte
	err := d.scan(t.Context(), 0, 0, false, func(e entry) error {
		if len(e.Data) == 0 {
			return nil
		}
		switch structs.MessageType(e.Data[0]) {
		case structs.NodeRegisterMsg:
			var req structs.NodeRegisterRequest
			if err := structs.Decode(e.Data[1:], &req); err != nil {
				return err
			}
			secrets = append(secrets, []byte(req.Node.SecretID))
		case structs.RootKeyUpsertMsg:
			var req structs.RootKeyUpsertRequest
			if err := structs.Decode(e.Data[1:], &req); err != nil {
				return err
			}
			for _, w := range req.WrappedRootKeys.WrappedKeys {
				for _, b := range [][]byte{w.KeyEncryptionKey, w.WrappedDataEncryptionKey.Ciphertext, w.WrappedRSAKey.Ciphertext} {
					secrets = append(secrets, b, fmt.Appendf(nil, "%x", b[:8]))
				}
			}
		}
		return nil
	}, func(p *Problem) error { return p })
	if err != nil || len(secrets) < 46 {
		t.Fatalf("%d secrets, %v", len(secrets), err)
	}
	seen := 0
	err = d.Entries(t.Context(), Filter{}, func(e *Entry) error {
		seen++
		b, err := json.Marshal(e)
		if err != nil {
			return err
		}
		for _, s := range secrets {
			if bytes.Contains(b, s) {
				t.Errorf("entry %d shows a secret: %s", e.Index, b)
			}
		}
		if e.Error != "" || e.Message != "" && len(e.Body) == 0 {
			t.Errorf("entry %d is not decoded: %+v", e.Index, e)
		}
		if e.Message == "NodeRegister" && !bytes.Contains(e.Body, []byte(`"SecretID":"`+Masked+`"`)) {
			t.Errorf("entry %d does not show that there is a secret", e.Index)
		}
		return nil
	}, func(p *Problem) error { return p })
	if err != nil || seen != 96 {
		t.Errorf("%d entries, %v", seen, err)
	}
}

func TestAReplayIsComparedWithASnapshot(t *testing.T) {
	t.Parallel()
	dir := unpack(t)
	r := replayed(t, dir, Options{})
	same, err := r.Compare(t.Context(), filepath.Join(fixture, "state.snap"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !same.Equal || same.Difference != nil || same.OtherIndex != 96 {
		t.Errorf("comparison with the archive of the same state: %+v", same)
	}
	// The older state still has the pool that was deleted.
	early, err := r.Compare(t.Context(), dir, Options{Until: 94})
	if err != nil {
		t.Fatal(err)
	}
	if early.Equal || early.Digest == early.OtherDigest || early.Difference == nil || early.Difference.NodePools.Removed != 1 ||
		early.Difference.NodePools.List[1].ID != "gpu" || early.Difference.Nodes.Added+early.Difference.Nodes.Removed != 0 {
		t.Errorf("comparison with the older state: %+v, difference %+v", early, early.Difference)
	}
}
