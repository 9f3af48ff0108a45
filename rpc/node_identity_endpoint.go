package rpc

import (
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerNodeIdentityMethods() {
	handle(s, Spec{Name: "NodeIdentity.Get", Route: RouteRegion}, s.nodeIdentityGet)
	handle(s, Spec{Name: "NodeIdentity.Renew", Route: RouteRegion}, s.nodeIdentityRenew)
	handle(s, Spec{Name: "Status.HasNodeConn", Route: RouteRegion}, s.statusHasNodeConn)
}

// nodeIdentityGet asks the node for the claims of the identity it holds.
func (s *Server) nodeIdentityGet(c *Call, req *structs.NodeSpecificRequest, reply *structs.NodeIdentityGetResponse) error {
	return s.callNode(c, req.NodeID, req, reply)
}

// nodeIdentityRenew makes the node ask for a new identity with its next heartbeat.
func (s *Server) nodeIdentityRenew(c *Call, req *structs.NodeSpecificRequest, reply *structs.Empty) error {
	return s.callNode(c, req.NodeID, req, reply)
}

// statusHasNodeConn tells whether this very server can reach the node.
func (s *Server) statusHasNodeConn(c *Call, req *structs.NodeSpecificRequest, reply *structs.NodeConnResponse) error {
	if req.NodeID == "" {
		return structs.Coded(http.StatusBadRequest, "missing NodeID")
	}
	conn, established := s.deps.Sessions.Find(req.NodeID)
	reply.Connected, reply.Established = conn != nil, established.UTC()
	c.setContact(&reply.QueryMeta)
	return nil
}
