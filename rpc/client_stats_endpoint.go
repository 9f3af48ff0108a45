package rpc

import (
	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerClientStatsMethods() {
	handle(s, Spec{Name: "ClientStats.Stats", Route: RouteRegion}, s.clientStats)
}

// clientStats asks the node what its machine is busy with.
func (s *Server) clientStats(c *Call, req *structs.NodeSpecificRequest, reply *structs.ClientStatsResponse) error {
	return s.callNode(c, req.NodeID, req, reply)
}
