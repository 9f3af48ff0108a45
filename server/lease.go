package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// leaseShare is the part of Raft's leader lease for which one verification is good. Followers that answered a
// verification give no one else their vote for at least the lease, so a server that was confirmed within it
// leads; the rest of the lease is margin for clocks that run at different speeds.
const leaseShare = 5

// errHandover ends as ErrNoLeader does by itself, by which whoever forwarded the call knows that nothing was done
// and asks the next leader.
var errHandover = fmt.Errorf("leadership is being handed over: %w", structs.ErrNoLeader)

// lease answers whether this server may still act as the leader. Calls that arrive while a verification runs
// share the next one, and a verification serves every call for a fraction of the leader lease. It is safe for
// concurrent use.
type lease struct {
	verify func() error // asks a quorum
	now    func() time.Time
	good   time.Duration

	mu        sync.Mutex // guards the fields below
	until     time.Time  // verified up to here
	epoch     uint64     // raised by drop: a verification that began before it counts for nothing
	handovers int        // under way: nothing is verified
	running   *verification
}

// verification is one question to the quorum; err is set before done is closed.
type verification struct {
	done chan struct{}
	err  error
}

// newLease takes the lease of the Raft configuration.
func newLease(verify func() error, now func() time.Time, raftLease time.Duration) *lease {
	return &lease{verify: verify, now: now, good: raftLease / leaseShare}
}

// check returns nil while a quorum's confirmation is fresh, asking for one if it is not. A confirmation counts
// from when it was asked for: a call that finds an older one under way, which will no longer be fresh when it
// comes, asks once more.
func (l *lease) check(ctx context.Context) error {
	for {
		l.mu.Lock()
		if l.handovers > 0 {
			l.mu.Unlock()
			return errHandover
		}
		if l.now().Before(l.until) {
			l.mu.Unlock()
			return nil
		}
		mine := l.running == nil
		if mine {
			l.running = &verification{done: make(chan struct{})}
			go l.run(l.running, l.epoch)
		}
		v := l.running
		l.mu.Unlock()
		select {
		case <-v.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if v.err != nil || mine {
			return v.err
		}
	}
}

func (l *lease) run(v *verification, epoch uint64) {
	began := l.now()
	err := l.verify()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		v.err = fmt.Errorf("leadership not confirmed: %w: %w", err, structs.ErrNoLeader)
	case epoch != l.epoch:
		v.err = errHandover
	default:
		l.until = began.Add(l.good)
	}
	l.running = nil
	close(v.done)
}

// drop ends the lease: leadership was lost.
func (l *lease) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Time{}
	l.epoch++
}

// handover ends the lease and keeps it from being verified until the returned function is called. The server
// that is to lead may be elected while a quorum still confirms this one, so no confirmation counts.
func (l *lease) handover() (over func()) {
	l.drop()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handovers++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.handovers--
	}
}
