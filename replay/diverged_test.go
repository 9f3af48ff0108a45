package replay

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// withChecks is a log in which the leader says, after every 256 entries, what the digest of the state was; at one of
// them it says something else.
func withChecks(t *testing.T, wrong uint64) []*raft.Log {
	t.Helper()
	logs := entries(t, commands(t, 800))
	for at := uint64(256); at < 800; at += 256 { // no command is replaced when its digest is taken
		logs[at+4].Type = raft.LogBarrier
	}
	dir := writeDir(t, logs)
	for at := uint64(256); at < 800; at += 256 {
		sum, err := replayed(t, dir, Options{Until: at}).State().Digest()
		if err != nil {
			t.Fatal(err)
		}
		if at == wrong {
			sum[0]++
		}
		check := &structs.StateDigestCheck{Index: at, Digest: sum[:], Version: state.DigestVersion}
		logs[at+4].Type = raft.LogCommand
		logs[at+4].Data = command(t, structs.StateDigestCheckMsg|structs.IgnoreUnknownFlag, check) // index at+5
	}
	return logs
}

func TestAReplayComparesTheStateWithTheLeaders(t *testing.T) {
	t.Parallel()
	dir := writeDir(t, withChecks(t, 0))
	var checked uint64
	for _, c := range replayed(t, dir, Options{}).Types {
		if c.Type == "StateDigestCheck" && c.Applied == 3 {
			checked = c.Entries
		}
	}
	if checked != 3 {
		t.Errorf("%d checks passed, want 3", checked)
	}
	logs := withChecks(t, 512)
	bad := openDir(t, writeDir(t, logs))
	for _, batch := range []int{7, 256, 5000} {
		stopped, err := bad.Run(t.Context(), Options{Batch: batch})
		var p *Problem
		if !errors.As(err, &p) || p.Kind != KindDiverged || p.Index != 517 || !strings.Contains(p.What, "after log entry 512") || stopped.LastIndex != 516 {
			t.Errorf("batch %d: %v, %+v", batch, err, stopped)
		}
		on, err := bad.Run(t.Context(), Options{Batch: batch, KeepGoing: true})
		if err != nil || len(on.Problems) == 0 || on.Problems[0].Index != 517 || on.LastIndex != 802 {
			t.Fatalf("batch %d, going on: %+v, %v", batch, on, err)
		}
		want := replayed(t, dir, Options{Batch: batch}) // the checks change nothing
		if on.Digest != want.Digest {
			t.Errorf("batch %d, going on: digest %s, want %s", batch, on.Digest, want.Digest)
		}
		if n := on.Entries; n != 801 {
			t.Errorf("batch %d, going on: %d entries", batch, n)
		}
	}
}
