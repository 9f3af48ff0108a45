package rpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/acl"
	"github.com/rollcall-id/rollcall/structs"
)

// topicNeeds is what a caller must be good for to follow a topic of the event stream, with ACLs on. Every topic that has
// events has a row; of the others there is nothing to see.
var topicNeeds = map[string]acl.Capability{
	structs.TopicNode:      acl.NodeRead,
	structs.TopicIdentity:  acl.NodeRead,
	structs.TopicNodePool:  acl.PoolRead, // of any pool; shows those pools
	structs.TopicKeyring:   acl.KeyringRead,
	structs.TopicACLToken:  acl.Management,
	structs.TopicACLPolicy: acl.Management,
	structs.TopicACLRole:   acl.Management,
}

// TopicAccess is who may follow a topic.
type TopicAccess struct{ Topic, WithACLs, WithoutACLs string }

// EventTopics returns every topic that has events, sorted, with who may follow it.
func EventTopics() []TopicAccess {
	var out []TopicAccess
	for _, topic := range slices.Sorted(maps.Keys(topicNeeds)) {
		a := read(topicNeeds[topic])
		a.Filtered = topicNeeds[topic].OfPool()
		a.OnlyACLs = topicNeeds[topic] == acl.Management
		out = append(out, TopicAccess{topic, a.WithACLs(), a.WithoutACLs()})
	}
	return out
}

// seesTopic reports whether the caller may follow the topic, or some of its keys.
func (c *Call) seesTopic(topic string) bool {
	need := topicNeeds[topic]
	switch {
	case need == "":
		return false
	case !c.srv.cfg.ACL.Enabled:
		return need != acl.Management // what is left of ACLs that were turned off is for nobody
	case need.OfPool():
		return c.caller.ACL.AllowsSomePool(need)
	}
	return c.caller.ACL.Allows(need)
}

// authorizeTopics refuses a caller who names a topic that it may not follow, and one who may follow none: who asks for all
// topics gets those that it may.
func (c *Call) authorizeTopics(topics []string) error {
	for _, topic := range topics {
		if topicNeeds[topic] != "" && !c.seesTopic(topic) {
			return structs.ErrPermissionDenied
		}
	}
	for topic := range topicNeeds {
		if c.seesTopic(topic) {
			return nil
		}
	}
	return structs.ErrPermissionDenied
}

// visibleEvents leaves out what the caller may not see. The events are the caller's to change.
func (c *Call) visibleEvents(events []structs.Event) []structs.Event {
	return slices.DeleteFunc(events, func(e structs.Event) bool {
		return !c.seesTopic(e.Topic) || e.Topic == structs.TopicNodePool && !c.seesPool(e.Key)
	})
}

// errRightsChanged ends a wait after which the caller may have other rights than before.
var errRightsChanged = errors.New("the caller's rights may have changed")

// eventRights is what the caller of a stream may see as long as the stream lasts: a token may end, be deleted or have its
// policies changed meanwhile. It is for one goroutine.
type eventRights struct {
	c      *Call
	req    *structs.EventStreamRequest
	same   context.Context // ends when the rights may have changed
	cancel context.CancelCauseFunc
}

// check finds out anew who calls and what it may. Its error ends the stream.
func (r *eventRights) check() error {
	if r.same == nil || r.same.Err() != nil {
		if err := r.watch(); err != nil {
			return err
		}
	}
	c := r.c
	c.now = c.srv.deps.Clock()
	if err := c.authenticate(); err != nil {
		return err
	}
	return c.authorize(r.req)
}

// watch begins to watch what the rights come from. It does so before they are looked at, so that no change is missed.
func (r *eventRights) watch() error {
	r.close()
	r.same, r.cancel = context.WithCancelCause(r.c.ctx)
	if !r.c.srv.cfg.ACL.Enabled {
		return nil
	}
	ws := memdb.NewWatchSet()
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
func (r *eventRights) until(at time.Time) (context.Context, context.CancelFunc) {
	if t := r.c.caller.Token; t != nil && t.ExpirationTime != nil && !t.ExpirationTime.IsZero() {
		if end := time.Now().Add(t.ExpirationTime.Sub(r.c.now)); end.Before(at) {
			at = end
		}
	}
	return context.WithDeadline(r.same, at)
}

func (r *eventRights) close() {
	if r.cancel != nil {
		r.cancel(nil)
	}
}
