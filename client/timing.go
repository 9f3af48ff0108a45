package client

import (
	"math/rand/v2"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// Every wait of this package. Where a peer sets the pace it is in the reply (HeartbeatTTL).
const (
	// registerTimeout bounds one Node.Register. Servers hold a request for 5 s while there is no leader, and a fleet that
	// comes up at once queues at the leader.
	registerTimeout = 30 * time.Second
	// heartbeatTimeout is above the 5 s that servers hold a request, and low enough that a hung server leaves time to
	// ask another one within the grace.
	heartbeatTimeout = 7 * time.Second
	// retryMin and retryMax bound the pause after a failure; in development mode it never exceeds devRetryMax.
	retryMin    = time.Second
	retryMax    = 30 * time.Second
	devRetryMax = time.Second
	// firstHeartbeatMax spreads the first heartbeats of nodes that registered together.
	firstHeartbeatMax = time.Second
	// devFirstHeartbeatMax is the same for the one node of development mode.
	devFirstHeartbeatMax = 50 * time.Millisecond
	// heartbeatGrace is how long servers wait, by default, beyond the TTL before they mark a node down.
	heartbeatGrace = 10 * time.Second
	// ttlMin and ttlMax bound what a server can ask for.
	ttlMin = time.Second
	ttlMax = 24 * time.Hour
	// allocsWait is how long a server may hold Node.GetClientAllocs, allocsTimeout what is allowed with its jitter, and
	// allocsPause what lies at least between two calls.
	allocsWait    = 5 * time.Minute
	allocsTimeout = allocsWait + allocsWait/16 + 30*time.Second
	allocsPause   = time.Second
	// lockTimeout is how long to wait for another agent to let go of the state directory.
	lockTimeout = time.Second
)

// jitter returns a duration from d/2 to d.
func jitter(d time.Duration) time.Duration {
	if d <= 1 {
		return max(d, 0)
	}
	return d/2 + rand.N(d/2+1)
}

// exponential returns retryMin doubled for every failure after the first, at most limit.
func exponential(failures int, limit time.Duration) time.Duration {
	return min(retryMin<<min(max(failures-1, 0), 10), limit)
}

// afterFailure is the pause before the next heartbeat. left is what remains until the servers mark the node
// down, not positive if they may have done so. While there is something to save it tries at least four times.
func afterFailure(failures int, left, limit time.Duration) time.Duration {
	if left > 0 {
		return jitter(min(max(left/4, retryMin), limit))
	}
	return jitter(exponential(failures, limit))
}

// pauseAsked is what an overloaded server asks for, spread up to twice that, so that those who were refused together do
// not come back together; 0 if err is not its answer.
func pauseAsked(err error) time.Duration {
	asked := structs.RetryAfter(err)
	return asked + jitter(asked)
}
