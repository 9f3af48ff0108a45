package fsm

import (
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// DigestInterval is how many log entries lie between two whose state digests every server remembers: those with an
// index that it divides.
const DigestInterval = 256

// rememberedDigests is how many of them are remembered. A check is about the latest, as a rule.
const rememberedDigests = 64

// DigestPoint is the digest of the state after one log entry.
type DigestPoint struct {
	Index  uint64
	Digest func() [32]byte // waits until it is computed
	Base   string          // see structs.StateBase
}

// digests is what an FSM knows of its past states.
type digests struct {
	// Of the goroutine that applies:
	last  uint64 // the entry applied last
	known bool   // the state after last is known; not so after a restore, which does not say where the log goes on
	base  string // what the state grew from

	ready chan struct{} // holds a token while there is a point that nobody has fetched

	mu      sync.Mutex // guards the following, and is held while a batch becomes visible
	applied uint64     // the state is the one after this entry
	points  [rememberedDigests]DigestPoint
	next    int // place of the next point
	status  structs.StateDigest
}

// DigestReady delivers a token whenever LatestDigest has a new answer. It is for one receiver.
func (f *FSM) DigestReady() <-chan struct{} { return f.digests.ready }

// LatestDigest returns the latest remembered digest; false while there is none.
func (f *FSM) LatestDigest() (DigestPoint, bool) {
	d := &f.digests
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.points[(d.next+rememberedDigests-1)%rememberedDigests]
	return p, p.Digest != nil
}

// StateDigest returns the digest of the state, and how its checks went. After a restore, until the next entry is
// applied, the index is the highest of any table.
func (f *FSM) StateDigest() (structs.StateDigest, error) {
	d := &f.digests
	d.mu.Lock()
	status, s := d.status, f.State()
	status.Index = d.applied
	sum, err := s.Digest()
	d.mu.Unlock()
	if err != nil {
		return structs.StateDigest{}, fmt.Errorf("read state digest: %w", err)
	}
	base, err := s.Base()
	if err != nil {
		return structs.StateDigest{}, fmt.Errorf("read state base: %w", err)
	}
	status.Digest, status.Version, status.Base = hex.EncodeToString(sum[:]), state.DigestVersion, base.ID
	return status, nil
}

// commit makes the transaction visible together with the index that it has come to.
func (d *digests) commit(txn *state.Txn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	txn.Commit()
	if d.last > d.applied {
		d.applied = d.last
	}
}

// before is called with the index of an entry that is about to be applied. Not every index belongs to an entry that
// gets here: the state after one that doesn't is the state before the next that does.
func (d *digests) before(txn *state.Txn, index uint64) {
	if at := (index - 1) / DigestInterval * DigestInterval; d.known && index > d.last && at > d.last {
		d.remember(txn, at)
	}
}

// after is called with the index of an entry that was applied.
func (d *digests) after(txn *state.Txn, index uint64) {
	d.last, d.known = index, true
	if index%DigestInterval == 0 {
		d.remember(txn, index)
	}
}

func (d *digests) remember(txn *state.Txn, index uint64) {
	p := DigestPoint{Index: index, Digest: txn.Digest(), Base: d.base}
	d.mu.Lock()
	d.points[d.next] = p
	d.next = (d.next + 1) % rememberedDigests
	d.mu.Unlock()
	go func() {
		p.Digest() // beside applying, which would otherwise have to wait for it
		select {
		case d.ready <- struct{}{}:
		default: // it lies there already
		}
	}()
}

// replace puts another state in the place of the one there is, and forgets all points. It returns the old state.
func (f *FSM) replace(s *state.Store, base string, index uint64) *state.Store {
	d := &f.digests
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last, d.known, d.base, d.applied = 0, false, base, index
	d.points, d.next = [rememberedDigests]DigestPoint{}, 0
	return f.store.Swap(s)
}

// checkDigest compares. It changes nothing but counts, so that replaying a log with checks and one without end in
// the same state.
func (f *FSM) checkDigest(index uint64, c *structs.StateDigestCheck) *LogError {
	mismatch := f.digests.check(c)
	switch {
	case mismatch == nil:
		return nil
	case f.tolerant:
		f.logger.Error("going on although a digest check failed, as configured", "index", index, "error", mismatch)
		return nil
	}
	return &LogError{Index: index, Type: structs.StateDigestCheckMsg, Err: mismatch}
}

func (d *digests) check(c *structs.StateDigestCheck) *DigestMismatch {
	d.mu.Lock()
	var mine DigestPoint
	for _, p := range d.points {
		if p.Digest != nil && p.Index == c.Index {
			mine = p
		}
	}
	if mine.Digest == nil || mine.Base != c.Base || c.Version != state.DigestVersion {
		d.status.Skipped++
		d.mu.Unlock()
		return nil
	}
	d.mu.Unlock()
	if sum := mine.Digest(); string(sum[:]) != string(c.Digest) {
		return &DigestMismatch{Index: c.Index, Mine: sum[:], Leader: c.Digest}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status.Checks++
	d.status.LastCheckIndex = c.Index
	return nil
}

func (d *dispatchTable) registerDigests() {
	register(d, structs.StateDigestCheckMsg, func(_ *state.Txn, _ uint64, check *structs.StateDigestCheck) (any, error) {
		return check, nil // applyCommand compares: a command sees its transaction alone
	})
}

func (l *loaderTable) registerDigests() {
	registerRecord(l, structs.StateBaseRecord, func(r *state.Restore, b *structs.StateBase) error { return r.Base(*b) })
}

// ErrDigestMismatch is in the error that stops a server whose state is not the leader's.
var ErrDigestMismatch = errors.New("the state of this server differs from the leader's")

// DigestMismatch says how two states differ that should be the same.
type DigestMismatch struct {
	Index        uint64 // log entry after which the digests were taken
	Mine, Leader []byte
}

// Error says what was found and what to do.
func (e *DigestMismatch) Error() string {
	return fmt.Sprintf("%v: after log entry %d its digest is %x and the leader's was %x. This server has stopped so that it "+
		"gives out nothing wrong. Keep a copy of its data directory, then start it with an empty one: it gets the state from "+
		"the others. If several servers stopped at this entry, it is the leader of that time whose state differs: do that "+
		"with the leader, and start the others as they are, with server.ignore_state_digest_checks set until a snapshot has been taken",
		ErrDigestMismatch, e.Index, e.Mine, e.Leader)
}

// Unwrap returns ErrDigestMismatch.
func (e *DigestMismatch) Unwrap() error { return ErrDigestMismatch }
