package fsm

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// digestCheck is the entry by which a leader says what its digest was.
func digestCheck(tb testing.TB, index uint64, p DigestPoint) *raft.Log {
	tb.Helper()
	sum := p.Digest()
	return entry(tb, index, structs.StateDigestCheckMsg|structs.IgnoreUnknownFlag, &structs.StateDigestCheck{
		Index: p.Index, Digest: sum[:], Version: state.DigestVersion, Base: p.Base,
	})
}

func countChecks(log []*raft.Log) (n uint64) {
	for _, e := range log {
		if structs.MessageType(e.Data[0])&^structs.IgnoreUnknownFlag == structs.StateDigestCheckMsg {
			n++
		}
	}
	return n
}

func stateDigest(tb testing.TB, f *FSM) structs.StateDigest {
	tb.Helper()
	d, err := f.StateDigest()
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// registrations are entries from the one index to the other.
func registrations(tb testing.TB, from, to uint64) (log []*raft.Log) {
	for i := from; i <= to; i++ {
		log = append(log, entry(tb, i, structs.NodeRegisterMsg, registration(int(i), 2)))
	}
	return log
}

func latest(tb testing.TB, f *FSM) DigestPoint {
	tb.Helper()
	p, ok := f.LatestDigest()
	if !ok {
		tb.Fatal("no digest is remembered")
	}
	return p
}

func TestDigestsAreRememberedAtTheSameIndexesHoweverEntriesArrive(t *testing.T) {
	t.Parallel()
	log := registrations(t, 2, 700)
	log = append(log[:200:200], log[300:]...) // Raft's own entries take indexes that don't get here
	for name, feed := range map[string]func(f *FSM){
		"one by one":     func(f *FSM) { oneByOne(f, log) },
		"all at once":    func(f *FSM) { f.ApplyBatch(log) },
		"cut at a point": func(f *FSM) { f.ApplyBatch(log[:410]); f.ApplyBatch(log[410:]) },
	} {
		f, upTo256, upTo512 := New(Config{}), New(Config{}), New(Config{})
		if _, ok := f.LatestDigest(); ok {
			t.Errorf("%s: a digest before there is one", name)
		}
		feed(f)
		for _, e := range log {
			if e.Index <= 256 {
				upTo256.Apply(e)
			}
			if e.Index <= 512 {
				upTo512.Apply(e)
			}
		}
		if p := latest(t, f); p.Index != 512 || p.Digest() != digest(t, upTo512) {
			t.Errorf("%s: entry %d has %x", name, p.Index, p.Digest())
		}
		if p := f.digests.points[0]; p.Index != 256 || p.Digest() != digest(t, upTo256) {
			t.Errorf("%s: entry %d has %x", name, p.Index, p.Digest())
		}
		<-f.DigestReady()
		if d := stateDigest(t, f); d.Index != 700 || d.Digest != fmt.Sprintf("%x", digest(t, f)) || d.Version != state.DigestVersion || d.Base != "" {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestACheckThatHoldsChangesNothing(t *testing.T) {
	t.Parallel()
	f := New(Config{OnFatal: func(err error) { t.Error(err) }})
	f.ApplyBatch(registrations(t, 2, 300))
	before, saved := digest(t, f), persist(t, f)
	if res := f.Apply(digestCheck(t, 301, latest(t, f))); res != nil {
		t.Error(res)
	}
	if digest(t, f) != before || string(persist(t, f)) != string(saved) {
		t.Error("a check changed the state")
	}
	if d := stateDigest(t, f); d.Checks != 1 || d.Skipped != 0 || d.LastCheckIndex != 256 || d.Index != 301 {
		t.Errorf("%+v", d)
	}
	if len(f.Skipped()) != 0 {
		t.Errorf("skipped %v", f.Skipped())
	}
}

func TestAServerThatDiffersFromTheLeaderStops(t *testing.T) {
	t.Parallel()
	leader := New(Config{})
	leader.ApplyBatch(registrations(t, 2, 300))
	for _, together := range []bool{true, false} {
		var fatal []error
		f := New(Config{OnFatal: func(err error) { fatal = append(fatal, err) }})
		f.ApplyBatch(registrations(t, 2, 100))
		txn := f.State().WriteTxn()
		if err := txn.DeleteNodes(7, []string{uuid(50)}); err != nil {
			t.Fatal(err)
		}
		txn.Commit()
		rest := append(registrations(t, 101, 300), digestCheck(t, 301, latest(t, leader)), registrations(t, 302, 302)[0])
		if together {
			f.ApplyBatch(rest)
		} else {
			oneByOne(f, rest)
		}
		var at *LogError
		var mismatch *DigestMismatch
		if len(fatal) != 1 || !errors.As(fatal[0], &at) || at.Index != 301 || !errors.As(fatal[0], &mismatch) || !errors.Is(fatal[0], ErrDigestMismatch) {
			t.Fatalf("together %v: OnFatal got %v", together, fatal)
		}
		for _, text := range []string{"log entry 301", "after log entry 256", fmt.Sprintf("%x", mismatch.Mine), fmt.Sprintf("%x", latest(t, leader).Digest()), "empty"} {
			if !strings.Contains(fatal[0].Error(), text) {
				t.Errorf("%q is not in: %v", text, fatal[0])
			}
		}
		if f.State().NodeCount() != 298 {
			t.Errorf("together %v: %d nodes: the entry after the check was applied", together, f.State().NodeCount())
		}
		if _, err := f.Snapshot(); !errors.Is(err, ErrDigestMismatch) {
			t.Errorf("a snapshot of a wrong state was made: %v", err)
		}
	}

	tolerant := New(Config{IgnoreDigestChecks: true, OnFatal: func(err error) { t.Error(err) }})
	p := latest(t, leader)
	p.Digest = func() (none [32]byte) { return none }
	tolerant.ApplyBatch(append(registrations(t, 2, 300), digestCheck(t, 301, p), registrations(t, 302, 302)[0]))
	if d := stateDigest(t, tolerant); d.Index != 302 || d.Checks != 0 || tolerant.State().NodeCount() != 300 {
		t.Errorf("%+v, %d nodes", d, tolerant.State().NodeCount())
	}
}

func TestChecksThatCannotBeComparedAreSkippedAndCounted(t *testing.T) {
	t.Parallel()
	wrong := strings.Repeat("x", 32)
	for name, c := range map[string]structs.StateDigestCheck{
		"an entry whose digest is not remembered": {Index: 255, Version: state.DigestVersion},
		"an entry yet to come":                    {Index: 512, Version: state.DigestVersion},
		"another way to compute digests":          {Index: 256, Version: state.DigestVersion + 1},
		"a state that grew from another":          {Index: 256, Version: state.DigestVersion, Base: "feed"},
		"nothing at all":                          {},
	} {
		f := New(Config{OnFatal: func(err error) { t.Errorf("%s: %v", name, err) }})
		f.ApplyBatch(registrations(t, 2, 300))
		c.Digest = []byte(wrong)
		if res := f.Apply(entry(t, 301, structs.StateDigestCheckMsg|structs.IgnoreUnknownFlag, &c)); res != nil {
			t.Errorf("%s: %v", name, res)
		}
		if d := stateDigest(t, f); d.Skipped != 1 || d.Checks != 0 {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestOldDigestsAreForgotten(t *testing.T) {
	t.Parallel()
	f := New(Config{OnFatal: func(err error) { t.Error(err) }})
	f.ApplyBatch(registrations(t, 2, 300))
	first := latest(t, f)
	end := uint64(rememberedDigests*DigestInterval + 300)
	for i := uint64(301); i < end; i += 100 {
		f.ApplyBatch([]*raft.Log{{Index: i, Type: raft.LogNoop}})
	}
	last := latest(t, f)
	f.Apply(digestCheck(t, end, last))
	f.Apply(digestCheck(t, end+1, first))
	if d := stateDigest(t, f); d.Skipped != 1 || d.Checks != 1 || d.LastCheckIndex != last.Index {
		t.Errorf("%+v", d)
	}
}

func TestARestoreForgetsDigestsUntilItKnowsWhereItIs(t *testing.T) {
	t.Parallel()
	source := New(Config{})
	source.ApplyBatch(registrations(t, 2, 300))
	f := New(Config{OnFatal: func(err error) { t.Error(err) }})
	f.ApplyBatch(registrations(t, 2, 270))
	old := latest(t, f)
	restore(t, f, persist(t, source))
	if _, ok := f.LatestDigest(); ok {
		t.Error("a digest of the state before the restore is remembered")
	}
	if d := stateDigest(t, f); d.Index != 300 || d.Digest != fmt.Sprintf("%x", digest(t, source)) {
		t.Errorf("%+v", d)
	}
	// The snapshot may have been taken before 512 or after it.
	f.Apply(registrations(t, 600, 600)[0])
	if p, ok := f.LatestDigest(); ok {
		t.Errorf("the state after entry %d can't be known", p.Index)
	}
	f.Apply(digestCheck(t, 601, old))
	f.Apply(registrations(t, 800, 800)[0])
	if p := latest(t, f); p.Index != 768 {
		t.Errorf("entry %d is the latest remembered", p.Index)
	}
	if d := stateDigest(t, f); d.Skipped != 1 || d.Index != 800 {
		t.Errorf("%+v", d)
	}
}

func TestStatesFromDifferentForeignSnapshotsAreNotCompared(t *testing.T) {
	t.Parallel()
	foreign := func(n int) *FSM {
		f := New(Config{OnFatal: func(err error) { t.Error(err) }})
		restore(t, f, streamOf(t, record{structs.NodeRecord, registration(1, n).Node}))
		return f
	}
	a, same, other := foreign(1), foreign(1), foreign(2)
	base := stateDigest(t, a).Base
	if base != fmt.Sprintf("%x", digest(t, a)) || stateDigest(t, same).Base != base || stateDigest(t, other).Base == base {
		t.Errorf("bases %q, %q, %q", base, stateDigest(t, same).Base, stateDigest(t, other).Base)
	}
	for _, f := range []*FSM{a, same, other} {
		f.ApplyBatch(registrations(t, 200, 300))
	}
	for _, f := range []*FSM{same, other} {
		f.Apply(digestCheck(t, 301, latest(t, a)))
	}
	if d := stateDigest(t, same); d.Checks != 1 {
		t.Errorf("the same base: %+v", d)
	}
	if d := stateDigest(t, other); d.Skipped != 1 {
		t.Errorf("another base: %+v", d)
	}

	again := New(Config{})
	restore(t, again, persist(t, a))
	if d := stateDigest(t, again); d.Base != base {
		t.Errorf("restored from its own snapshot the base is %q, want %q", d.Base, base)
	}
	fresh := New(Config{})
	restore(t, fresh, persist(t, New(Config{})))
	if d := stateDigest(t, fresh); d.Base != "" {
		t.Errorf("a state that began here has base %q", d.Base)
	}
	if _, ok := baseOf(t, persist(t, fresh)); !ok {
		t.Error("the snapshot does not say what its state grew from")
	}
}

// baseOf returns the base that a snapshot names.
func baseOf(tb testing.TB, stream []byte) (base string, ok bool) {
	tb.Helper()
	in := snapshot.NewReader(strings.NewReader(string(stream)))
	for {
		rec, err := in.Next()
		if errors.Is(err, io.EOF) {
			return base, ok
		}
		if err != nil {
			tb.Fatal(err)
		}
		if rec.Type == structs.StateBaseRecord {
			var b structs.StateBase
			if err := structs.Decode(rec.Raw, &b); err != nil {
				tb.Fatal(err)
			}
			base, ok = b.ID, true
		}
	}
}
