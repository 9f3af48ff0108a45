package keyring

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-id/rollcall/structs"
)

// fleet is a model of a cluster over years: true time passes in steps, the leader may be away or have a
// wrong clock, operators rotate by hand, identities are signed by the active key and live for a while.
type fleet struct {
	t      *rapid.T
	policy Policy
	period time.Duration // of the leader's runs
	now    time.Time     // true
	skew   time.Duration // of the leader's clock
	keys   []*structs.RootKey
	next   int

	activeSince time.Time            // true time at which the active key became so
	retired     map[string]time.Time // true time at which a key left service, or was last in use
	expiry      map[string]time.Time // of the last identity that each key signed
	alive       time.Duration        // for how long there has been a leader without a break
	sane        time.Duration        // for how long, moreover, its clock has been right

	seen map[ActionKind]int
}

const (
	simTTL      = 3 * day
	longestSkew = 60 * day
)

func (f *fleet) clock() time.Time { return f.now.Add(f.skew) }

func (f *fleet) active() *structs.RootKey {
	var found *structs.RootKey
	for _, k := range f.keys {
		if !k.IsActive() {
			continue
		}
		if found != nil {
			f.t.Fatalf("%s and %s are both active", found.KeyID, k.KeyID)
		}
		found = k
	}
	return found
}

func (f *fleet) inUse(id string) bool { return f.now.Before(f.expiry[id]) }

// add stores a new key the way the state store does: a key that becomes active demotes the others.
func (f *fleet) add(state structs.KeyState, publish time.Time) *structs.RootKey {
	f.next++
	k := &structs.RootKey{KeyID: keyID(f.next), State: structs.KeyStatePrepublished, CreateTime: f.clock().UnixNano()}
	if !publish.IsZero() {
		k.PublishTime = publish.UnixNano()
	}
	f.keys = append(f.keys, k)
	if state == structs.KeyStateActive {
		f.activate(k.KeyID, false)
	}
	return k
}

func (f *fleet) activate(id string, full bool) {
	for _, k := range f.keys {
		switch {
		case k.KeyID == id:
			k.State = structs.KeyStateActive
		case full && (k.IsActive() || k.IsInactive()):
			k.State = structs.KeyStateRekeying
			f.retired[k.KeyID] = f.now
		case k.IsActive():
			k.State = structs.KeyStateInactive
			f.retired[k.KeyID] = f.now
		}
	}
	f.activeSince = f.now
}

// run is one period of the leader: it does what Plan says, a step at a time, until there is nothing left.
func (f *fleet) run() {
	for step := 0; ; step++ {
		if step > 50 {
			f.t.Fatal("the plan never comes to an end")
		}
		a := Plan(f.clock(), f.policy, f.keys, Facts{InUse: f.inUse, Encrypts: func(string) bool { return false }})
		f.seen[a.Kind]++
		switch a.Kind {
		case ActionNone:
			return
		case ActionCreate:
			f.add(structs.KeyStateActive, time.Time{})
		case ActionPrepublish:
			if !a.PublishTime.After(f.clock()) {
				f.t.Fatalf("a key is to be published in the past")
			}
			f.add(structs.KeyStatePrepublished, a.PublishTime)
		case ActionPromote:
			f.activate(a.KeyID, false)
		case ActionFinishRekey:
			for _, k := range f.keys {
				if k.KeyID == a.KeyID {
					k.State = structs.KeyStateInactive
				}
			}
		case ActionDelete:
			f.remove(a.KeyIDs)
		}
	}
}

func (f *fleet) remove(ids []string) {
	if len(ids) == 0 {
		f.t.Fatal("a deletion of nothing")
	}
	for _, id := range ids {
		if f.inUse(id) {
			f.t.Fatalf("%s is deleted, in use until %v, now %v", id, f.expiry[id], f.now)
		}
		for i, k := range f.keys {
			if k.KeyID == id {
				if k.IsActive() {
					f.t.Fatalf("the active key %s is deleted", id)
				}
				f.keys = append(f.keys[:i:i], f.keys[i+1:]...)
				break
			}
		}
	}
}

// check holds after every run of a leader.
func (f *fleet) check() {
	a := f.active()
	if a == nil {
		f.t.Fatal("no key is active")
	}
	p := f.policy.withDefaults()
	slack := 3 * f.period
	// An operator's prepublished key may stretch the threshold to its double. One that itself waited for longer
	// than that may serve until its successor has been published. Age is what the key says of itself: nothing
	// else tells of a clock that was wrong as it was made.
	soon := p.lead() + slack
	longest := 2*p.RotationThreshold + soon
	age, service := f.now.Sub(a.Created()), f.now.Sub(f.activeSince)
	if f.sane > longest && (service > longest || age > longest && service > soon) {
		f.t.Fatalf("the active key is %v old and has served for %v; the threshold is %v", age, service, p.RotationThreshold)
	}
	limit := p.RotationThreshold + p.GCThreshold + 2*longestSkew + slack // made by a clock ahead, judged by one behind
	for _, k := range f.keys {
		since, gone := f.retired[k.KeyID]
		if !gone || k.IsActive() || k.IsPrepublished() {
			continue
		}
		idle := f.now.Sub(later(since, f.expiry[k.KeyID]))
		if f.alive > limit && idle > limit {
			f.t.Fatalf("%s is %s, unused for %v, and still there", k.KeyID, k.State, idle)
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Never two active keys, never a stall, never a key deleted in use, and in the end no unused key is left.
func TestPlanOverYears(t *testing.T) {
	seen := map[ActionKind]int{}
	rapid.Check(t, func(t *rapid.T) {
		f := &fleet{
			t: t, now: testNow, retired: map[string]time.Time{}, expiry: map[string]time.Time{},
			policy: Policy{
				RotationThreshold: rapid.SampledFrom([]time.Duration{0, 10 * day, 90 * day, 12 * time.Hour}).Draw(t, "threshold"),
				GCThreshold:       rapid.SampledFrom([]time.Duration{0, day}).Draw(t, "gc"),
			},
			seen: seen,
		}
		p := f.policy.withDefaults()
		f.period = max(10*time.Minute, p.RotationThreshold/100)
		f.run()
		for n := range rapid.IntRange(1, 40).Draw(t, "events") {
			name := fmt.Sprint("event ", n)
			lasts := p.RotationThreshold * time.Duration(rapid.IntRange(1, 300).Draw(t, name+" lasts")) / 100
			switch rapid.IntRange(0, 8).Draw(t, name) {
			case 0: // nothing happens
			case 1: // nobody leads
				f.now = f.now.Add(lasts)
				f.alive, f.sane = 0, 0
			case 2: // the operator rotates
				f.add(structs.KeyStateActive, time.Time{})
			case 3: // and so that everything is encrypted anew
				k := f.add(structs.KeyStatePrepublished, f.clock())
				f.activate(k.KeyID, true)
			case 4: // the operator prepublishes
				f.add(structs.KeyStatePrepublished, f.clock().Add(lasts))
			case 5: // far too far ahead
				f.add(structs.KeyStatePrepublished, f.clock().Add(100*lasts))
			case 6, 7: // the clock steps
				f.skew = min(lasts, longestSkew) * time.Duration(rapid.SampledFrom([]int{-1, 1}).Draw(t, name+" sign"))
				f.sane = 0
			case 8: // and is set right
				f.skew = 0
			}
			for end := f.now.Add(lasts); f.now.Before(end); {
				f.run()
				f.expiry[f.active().KeyID] = f.now.Add(simTTL)
				f.check()
				f.now = f.now.Add(f.period)
				f.alive += f.period
				if f.skew == 0 {
					f.sane += f.period
				}
			}
		}
	})
	for _, kind := range []ActionKind{ActionCreate, ActionPromote, ActionPrepublish, ActionFinishRekey, ActionDelete} {
		if seen[kind] == 0 {
			t.Errorf("the simulation never came to %s", kind)
		}
	}
}
