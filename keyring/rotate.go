package keyring

import (
	"slices"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	// DefaultRotationThreshold is how old an active key grows.
	DefaultRotationThreshold = 720 * time.Hour
	// DefaultGCThreshold is how much longer than that an unused key is kept.
	DefaultGCThreshold = time.Hour
	// PublishLead is the least time between publishing a key and signing with it. It exceeds what JWKSMaxAge
	// allows once a rotation is due (a quarter of an hour and a tenth), so that verifiers know the key in time.
	PublishLead = 20 * time.Minute
)

// Policy says when keys rotate and go; zero values mean the defaults.
type Policy struct {
	RotationThreshold time.Duration
	GCThreshold       time.Duration
}

func (p Policy) withDefaults() Policy {
	if p.RotationThreshold <= 0 {
		p.RotationThreshold = DefaultRotationThreshold
	}
	if p.GCThreshold <= 0 {
		p.GCThreshold = DefaultGCThreshold
	}
	return p
}

// lead is PublishLead, less where keys rotate so often that it would stand in the way.
func (p Policy) lead() time.Duration { return min(PublishLead, p.RotationThreshold/2) }

// Facts answer what keys alone don't tell. Each is asked by key ID.
type Facts struct {
	// Usable reports whether this server can sign with the key (Keyring.Usable); nil: all keys are.
	Usable func(keyID string) bool
	// InUse reports whether a live identity was signed by the key or it encrypts a record; nil: all are in use.
	InUse func(keyID string) bool
	// Encrypts reports whether a record is encrypted by the key; nil: as InUse.
	Encrypts func(keyID string) bool
}

// ActionKind is what to do.
type ActionKind int

const (
	ActionNone ActionKind = iota
	// ActionCreate: make a key and make it active at once.
	ActionCreate
	// ActionPromote: make the prepublished key KeyID active.
	ActionPromote
	// ActionPrepublish: make a key that is published now and becomes active at PublishTime.
	ActionPrepublish
	// ActionFinishRekey: make the rekeying key KeyID inactive; nothing is encrypted by it any more.
	ActionFinishRekey
	// ActionDelete: delete KeyIDs.
	ActionDelete
)

// String returns the kind's name.
func (k ActionKind) String() string {
	switch k {
	case ActionCreate:
		return "create"
	case ActionPromote:
		return "promote"
	case ActionPrepublish:
		return "prepublish"
	case ActionFinishRekey:
		return "finish rekey"
	case ActionDelete:
		return "delete"
	}
	return "none"
}

// Action is one step of the key lifecycle (wire.md §4.4).
type Action struct {
	Kind        ActionKind
	KeyID       string    // of ActionPromote and ActionFinishRekey; of ActionCreate, the active key that can't be used
	PublishTime time.Time // of ActionPrepublish
	KeyIDs      []string  // of ActionDelete, sorted
	Reason      string    // for the log
}

// Plan returns the one thing to do now. The leader calls it periodically with all replicated keys, and again
// after each action. It is pure: it reads no clock and changes nothing.
//
// In order: without a usable active key, one is created, or a prepublished one promoted if its time has come. A
// prepublished key is promoted once its time has come. An active key past half the threshold gets a
// prepublished successor for when it reaches the threshold or, if that is past or near, for PublishLead from
// now. Rekeying keys that encrypt nothing become inactive. Keys out of service, older than both thresholds and
// not in use are deleted.
//
// It gets along with clocks that were wrong: keys from the future are replaced like old ones, and a
// prepublished key holds up rotation for one more threshold at most, whatever its publish time. Keys that are not
// usable hold up nothing.
func Plan(now time.Time, p Policy, keys []*structs.RootKey, facts Facts) Action {
	p = p.withDefaults()
	facts = facts.withDefaults()
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b *structs.RootKey) int {
		if a.KeyID < b.KeyID {
			return -1
		}
		return 1
	})
	if a := planRotation(now, p, keys, facts); a.Kind != ActionNone {
		return a
	}
	for _, k := range keys {
		if k.IsRekeying() && !facts.Encrypts(k.KeyID) {
			return Action{Kind: ActionFinishRekey, KeyID: k.KeyID, Reason: "nothing is encrypted by it"}
		}
	}
	return planGC(now, p, keys, facts)
}

func (f Facts) withDefaults() Facts {
	always := func(string) bool { return true }
	if f.Usable == nil {
		f.Usable = always
	}
	if f.InUse == nil {
		f.InUse = always
	}
	if f.Encrypts == nil {
		f.Encrypts = f.InUse
	}
	return f
}

func planRotation(now time.Time, p Policy, keys []*structs.RootKey, facts Facts) Action {
	var active, next *structs.RootKey // next: the usable prepublished key that is due first
	for _, k := range keys {
		if k.IsActive() && (active == nil || k.CreateTime > active.CreateTime) {
			active = k
		}
		if k.IsPrepublished() && facts.Usable(k.KeyID) && (next == nil || k.PublishTime < next.PublishTime) {
			next = k
		}
	}
	if next != nil && next.PublishTime <= now.UnixNano() {
		return Action{Kind: ActionPromote, KeyID: next.KeyID, Reason: "its publish time has come"}
	}
	switch {
	case active == nil:
		return Action{Kind: ActionCreate, Reason: "no key is active"}
	case !facts.Usable(active.KeyID):
		return Action{Kind: ActionCreate, KeyID: active.KeyID, Reason: "the active key can't be used"}
	}

	soonest := now.Add(p.lead())
	fromFuture := active.Created().After(soonest)
	if !fromFuture && now.Sub(active.Created()) <= p.RotationThreshold/2 {
		return Action{}
	}
	publish := active.Created().Add(p.RotationThreshold)
	longest := publish.Add(p.RotationThreshold)
	if fromFuture || publish.Before(soonest) {
		publish = soonest
	}
	if fromFuture || longest.Before(soonest) {
		longest = soonest
	}
	if next != nil && next.PublishTime <= longest.UnixNano() {
		return Action{}
	}
	return Action{Kind: ActionPrepublish, PublishTime: publish, Reason: "the active key " + active.KeyID + " is due for rotation"}
}

func planGC(now time.Time, p Policy, keys []*structs.RootKey, facts Facts) Action {
	cutoff := now.Add(-p.RotationThreshold - p.GCThreshold).UnixNano()
	var old []string
	for _, k := range keys {
		// A prepublished key that is overdue and was not promoted can't be used.
		retired := k.IsInactive() || k.IsPrepublished() && k.PublishTime < cutoff && !facts.Usable(k.KeyID)
		if retired && k.CreateTime < cutoff && !facts.InUse(k.KeyID) {
			old = append(old, k.KeyID)
		}
	}
	if len(old) == 0 {
		return Action{}
	}
	return Action{Kind: ActionDelete, KeyIDs: old, Reason: "out of service and not in use"}
}
