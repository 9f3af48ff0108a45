package keyring

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	day       = 24 * time.Hour
	threshold = DefaultRotationThreshold // 30 days
)

// planKey is a key that is age old at testNow.
func planKey(n int, state structs.KeyState, age time.Duration) *structs.RootKey {
	return &structs.RootKey{KeyID: keyID(n), State: state, CreateTime: testNow.Add(-age).UnixNano()}
}

// prepublished is a prepublished key that is due in the given time.
func prepublished(n int, age, due time.Duration) *structs.RootKey {
	k := planKey(n, structs.KeyStatePrepublished, age)
	k.PublishTime = testNow.Add(due).UnixNano()
	return k
}

func only(numbers ...int) func(string) bool {
	return func(id string) bool {
		return slices.ContainsFunc(numbers, func(n int) bool { return keyID(n) == id })
	}
}

func except(numbers ...int) func(string) bool {
	of := only(numbers...)
	return func(id string) bool { return !of(id) }
}

func TestPlan(t *testing.T) {
	const (
		active, inactive, rekeying, deprecated = structs.KeyStateActive, structs.KeyStateInactive, structs.KeyStateRekeying, structs.KeyStateDeprecated
	)
	unused := Facts{InUse: only()}
	type keys = []*structs.RootKey
	create, none := Action{Kind: ActionCreate}, Action{}
	promote := func(n int) Action { return Action{Kind: ActionPromote, KeyID: keyID(n)} }
	prepublish := func(in time.Duration) Action {
		return Action{Kind: ActionPrepublish, PublishTime: testNow.Add(in)}
	}
	remove := func(numbers ...int) Action {
		a := Action{Kind: ActionDelete}
		for _, n := range numbers {
			a.KeyIDs = append(a.KeyIDs, keyID(n))
		}
		return a
	}
	for _, c := range []struct {
		name  string
		keys  keys
		facts Facts
		want  Action
	}{
		{"no keys", nil, Facts{}, create},
		{"no active key", keys{planKey(1, inactive, day)}, Facts{}, create},
		{"an active key that can't be used", keys{planKey(1, active, day)}, Facts{Usable: only()}, Action{Kind: ActionCreate, KeyID: keyID(1)}},
		{"no active key, a prepublished one due", keys{prepublished(1, day, -1)}, Facts{}, promote(1)},
		{"no active key, a prepublished one not due", keys{prepublished(1, day, time.Hour)}, Facts{}, create},
		{"an unusable active key, a prepublished one due", keys{planKey(1, active, day), prepublished(2, day, 0)}, Facts{Usable: only(2)}, promote(2)},

		{"a young active key", keys{planKey(1, active, threshold/2)}, Facts{}, none},
		{"an active key past half the threshold", keys{planKey(1, active, threshold/2+1)}, Facts{}, prepublish(threshold/2 - 1)},
		{"an active key near the threshold", keys{planKey(1, active, threshold-time.Minute)}, Facts{}, prepublish(PublishLead)},
		{"an active key far past the threshold", keys{planKey(1, active, 9*threshold)}, Facts{}, prepublish(PublishLead)},
		{"a successor waiting", keys{planKey(1, active, 20*day), prepublished(2, 5*day, 10*day)}, Facts{}, none},
		{"a successor due to the nanosecond", keys{planKey(1, active, 30*day), prepublished(2, 15*day, 0)}, Facts{}, promote(2)},
		{"a successor due in a nanosecond", keys{planKey(1, active, 30*day), prepublished(2, 15*day, 1)}, Facts{}, none},
		{"two successors due", keys{planKey(1, active, 30*day), prepublished(2, day, -time.Hour), prepublished(3, day, -2*time.Hour)}, Facts{}, promote(3)},
		{"a successor due that can't be used", keys{planKey(1, active, 10*day), prepublished(2, day, -1)}, Facts{Usable: except(2)}, none},
		{"a successor that can't be used, of an old key", keys{planKey(1, active, 29*day), prepublished(2, day, day)}, Facts{Usable: except(2)}, prepublish(day)},
		{"an operator's successor, later than the threshold", keys{planKey(1, active, 40*day), prepublished(2, day, 20*day)}, Facts{}, none},
		{"an operator's successor, later than twice the threshold", keys{planKey(1, active, 40*day), prepublished(2, day, 21*day)}, Facts{}, prepublish(PublishLead)},
		{"a successor years away, of a young key", keys{planKey(1, active, 10*day), prepublished(2, day, 900*day)}, Facts{}, none},
		{"a successor years away, of an older key", keys{planKey(1, active, 16*day), prepublished(2, day, 900*day)}, Facts{}, prepublish(14 * day)},
		{"an active key from next year", keys{planKey(1, active, -300*day)}, Facts{}, prepublish(PublishLead)},
		{"an active key from next year, its successor waiting", keys{planKey(1, active, -300*day), prepublished(2, 0, time.Minute)}, Facts{}, none},
		{"an active key from next year, its successor too", keys{planKey(1, active, -300*day), prepublished(2, -315*day, 330*day)}, Facts{}, prepublish(PublishLead)},
		{"an active key a minute from the future", keys{planKey(1, active, -time.Minute)}, Facts{}, none},

		{"an old unused key", keys{planKey(1, active, day), planKey(2, inactive, threshold+time.Hour+1)}, unused, remove(2)},
		{"an unused key not old enough", keys{planKey(1, active, day), planKey(2, inactive, threshold+time.Hour)}, unused, none},
		{"an old key in use", keys{planKey(1, active, day), planKey(2, inactive, 90*day)}, Facts{InUse: only(2)}, none},
		{"an old key nobody can tell about", keys{planKey(1, active, day), planKey(2, inactive, 90*day)}, Facts{}, none},
		{"several old keys", keys{planKey(4, deprecated, 90*day), planKey(1, active, day), planKey(3, inactive, 90*day), planKey(2, inactive, 90*day)},
			Facts{InUse: only(3)}, remove(2, 4)},
		{"an old key without material", keys{planKey(1, active, day), planKey(2, inactive, 90*day)}, Facts{InUse: only(), Usable: except(2)}, remove(2)},
		{"an old unused key while a successor waits", keys{planKey(1, active, 20*day), prepublished(2, day, 10*day), planKey(3, inactive, 90*day)}, unused, remove(3)},
		{"rotation before collection", keys{planKey(1, active, 20*day), planKey(3, inactive, 90*day)}, unused, prepublish(10 * day)},
		{"an old unused active key", keys{planKey(1, active, 90*day), prepublished(2, day, 1)}, unused, none},
		{"a prepublished key that was never usable", keys{planKey(1, active, day), prepublished(2, 90*day, -60*day)}, Facts{InUse: only(), Usable: except(2)}, remove(2)},

		{"a rekeying key that encrypts nothing", keys{planKey(1, active, day), planKey(2, rekeying, day)}, Facts{Encrypts: only()},
			Action{Kind: ActionFinishRekey, KeyID: keyID(2)}},
		{"a rekeying key that encrypts something", keys{planKey(1, active, day), planKey(2, rekeying, 90*day)}, Facts{InUse: only(), Encrypts: only(2)}, none},
		{"a rekeying key nobody can tell about", keys{planKey(1, active, day), planKey(2, rekeying, 90*day)}, Facts{}, none},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := slices.Clone(c.keys)
			got := Plan(testNow, Policy{}, c.keys, c.facts)
			if (got.Reason == "") != (got.Kind == ActionNone) {
				t.Errorf("%s with reason %q", got.Kind, got.Reason)
			}
			got.Reason = ""
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if !slices.Equal(before, c.keys) {
				t.Error("the caller's slice was changed")
			}
		})
	}
}

func TestShortThresholdsShortenTheLead(t *testing.T) {
	keys := []*structs.RootKey{planKey(1, structs.KeyStateActive, time.Hour)}
	got := Plan(testNow, Policy{RotationThreshold: 10 * time.Second}, keys, Facts{})
	if got.Kind != ActionPrepublish || !got.PublishTime.Equal(testNow.Add(5*time.Second)) {
		t.Errorf("%s at %v", got.Kind, got.PublishTime)
	}
}
