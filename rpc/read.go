package rpc

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/hashicorp/go-bexpr"
	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// queryJitter is the part of a blocking query's wait that is added at random at most, so that queries that
// started together don't end together.
const queryJitter = 16

func (c *Call) state() State { return c.srv.deps.State() }

// read answers a query, waiting until its result's index exceeds the caller's if that is asked for (wire.md
// §1.9). look fills the reply and returns its index; what it reads is watched through ws. When the wait is over
// the present result is the answer.
func (c *Call) read(q *structs.QueryOptions, meta *structs.QueryMeta, look func(ws memdb.WatchSet, st State) (uint64, error)) error {
	ctx := c.ctx
	if q.MinQueryIndex > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, c.orTokenEnds(time.Now().Add(c.srv.queryTime(q))))
		defer cancel()
	}
	for restored := false; ; {
		st := c.state()
		var ws memdb.WatchSet
		if q.MinQueryIndex > 0 {
			ws = memdb.NewWatchSet()
			ws.Add(st.AbandonCh())
			if err := c.watchRights(ws); err != nil {
				return err
			}
		}
		index, err := look(ws, st)
		if err != nil {
			return err
		}
		meta.Index = max(index, 1)
		c.setContact(meta)
		if q.MinQueryIndex == 0 || meta.Index > q.MinQueryIndex || restored {
			return nil
		}
		if err := ws.WatchCtx(ctx); err != nil {
			if c.ctx.Err() != nil {
				return c.ctx.Err()
			}
			return c.stillMay()
		}
		select {
		case <-st.AbandonCh():
			restored = true // its indexes may all be lower than the one that is waited for
		default:
		}
	}
}

func (c *Call) setContact(meta *structs.QueryMeta) {
	l := c.srv.deps.Leader
	if l.Leading() {
		meta.LastContact, meta.KnownLeader = 0, true
		return
	}
	meta.LastContact, meta.KnownLeader = l.LastContact(), l.LeaderAddr() != ""
}

// queryTime is how long the query may wait.
func (s *Server) queryTime(q *structs.QueryOptions) time.Duration {
	d := q.MaxQueryTime
	if d <= 0 {
		d = s.cfg.DefaultQueryTime
	}
	d = min(d, s.cfg.MaxQueryTime)
	return d + rand.N(d/queryJitter+1)
}

// page collects what the query's filter lets through, from its page token on, at most a page of it. Items must
// come sorted by key; the token is the key of the first item of the next page.
func page[In, Out any](q *structs.QueryOptions, meta *structs.QueryMeta, items iter.Seq[In], key func(In) string, out func(In) Out) ([]Out, error) {
	var eval *bexpr.Evaluator
	if q.Filter != "" {
		var err error
		if eval, err = compileFilter(q.Filter); err != nil {
			return nil, structs.Coded(http.StatusBadRequest, "failed to create result paginator: failed to read filter expression: %w", err)
		}
	}
	if q.PerPage < 0 {
		return nil, structs.Coded(http.StatusBadRequest, "failed to create result paginator: per_page must not be negative")
	}
	if q.Reverse {
		items = reversed(items)
	}
	result := []Out{}
	for it := range items {
		k := key(it)
		if q.NextToken != "" && (!q.Reverse && k < q.NextToken || q.Reverse && k > q.NextToken) {
			continue
		}
		o := out(it)
		if eval != nil {
			ok, err := eval.Evaluate(o)
			if err != nil {
				return nil, structs.Coded(http.StatusBadRequest, "failed to read result page: filter %q: %w", q.Filter, err)
			}
			if !ok {
				continue
			}
		}
		if q.PerPage > 0 && len(result) == int(q.PerPage) {
			meta.NextToken = k
			return result, nil
		}
		result = append(result, o)
	}
	return result, nil
}

// Bounds of a filter: the parser takes time exponential in how deep parentheses nest.
const (
	maxFilterBytes       = 4096
	maxFilterExpressions = 50_000
)

func compileFilter(filter string) (*bexpr.Evaluator, error) {
	if len(filter) > maxFilterBytes {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(filter), maxFilterBytes)
	}
	return bexpr.CreateEvaluator(filter, bexpr.WithMaxExpressions(maxFilterExpressions))
}

// reversed yields the items last first.
func reversed[T any](items iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		var all []T
		for it := range items {
			all = append(all, it)
		}
		for i := len(all) - 1; i >= 0; i-- {
			if !yield(all[i]) {
				return
			}
		}
	}
}

// tableIndex is a table's index, at least 1 so that a caller can wait on it.
func tableIndex(st State, table string) (uint64, error) {
	i, err := st.Index(table)
	if err != nil {
		return 0, fmt.Errorf("read index of %s: %w", table, err)
	}
	return max(i, 1), nil
}
