package rpc

import (
	"github.com/rollcall-id/rollcall/structs"
)

// allowAnyone is for what is public: verification keys, the leader's address.
func allowAnyone[Req any](*Call, *Req) error { return nil }

// allowRead is for what operators read. A node may read too; a workload or an introduction may not.
func allowRead[Req any](c *Call, _ *Req) error {
	switch c.caller.Kind {
	case CallerAnonymous, CallerServer, CallerNode:
		return nil
	}
	return structs.ErrPermissionDenied
}

// allowOperator is for what operators change. No identity, a node's neither, is enough for it.
func allowOperator[Req any](c *Call, _ *Req) error {
	switch c.caller.Kind {
	case CallerAnonymous, CallerServer:
		return nil
	}
	return structs.ErrPermissionDenied
}

// allowServer is for what only servers ask of each other.
func allowServer[Req any](c *Call, _ *Req) error {
	if c.caller.Kind != CallerServer {
		return structs.ErrPermissionDenied
	}
	return nil
}

// allowSameNode is for what a node does in its own name: the authenticated node must be the named one, whoever
// asks, and whether ACLs are on or off.
func allowSameNode[Req any](nodeID func(*Req) string) func(*Call, *Req) error {
	return func(c *Call, req *Req) error { return c.requireNode(nodeID(req)) }
}

// allowOperatorOrSameNode is for what an operator does to any node and a node to itself.
func allowOperatorOrSameNode[Req any](nodeID func(*Req) string) func(*Call, *Req) error {
	return func(c *Call, req *Req) error {
		if c.caller.Kind == CallerNode {
			return c.requireNode(nodeID(req))
		}
		return allowOperator(c, req)
	}
}

// requireNode refuses everyone but the named node.
func (c *Call) requireNode(id string) error {
	if c.caller.Kind != CallerNode || id == "" || c.caller.NodeID != id {
		return structs.ErrPermissionDenied
	}
	return nil
}
