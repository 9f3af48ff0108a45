package fsm

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the zones must be there on any machine

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	determinismSeed     = 20_251_121
	determinismCommands = 5000
	// determinismEnv makes TestDeterminismInThisZone print what it found, for the test that started the process.
	determinismEnv = "ROLLCALL_TEST_PRINT_FINGERPRINT"
)

// fingerprint is all that two servers must agree on.
func fingerprint(tb testing.TB, f *FSM) string {
	tb.Helper()
	if f.Err() != nil {
		tb.Fatal(f.Err())
	}
	return fmt.Sprintf("digest %x snapshot %x", digest(tb, f), sha256.Sum256(persist(tb, f)))
}

func oneByOne(f *FSM, log []*raft.Log) (results []any) {
	for _, e := range log {
		results = append(results, f.Apply(e))
	}
	return results
}

func inBatches(f *FSM, log []*raft.Log, r *rand.Rand) (results []any) {
	for len(log) > 0 {
		n := min(len(log), 1+r.IntN(100))
		results = append(results, f.ApplyBatch(log[:n])...)
		log = log[n:]
	}
	return results
}

// texts makes results comparable.
func texts(results []any) []string {
	list := make([]string, len(results))
	for i, res := range results {
		list[i] = fmt.Sprint(res)
	}
	return list
}

// withChecks puts a digest check after every entry at which digests are remembered, where the log has room, as a
// leader would that has applied the log up to there. It returns how many there are.
func withChecks(tb testing.TB, log []*raft.Log) (checked []*raft.Log, checks uint64) {
	tb.Helper()
	leader := New(Config{})
	var last, done uint64
	for _, e := range log {
		p, ok := leader.LatestDigest()
		if ok && p.Index > done && e.Index > last+1 {
			done = p.Index
			checked = append(checked, digestCheck(tb, last+1, p))
			checks++
		}
		checked = append(checked, e)
		leader.Apply(e)
		last = e.Index
	}
	return checked, checks
}

// TestDeterminismInThisZone: one log of 5,000 commands, applied one by one, in batches, and from a snapshot in the
// middle, gives the same results, the same digest and the same snapshot. The digest checks in it all succeed, and
// without them the state is the same.
func TestDeterminismInThisZone(t *testing.T) {
	unchecked := newGenerator(t, determinismSeed).log(determinismCommands)
	log, checks := withChecks(t, unchecked)
	if checks < 20 {
		t.Fatalf("%d checks in the log", checks)
	}
	reference := New(Config{})
	results := texts(oneByOne(reference, log))
	want := fingerprint(t, reference)
	if os.Getenv(determinismEnv) != "" {
		_, offset := time.Unix(1_700_000_000, 0).Zone()
		fmt.Printf("\noffset %d\n%s\nresults %x\n", offset, want, sha256.Sum256([]byte(strings.Join(results, "\n"))))
	}
	check := func(how string, f *FSM, got []any, from int) {
		t.Helper()
		if s := stateDigest(t, f); from == 0 && (s.Checks != checks || s.Skipped != 0) {
			t.Errorf("%s: %d checks and %d skipped, want %d", how, s.Checks, s.Skipped, checks)
		}
		if fp := fingerprint(t, f); fp != want {
			t.Errorf("%s:\n%s, want\n%s", how, fp, want)
		}
		if diff := cmp.Diff(results[from:], texts(got)); diff != "" {
			t.Errorf("%s: results, -want +got:\n%s", how, diff)
		}
	}

	rounds := 3
	if os.Getenv(determinismEnv) != "" {
		rounds = 1 // each way once in each zone
	}
	for seed := range uint64(rounds) {
		f := New(Config{})
		check(fmt.Sprint("in batches, ", seed), f, inBatches(f, log, rand.New(rand.NewPCG(seed, 1))), 0)
	}
	without := New(Config{})
	oneByOne(without, unchecked)
	if fp := fingerprint(t, without); fp != want {
		t.Errorf("without checks:\n%s, want\n%s", fp, want)
	}
	whole := New(Config{})
	check("in one batch", whole, whole.ApplyBatch(log), 0)

	r := rand.New(rand.NewPCG(determinismSeed, 2))
	for range rounds {
		at := 1 + r.IntN(len(log)-1)
		first, second := New(Config{}), New(Config{})
		inBatches(first, log[:at], r)
		stream := persist(t, first)
		restore(t, second, stream)
		if string(persist(t, second)) != string(stream) {
			t.Errorf("restored at %d: the next snapshot differs", at)
		}
		check(fmt.Sprint("from a snapshot at ", at), second, inBatches(second, log[at:], r), at)
		if s := stateDigest(t, second); s.Checks+s.Skipped != countChecks(log[at:]) || s.Skipped > 1 {
			t.Errorf("from a snapshot at %d: %d checks and %d skipped of %d", at, s.Checks, s.Skipped, countChecks(log[at:]))
		}
	}
	restored := New(Config{})
	restore(t, restored, persist(t, reference))
	check("from a snapshot at the end", restored, nil, len(log))
}

// TestDeterminismInAllZones runs TestDeterminismInThisZone in processes with other time zones, each of which makes the
// log anew, so that the order of Go maps differs as well.
func TestDeterminismInAllZones(t *testing.T) {
	if os.Getenv(determinismEnv) != "" {
		t.Skip("in the process of another zone")
	}
	t.Parallel()
	var want string
	for zone, offset := range map[string]int{"UTC": 0, "America/New_York": -5 * 3600, "Asia/Kathmandu": 5*3600 + 45*60, "Europe/London": 0} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestDeterminismInThisZone$", "-test.count=1")
		cmd.Env = append(os.Environ(), "TZ="+zone, determinismEnv+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", zone, err, out)
		}
		_, found, ok := strings.Cut(string(out), fmt.Sprintf("\noffset %d\n", offset))
		if !ok {
			t.Fatalf("%s: the process ran in another zone:\n%s", zone, out)
		}
		lines := strings.SplitN(found, "\n", 3)
		got := lines[0] + "\n" + lines[1]
		if want == "" {
			want = got
		}
		if got != want || !strings.HasPrefix(got, "digest ") {
			t.Errorf("%s:\n%s, elsewhere\n%s", zone, got, want)
		}
	}
}

// TestGeneratedLogCoversEveryCommand keeps the determinism tests honest.
func TestGeneratedLogCoversEveryCommand(t *testing.T) {
	t.Parallel()
	log, _ := withChecks(t, newGenerator(t, determinismSeed).log(determinismCommands))
	f := New(Config{})
	var worked, failed [numTypes]int
	for i, res := range oneByOne(f, log) {
		typ := log[i].Data[0] &^ byte(structs.IgnoreUnknownFlag)
		if _, ok := res.(error); ok {
			failed[typ]++
		} else {
			worked[typ]++
		}
	}
	cannotFail := map[structs.MessageType]bool{structs.AutopilotMsg: true, structs.SchedulerConfigMsg: true, structs.StateDigestCheckMsg: true,
		structs.ACLPolicyDeleteMsg: true, structs.ACLTokenDeleteMsg: true, structs.OneTimeTokenDeleteMsg: true, structs.OneTimeTokenExpireMsg: true}
	for i := range numTypes {
		typ := structs.MessageType(i)
		if c := commands[typ]; c.apply == nil {
			continue
		} else if worked[typ] < 3 && typ != structs.ACLTokenBootstrapMsg || failed[typ] < 3 && !cannotFail[typ] && !c.partial {
			t.Errorf("%s: %d worked, %d failed", typ, worked[typ], failed[typ])
		}
	}
	if n := f.State().NodeCount(); n < 20 {
		t.Errorf("%d nodes at the end", n)
	}
	if len(f.Skipped()) < 20 || len(f.State().KeyUses()) == 0 {
		t.Errorf("skipped %v, key uses %v", f.Skipped(), f.State().KeyUses())
	}
}
