package rpc

import (
	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerNodeMetaMethods() {
	handle(s, Spec{Name: "NodeMeta.Read", Route: RouteRegion}, s.nodeMetaRead)
	handle(s, Spec{Name: "NodeMeta.Apply", Route: RouteRegion}, s.nodeMetaApply)
}

// nodeMetaRead asks the node for its metadata, which may be ahead of what it has registered.
func (s *Server) nodeMetaRead(c *Call, req *structs.NodeSpecificRequest, reply *structs.NodeMetaResponse) error {
	return s.callNode(c, req.NodeID, req, reply)
}

// nodeMetaApply has the node change its metadata. The node keeps it and registers again.
func (s *Server) nodeMetaApply(c *Call, req *structs.NodeMetaApplyRequest, reply *structs.NodeMetaResponse) error {
	if err := req.Validate(); err != nil {
		return err
	}
	return s.callNode(c, req.NodeID, req, reply)
}
