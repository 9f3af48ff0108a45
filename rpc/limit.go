package rpc

import (
	"sync/atomic"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// DefaultRetryAfter is the pause that is asked of who was refused because there was too much to do.
const DefaultRetryAfter = time.Second

// limiter bounds how many calls act, how many wait for a change, and how many are with another server or wait for
// there to be a leader, at the same time. A call over the bound is refused at once with structs.Overloaded, so that an
// overload costs the callers a retry and not the server its memory.
type limiter struct {
	acting, blocking, passing gauge
}

// gauge counts the calls of one kind. max ≤ 0 means no bound.
type gauge struct {
	now     atomic.Int64
	max     int64
	release func()
	refused func() error
}

func newLimiter(cfg *Config, metrics Metrics) *limiter {
	pause := cfg.RetryAfter
	if pause <= 0 {
		pause = DefaultRetryAfter
	}
	refuse := structs.Overloaded(pause)
	counted := func(name string) func() error {
		return func() error {
			metrics.IncrCounter([]string{"limits", name}, 1)
			return refuse
		}
	}
	l := &limiter{}
	l.acting.init(cfg.MaxInFlight, counted("rpc_calls_refused"))
	l.blocking.init(cfg.MaxBlocking, counted("rpc_blocking_refused"))
	most := 0
	if cfg.MaxInFlight > 0 && cfg.MaxBlocking > 0 {
		most = cfg.MaxInFlight + cfg.MaxBlocking
	}
	l.passing.init(most, counted("rpc_forwards_refused"))
	return l
}

func (g *gauge) init(limit int, refused func() error) {
	g.max, g.refused = int64(limit), refused
	g.release = func() { g.now.Add(-1) }
}

func (l *limiter) acquire(blocking bool) (release func(), err error) {
	if blocking {
		return l.blocking.acquire()
	}
	return l.acting.acquire()
}

func (g *gauge) acquire() (release func(), err error) {
	if n := g.now.Add(1); g.max > 0 && n > g.max {
		g.release()
		return nil, g.refused()
	}
	return g.release, nil
}
