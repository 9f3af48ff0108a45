package rpc

import (
	"net/http"
	"sync/atomic"

	"github.com/rollcall-id/rollcall/structs"
)

// limiter bounds how many calls act and how many wait at the same time. A call over the bound is refused at
// once with structs.ErrOverloaded, so that an overload costs the callers a retry and not the server its memory.
type limiter struct {
	acting, blocking gauge
}

// gauge counts the calls of one kind. max ≤ 0 means no bound.
type gauge struct {
	now     atomic.Int64
	max     int64
	release func()
}

func newLimiter(maxActing, maxBlocking int) *limiter {
	l := &limiter{}
	l.acting.init(maxActing)
	l.blocking.init(maxBlocking)
	return l
}

func (g *gauge) init(limit int) {
	g.max = int64(limit)
	g.release = func() { g.now.Add(-1) }
}

func (l *limiter) acquire(blocking bool) (release func(), err error) {
	g := &l.acting
	if blocking {
		g = &l.blocking
	}
	if n := g.now.Add(1); g.max > 0 && n > g.max {
		g.release()
		return nil, structs.Coded(http.StatusTooManyRequests, "%w", structs.ErrOverloaded)
	}
	return g.release, nil
}
