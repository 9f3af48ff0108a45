package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// rightsCheck is how long a caller's rights are relied on when nothing is known to have changed.
const rightsCheck = time.Hour

// errRightsChanged ends a wait after which the caller may have other rights than before.
var errRightsChanged = errors.New("the caller's rights may have changed")

// streamRights is what the caller of a stream may see as long as the stream lasts: a token may end, be deleted or have its
// policies changed meanwhile. It is for one goroutine.
type streamRights struct {
	c      *Call
	req    structs.RPCRequest
	same   context.Context // ends when the rights may have changed
	cancel context.CancelCauseFunc
}

// check finds out anew who calls and what it may. Its error ends the stream.
func (r *streamRights) check() error {
	if r.same == nil || r.same.Err() != nil {
		if err := r.watch(); err != nil {
			return err
		}
	}
	return r.c.judge(r.req)
}

// watch begins to watch what the rights come from. It does so before they are looked at, so that no change is missed.
func (r *streamRights) watch() error {
	r.close()
	r.same, r.cancel = context.WithCancelCause(r.c.ctx)
	if !r.c.srv.cfg.ACL.Enabled {
		return nil
	}
	ws := memdb.NewWatchSet()
	ws.Add(r.c.state().AbandonCh())
	if err := r.c.watchPolicies(ws); err != nil {
		return err
	}
	same, cancel := r.same, r.cancel
	go func() {
		if ws.WatchCtx(same) == nil {
			cancel(errRightsChanged)
		}
	}()
	return nil
}

// watchPolicies watches the caller's token, its roles and its policies.
func (c *Call) watchPolicies(ws memdb.WatchSet) error {
	st, names := c.state(), []string{structs.ACLAnonymousPolicy}
	if c.token != "" {
		token, err := st.ACLTokenBySecretHash(ws, structs.HashSecret(c.token))
		if err != nil {
			return fmt.Errorf("watch ACL token: %w", err)
		}
		names = nil
		if token != nil {
			if names, err = policyNames(ws, st, token); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		if _, err := st.ACLPolicyByName(ws, name); err != nil {
			return fmt.Errorf("watch ACL policy %s: %w", name, err)
		}
	}
	return nil
}

// until is a context for one wait: it ends at the time given, with the caller's token or when the rights may have changed.
func (r *streamRights) until(at time.Time) (context.Context, context.CancelFunc) {
	return context.WithDeadline(r.same, r.c.orTokenEnds(at))
}

// wait returns true when the rights are to be checked again, false when the call has ended.
func (r *streamRights) wait() bool {
	ctx, cancel := r.until(time.Now().Add(rightsCheck))
	defer cancel()
	<-ctx.Done()
	return r.c.ctx.Err() == nil
}

func (r *streamRights) close() {
	if r.cancel != nil {
		r.cancel(nil)
	}
}

// whileAllowed returns a context for what a call goes on doing. It ends with the call or, with the refusal as its cause, when the
// caller may no longer make it. req is read until release has returned.
func (c *Call) whileAllowed(req structs.RPCRequest) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(c.ctx)
	own := *c // it is judged anew while c is used
	own.ctx = ctx
	done := make(chan struct{})
	go func() {
		defer close(done)
		rights := &streamRights{c: &own, req: req}
		defer rights.close()
		for {
			if err := rights.check(); err != nil {
				cancel(err)
				return
			}
			if !rights.wait() {
				return
			}
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}
