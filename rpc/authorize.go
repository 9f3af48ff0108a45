package rpc

import (
	"iter"
	"net/http"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/acl"
	"github.com/rollcall-id/rollcall/structs"
)

// authorize decides whether the caller may make this request, by the method's row in the access table. What is done in
// a node's name is compared with the authenticated node, whoever asks and whether ACLs are on or off.
func (c *Call) authorize(req any) error {
	a := c.method.access
	if a.OnlyACLs && !c.srv.cfg.ACL.Enabled {
		return structs.Coded(http.StatusBadRequest, "%w", structs.ErrACLDisabled)
	}
	switch a.By {
	case ByAnyone:
		return nil
	case ByServer:
		return c.require(c.caller.Kind == CallerServer)
	case ByRegistrant:
		if c.caller.Err != nil && !c.caller.Expired() {
			return structs.ErrPermissionDenied
		}
		if c.caller.Kind != CallerNode {
			return nil // whether it may join is for the endpoint to say, which knows the node
		}
		return c.requireSelf(req)
	case ByNode:
		return c.requireSelf(req)
	case ByToken:
		return c.require(c.caller.Kind == CallerToken)
	case ByCaller:
		return c.require(c.caller.Kind == CallerToken || c.caller.Kind == CallerNode || c.caller.Kind == CallerAnonymous)
	case ByOperator:
		acls := c.srv.cfg.ACL.Enabled
		if a.Self && c.caller.Kind == CallerNode && (acls || !a.NodesRead) {
			return c.requireSelf(req)
		}
		if acls {
			return c.authorizeByACL(a, req)
		}
		return c.authorizeOperator(a)
	}
	return structs.ErrPermissionDenied
}

// authorizeOperator is for what operators do. Without ACLs whoever shows no credential is one. A workload or an
// introduction never is.
func (c *Call) authorizeOperator(a Access) error {
	switch c.caller.Kind {
	case CallerAnonymous, CallerServer:
		return nil
	case CallerNode:
		return c.require(a.NodesRead)
	}
	return structs.ErrPermissionDenied
}

// authorizeByACL is for what operators do, with ACLs on: who shows a token, or nothing, may what its ACL allows. A node's
// credential, an introduction and a workload's identity have none.
func (c *Call) authorizeByACL(a Access, req any) error {
	if c.caller.Kind == CallerServer {
		return nil
	}
	if a.Topics {
		return c.authorizeTopics(req.(structs.TopicScoped).EventTopics())
	}
	may := c.caller.ACL
	for _, need := range a.Needs {
		ok := false
		switch {
		case !need.OfPool():
			ok = may.Allows(need)
		case a.Filtered:
			ok = may.AllowsSomePool(need)
		default:
			pools := req.(structs.PoolScoped).Pools()
			ok = may.AllowsSomePool(need) // a request that names none is malformed, which the endpoint says
			for _, pool := range pools {
				ok = ok && may.AllowsPool(need, pool)
			}
		}
		if !ok {
			return structs.ErrPermissionDenied
		}
	}
	return nil
}

// seesPool reports whether the pool may be in an answer to the caller.
func (c *Call) seesPool(name string) bool {
	return !c.srv.cfg.ACL.Enabled || c.caller.ACL.AllowsPool(acl.PoolRead, name)
}

// visibleState is the state without the node pools that the caller may not see.
func (c *Call) visibleState() State { return visibleState{c.state(), c} }

type visibleState struct {
	State
	c *Call
}

func (v visibleState) NodePools(ws memdb.WatchSet) (iter.Seq[*structs.NodePool], error) {
	pools, err := v.State.NodePools(ws)
	return func(yield func(*structs.NodePool) bool) {
		for p := range pools {
			if v.c.seesPool(p.Name) && !yield(p) {
				return
			}
		}
	}, err
}

// requireSelf refuses everyone but the node that the request names.
func (c *Call) requireSelf(req any) error {
	if c.caller.Err != nil || c.caller.Kind != CallerNode || c.caller.NodeID == "" {
		return structs.ErrPermissionDenied
	}
	return c.require(req.(structs.NodeScoped).IsFor(c.caller.NodeID))
}

func (c *Call) require(ok bool) error {
	if !ok {
		return structs.ErrPermissionDenied
	}
	return nil
}
