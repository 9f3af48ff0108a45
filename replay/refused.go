package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/fsm"
)

// resume goes on with rest after an entry that ended the state machine: a new one takes over the state. That takes as
// long as a snapshot, so that it is done only for what can't be known before.
func (r *run) resume(stopped *fsm.LogError, rest []*raft.Log) error {
	var stream bytes.Buffer
	if _, err := fsm.WriteState(&stream, r.fsm.State().Snapshot()); err != nil {
		return fmt.Errorf("go on after entry %d: %w", stopped.Index, err)
	}
	next := fsm.New(fsm.Config{Logger: r.opts.Logger})
	if err := next.Restore(io.NopCloser(&stream)); err != nil {
		return fmt.Errorf("go on after entry %d: %w", stopped.Index, err)
	}
	r.tally.skip(r.fsm.Skipped())
	r.fsm = next
	if kindOf(stopped) == KindDiverged {
		r.diverged = &stopped.Type
	}
	for _, log := range rest {
		if err := r.add(log); err != nil {
			return err
		}
	}
	return r.apply()
}

// dropUndecodable takes the entries that would stop the state machine for good out of the batch. Whether one can be
// decoded does not depend on the state, so that a state machine to throw away can tell.
func (r *run) dropUndecodable(logs *[]*raft.Log) error {
	good := (*logs)[:0:0]
	rest := *logs
	for len(rest) > 0 {
		probe := fsm.New(fsm.Config{})
		probe.ApplyBatch(rest)
		var at *fsm.LogError
		if !errors.As(probe.Err(), &at) {
			break
		}
		i := slices.IndexFunc(rest, func(log *raft.Log) bool { return log.Index == at.Index })
		if kindOf(at) == KindDiverged { // from the probe's state, which has no meaning
			good = append(good, rest[:i+1]...)
		} else {
			good = append(good, rest[:i]...)
			if err := r.refused(at); err != nil {
				return err
			}
		}
		rest = rest[i+1:]
	}
	*logs = append(good, rest...)
	return nil
}

// kindOf says why an entry ended the state machine.
func kindOf(at *fsm.LogError) string {
	switch {
	case errors.Is(at, fsm.ErrUnknownEntry):
		return KindFuture
	case errors.Is(at, fsm.ErrDamagedEntry):
		return KindDamaged
	}
	return KindDiverged
}

// refused notes an entry that the state machine can't go past.
func (r *run) refused(at *fsm.LogError) error {
	p := &Problem{Kind: kindOf(at), Index: at.Index, Type: at.Type.String()}
	switch p.Kind {
	case KindFuture:
		p.What = fmt.Sprintf("message type %d is not known: a newer version wrote it", uint8(at.Type))
	case KindDamaged:
		p.What = "its body can't be decoded"
	default:
		p.What = at.Err.Error()
		var m *fsm.DigestMismatch
		if errors.As(at, &m) {
			p.What = fmt.Sprintf("after log entry %d the digest of the state is %x, and the leader's was %x", m.Index, m.Mine, m.Leader)
		}
	}
	c := &r.tally.types[at.Type]
	c.Entries++
	c.Undecodable++
	return r.problem(p)
}
