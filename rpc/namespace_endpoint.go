package rpc

import (
	"fmt"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerNamespaceMethods() {
	handle(s, Spec{Name: "Namespace.ListNamespaces", Blocking: true}, s.namespaceList)
	handle(s, Spec{Name: "Namespace.GetNamespace", Blocking: true}, s.namespaceGet)
}

// namespaceList lists the default namespace and those of imported data.
func (s *Server) namespaceList(c *Call, req *structs.GenericRequest, reply *structs.NamespaceListResponse) error {
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		all, err := st.Namespaces(ws)
		if err != nil {
			return 0, fmt.Errorf("list namespaces: %w", err)
		}
		matching := func(yield func(*structs.Namespace) bool) {
			for n := range all {
				if strings.HasPrefix(n.Name, req.Prefix) && !yield(n) {
					return
				}
			}
		}
		reply.QueryMeta.NextToken = ""
		reply.Namespaces, err = page(&req.QueryOptions, &reply.QueryMeta, matching,
			func(n *structs.Namespace) string { return n.Name }, func(n *structs.Namespace) *structs.Namespace { return n })
		if err != nil {
			return 0, err
		}
		return tableIndex(st, "namespaces")
	})
}

func (s *Server) namespaceGet(c *Call, req *structs.NamespaceSpecificRequest, reply *structs.SingleNamespaceResponse) error {
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		n, err := st.NamespaceByName(ws, req.Name)
		if err != nil {
			return 0, fmt.Errorf("look up namespace %s: %w", req.Name, err)
		}
		reply.Namespace = n
		if n == nil {
			return tableIndex(st, "namespaces")
		}
		return n.ModifyIndex, nil
	})
}
