package rpc

import (
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerNodeReadMethods() {
	handle(s, Spec{Name: "Node.List", Blocking: true}, s.nodeList)
	handle(s, Spec{Name: "Node.GetNode", Blocking: true}, s.nodeGet)
	handle(s, Spec{Name: "Node.GetAllocs", Blocking: true}, s.nodeAllocs)
	handle(s, Spec{Name: "Node.GetClientAllocs", Blocking: true, Track: func(req any) string {
		return req.(*structs.NodeSpecificRequest).NodeID
	}}, s.nodeClientAllocs)
}

// nodeList lists nodes by ID. The prefix is of an ID, with or without its dashes' place known.
func (s *Server) nodeList(c *Call, req *structs.NodeListRequest, reply *structs.NodeListResponse) error {
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		var nodes iter.Seq[*structs.Node]
		var err error
		if req.Prefix == "" {
			nodes, err = st.Nodes(ws)
		} else {
			nodes, err = st.NodesByIDPrefix(ws, strings.ToLower(req.Prefix))
		}
		if err != nil {
			return 0, fmt.Errorf("list nodes: %w", err)
		}
		reply.QueryMeta.NextToken = ""
		if reply.Nodes, err = stubs(&req.QueryOptions, &reply.QueryMeta, nodes, req.Fields); err != nil {
			return 0, err
		}
		return tableIndex(st, "nodes")
	})
}

func stubs(q *structs.QueryOptions, meta *structs.QueryMeta, nodes iter.Seq[*structs.Node], f *structs.NodeStubFields) ([]*structs.NodeListStub, error) {
	return page(q, meta, nodes, func(n *structs.Node) string { return n.ID },
		func(n *structs.Node) *structs.NodeListStub { return n.Stub(f) })
}

// nodeGet answers with one node, without its secret; with nil if there is none.
func (s *Server) nodeGet(c *Call, req *structs.NodeSpecificRequest, reply *structs.SingleNodeResponse) error {
	if req.NodeID == "" {
		return structs.Coded(http.StatusBadRequest, "missing node ID")
	}
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		n, err := st.NodeByID(ws, req.NodeID)
		if err != nil {
			return 0, fmt.Errorf("look up node %s: %w", req.NodeID, err)
		}
		if n == nil {
			reply.Node = nil
			return tableIndex(st, "nodes")
		}
		reply.Node = n.Sanitized()
		return n.ModifyIndex, nil
	})
}

// nodeAllocs answers as a cluster without allocations does.
func (s *Server) nodeAllocs(c *Call, req *structs.NodeSpecificRequest, reply *structs.NodeAllocsResponse) error {
	reply.Allocs = []structs.Raw{}
	return c.readNothing(&req.QueryOptions, &reply.QueryMeta)
}

// nodeClientAllocs is what an agent waits on for its work: here there is none, so it waits until the time is
// over, which is what keeps an idle agent from asking in a loop.
func (s *Server) nodeClientAllocs(c *Call, req *structs.NodeSpecificRequest, reply *structs.NodeClientAllocsResponse) error {
	if req.SecretID != "" {
		n, err := c.state().NodeByID(nil, req.NodeID)
		if err != nil {
			return fmt.Errorf("look up node %s: %w", req.NodeID, err)
		}
		if n != nil && len(n.SecretHash) > 0 && !n.SecretMatches(req.SecretID) {
			return fmt.Errorf("node secret ID does not match")
		}
	}
	reply.Allocs = map[string]uint64{}
	reply.MigrateTokens = map[string]string{}
	return c.readNothing(&req.QueryOptions, &reply.QueryMeta)
}

// readNothing answers a query on a table that nothing ever changes.
func (c *Call) readNothing(q *structs.QueryOptions, meta *structs.QueryMeta) error {
	return c.read(q, meta, func(_ memdb.WatchSet, st State) (uint64, error) { return tableIndex(st, "allocs") })
}
