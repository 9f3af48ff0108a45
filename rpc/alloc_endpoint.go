package rpc

import (
	"fmt"

	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerAllocMethods() {
	handle(s, Spec{Name: "Alloc.GetAllocs", Auth: AuthNode, Blocking: true}, allowNode[structs.AllocsGetRequest], s.allocGetAllocs)
	handle(s, Spec{Name: "Node.UpdateAlloc", Auth: AuthNode}, allowNode[structs.NodeUpdateAllocRequest], s.nodeUpdateAlloc)
}

// allowNode is for what any node may ask about itself, where authentication is all that names it.
func allowNode[Req any](c *Call, _ *Req) error { return c.requireNode(c.caller.NodeID) }

// allocGetAllocs answers as a cluster without allocations does: it has none of those asked for.
func (s *Server) allocGetAllocs(c *Call, req *structs.AllocsGetRequest, reply *structs.AllocsGetResponse) error {
	reply.Allocs = []structs.Raw{}
	return c.readNothing(&req.QueryOptions, &reply.QueryMeta)
}

// nodeUpdateAlloc refuses: there are no allocations that a node could report on.
func (s *Server) nodeUpdateAlloc(_ *Call, req *structs.NodeUpdateAllocRequest, _ *structs.GenericResponse) error {
	if len(req.Alloc) == 0 {
		return structs.Coded(400, "must update at least one allocation")
	}
	return fmt.Errorf("alloc lookup failed: this cluster runs no allocations")
}
