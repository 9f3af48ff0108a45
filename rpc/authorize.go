package rpc

import (
	"github.com/rollcall-id/rollcall/structs"
)

// authorize decides whether the caller may make this request, by the method's row in the access table. What is done in
// a node's name is compared with the authenticated node, whoever asks and whether ACLs are on or off.
func (c *Call) authorize(req any) error {
	a := c.method.access
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
	case ByOperator:
		if a.Self && c.caller.Kind == CallerNode && !a.NodesRead {
			return c.requireSelf(req)
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
