package rpc

import (
	"fmt"

	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerAllocMethods() {
	handle(s, Spec{Name: "Alloc.GetAllocs", Blocking: true}, s.allocGetAllocs)
	handle(s, Spec{Name: "Node.UpdateAlloc"}, s.nodeUpdateAlloc)
}

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
