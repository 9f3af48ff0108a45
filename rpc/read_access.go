package rpc

import (
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// rightsMayChange reports whether what the caller may can change while its call waits: an ACL token may end, be deleted or have its
// policies changed. A node's credential is looked at once, since nodes renew their identities while their queries wait.
func (c *Call) rightsMayChange() bool {
	return c.srv.cfg.ACL.Enabled && (c.caller.Kind == CallerToken || c.caller.Kind == CallerAnonymous)
}

// watchRights watches what the caller's rights come from, then finds out anew who calls and what it may, so that no change in
// between is missed. Its error ends the call.
func (c *Call) watchRights(ws memdb.WatchSet) error {
	if !c.rightsMayChange() {
		return nil
	}
	if err := c.watchPolicies(ws); err != nil {
		return err
	}
	return c.stillMay()
}

// stillMay judges the call once more, if that can end otherwise than before.
func (c *Call) stillMay() error {
	if !c.rightsMayChange() {
		return nil
	}
	return c.judge(c.req)
}

// judge finds out who calls and what it may as of now.
func (c *Call) judge(req structs.RPCRequest) error {
	c.now = c.srv.deps.Clock()
	if err := c.authenticate(); err != nil {
		return err
	}
	return c.authorize(req)
}

// orTokenEnds returns the time at, or when the caller's ACL token ends if that is earlier.
func (c *Call) orTokenEnds(at time.Time) time.Time {
	t := c.caller.Token
	if t == nil || t.ExpirationTime == nil || t.ExpirationTime.IsZero() {
		return at
	}
	if end := time.Now().Add(t.ExpirationTime.Sub(c.now)); end.Before(at) {
		return end
	}
	return at
}
