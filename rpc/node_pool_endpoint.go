package rpc

import (
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerNodePoolMethods() {
	handle(s, Spec{Name: "NodePool.List", Blocking: true}, s.nodePoolList)
	handle(s, Spec{Name: "NodePool.GetNodePool", Blocking: true}, s.nodePoolGet)
	handle(s, Spec{Name: "NodePool.ListNodes", Blocking: true}, s.nodePoolNodes)
	handle(s, Spec{Name: "NodePool.ListJobs", Blocking: true}, s.nodePoolJobs)
	handle(s, Spec{Name: "NodePool.UpsertNodePools"}, s.nodePoolUpsert)
	handle(s, Spec{Name: "NodePool.DeleteNodePools"}, s.nodePoolDelete)
}

func (s *Server) nodePoolList(c *Call, req *structs.NodePoolListRequest, reply *structs.NodePoolListResponse) error {
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		pools, err := visibleState{st, c}.NodePools(ws)
		if err != nil {
			return 0, fmt.Errorf("list node pools: %w", err)
		}
		matching := func(yield func(*structs.NodePool) bool) {
			for p := range pools {
				if strings.HasPrefix(p.Name, req.Prefix) && !yield(p) {
					return
				}
			}
		}
		reply.QueryMeta.NextToken = ""
		reply.NodePools, err = page(&req.QueryOptions, &reply.QueryMeta, matching,
			func(p *structs.NodePool) string { return p.Name }, func(p *structs.NodePool) *structs.NodePool { return p })
		if err != nil {
			return 0, err
		}
		return tableIndex(st, "node_pools")
	})
}

func (s *Server) nodePoolGet(c *Call, req *structs.NodePoolSpecificRequest, reply *structs.SingleNodePoolResponse) error {
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		p, err := st.NodePoolByName(ws, req.Name)
		if err != nil {
			return 0, fmt.Errorf("look up node pool %s: %w", req.Name, err)
		}
		reply.NodePool = p
		if p == nil {
			return tableIndex(st, "node_pools")
		}
		return p.ModifyIndex, nil
	})
}

func (s *Server) nodePoolNodes(c *Call, req *structs.NodePoolNodesRequest, reply *structs.NodeListResponse) error {
	if req.Prefix != "" {
		return structs.Coded(http.StatusBadRequest, "listing the nodes of a pool takes no prefix")
	}
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		if err := knownPool(ws, st, req.Name); err != nil {
			return 0, err
		}
		var nodes iter.Seq[*structs.Node]
		var err error
		if req.Name == structs.NodePoolAll {
			nodes, err = st.Nodes(ws)
		} else {
			nodes, err = st.NodesByPool(ws, req.Name)
		}
		if err != nil {
			return 0, fmt.Errorf("list nodes of pool %s: %w", req.Name, err)
		}
		reply.QueryMeta.NextToken = ""
		if reply.Nodes, err = stubs(&req.QueryOptions, &reply.QueryMeta, nodes, req.Fields); err != nil {
			return 0, err
		}
		return tableIndex(st, "nodes")
	})
}

// nodePoolJobs answers as a cluster without jobs does.
func (s *Server) nodePoolJobs(c *Call, req *structs.NodePoolJobsRequest, reply *structs.NodePoolJobsResponse) error {
	reply.Jobs = []structs.Raw{}
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		if err := knownPool(ws, st, req.Name); err != nil {
			return 0, err
		}
		return tableIndex(st, "jobs")
	})
}

// knownPool returns an error unless there is a pool of the name.
func knownPool(ws memdb.WatchSet, st State, name string) error {
	p, err := st.NodePoolByName(ws, name)
	if err != nil {
		return fmt.Errorf("look up node pool %s: %w", name, err)
	}
	if p == nil {
		return structs.Coded(http.StatusNotFound, "%w", structs.ErrNodePoolNotFound)
	}
	return nil
}

func (s *Server) nodePoolUpsert(_ *Call, req *structs.NodePoolUpsertRequest, reply *structs.GenericResponse) error {
	if len(req.NodePools) == 0 {
		return structs.Coded(http.StatusBadRequest, "must specify at least one node pool")
	}
	req.NodePools = slices.Clone(req.NodePools) // the caller's are left as they are
	for i, p := range req.NodePools {
		if err := p.Validate(); err != nil {
			return structs.Coded(http.StatusBadRequest, "invalid node pool: %w", err)
		}
		if p.IsBuiltin() {
			return structs.Coded(http.StatusBadRequest, "modifying node pool %q is not allowed", p.Name)
		}
		stored := *p
		req.NodePools[i] = &stored
		if stored.Canonicalize(); stored.NodeIdentityTTL < structs.ShortNodeIdentityTTL {
			s.log.Warn("node pool has a very short identity TTL: its nodes renew all the time", "node_pool", p.Name, "ttl", stored.NodeIdentityTTL)
		}
	}
	applied, err := s.deps.Raft.Apply(structs.NodePoolUpsertMsg, req)
	if err != nil {
		return fmt.Errorf("store node pools: %w", err)
	}
	reply.Index = applied.Index
	return nil
}

func (s *Server) nodePoolDelete(c *Call, req *structs.NodePoolDeleteRequest, reply *structs.GenericResponse) error {
	if len(req.Names) == 0 {
		return structs.Coded(http.StatusBadRequest, "must specify at least one node pool to delete")
	}
	for _, name := range req.Names {
		if name == "" {
			return structs.Coded(http.StatusBadRequest, "node pool name is empty")
		}
		if name == structs.NodePoolAll || name == structs.NodePoolDefault {
			return structs.Coded(http.StatusBadRequest, "deleting node pool %q is not allowed", name)
		}
		p, err := c.state().NodePoolByName(nil, name)
		if err != nil {
			return fmt.Errorf("look up node pool %s: %w", name, err)
		}
		if p == nil {
			return structs.Coded(http.StatusNotFound, "%w", structs.ErrNodePoolNotFound)
		}
		nodes, err := c.state().NodesByPool(nil, name)
		if err != nil {
			return fmt.Errorf("list nodes of pool %s: %w", name, err)
		}
		for range nodes {
			return fmt.Errorf("node pool %q has nodes in regions: [%s]", name, s.cfg.Region)
		}
	}
	applied, err := s.deps.Raft.Apply(structs.NodePoolDeleteMsg, req)
	if err != nil {
		return fmt.Errorf("delete node pools: %w", err)
	}
	reply.Index = applied.Index
	return nil
}
