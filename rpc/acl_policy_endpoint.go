package rpc

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/acl"
	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerACLPolicyMethods() {
	handle(s, Spec{Name: "ACL.UpsertPolicies"}, s.aclUpsertPolicies)
	handle(s, Spec{Name: "ACL.DeletePolicies"}, s.aclDeletePolicies)
	handle(s, Spec{Name: "ACL.ListPolicies", Blocking: true}, s.aclListPolicies)
	handle(s, Spec{Name: "ACL.GetPolicy", Blocking: true}, s.aclGetPolicy)
	handle(s, Spec{Name: "ACL.GetPolicies", Blocking: true}, s.aclGetPolicies)
	handle(s, Spec{Name: "ACL.GetClaimPolicies", Blocking: true}, s.aclGetClaimPolicies)
}

func (s *Server) aclUpsertPolicies(_ *Call, req *structs.ACLPolicyUpsertRequest, reply *structs.GenericResponse) error {
	if n := len(req.Policies); n == 0 || n > maxACLBatch {
		return structs.Coded(http.StatusBadRequest, "must specify 1 to %d policies", maxACLBatch)
	}
	for i, p := range req.Policies {
		if err := p.Validate(); err != nil {
			return structs.Coded(http.StatusBadRequest, "policy %d is invalid: %w", i+1, err)
		}
		if _, err := acl.Parse(p.Rules); err != nil {
			return structs.Coded(http.StatusBadRequest, "policy %q is invalid: %w", p.Name, err)
		}
	}
	applied, err := s.deps.Raft.Apply(structs.ACLPolicyUpsertMsg, req)
	if err != nil {
		return fmt.Errorf("store ACL policies: %w", err)
	}
	reply.Index = applied.Index
	return nil
}

func (s *Server) aclDeletePolicies(c *Call, req *structs.ACLPolicyDeleteRequest, reply *structs.GenericResponse) error {
	if n := len(req.Names); n == 0 || n > maxACLBatch {
		return structs.Coded(http.StatusBadRequest, "must specify 1 to %d policies", maxACLBatch)
	}
	for _, name := range req.Names {
		p, err := c.state().ACLPolicyByName(nil, name)
		if err != nil {
			return fmt.Errorf("look up ACL policy %s: %w", name, err)
		}
		if p == nil {
			return structs.Coded(http.StatusNotFound, "%w", structs.ErrACLPolicyNotFound)
		}
	}
	applied, err := s.deps.Raft.Apply(structs.ACLPolicyDeleteMsg, req)
	if err != nil {
		return fmt.Errorf("delete ACL policies: %w", err)
	}
	reply.Index = applied.Index
	return nil
}

// ownPolicies are the policies that the caller may see because they are its own; all is true for one that sees every one.
func (c *Call) ownPolicies(ws memdb.WatchSet, st State) (own []string, all bool, err error) {
	switch {
	case c.caller.ACL.IsManagement():
		return nil, true, nil
	case c.caller.Token != nil:
		own, err = policyNames(ws, st, c.caller.Token)
		return own, false, err
	case c.caller.Kind == CallerAnonymous:
		return []string{structs.ACLAnonymousPolicy}, false, nil
	}
	return nil, false, nil
}

// aclListPolicies lists the caller's own policies, or with management all.
func (s *Server) aclListPolicies(c *Call, req *structs.ACLPolicyListRequest, reply *structs.ACLPolicyListResponse) error {
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		own, all, err := c.ownPolicies(ws, st)
		if err != nil {
			return 0, err
		}
		policies, err := st.ACLPolicies(ws)
		if err != nil {
			return 0, fmt.Errorf("list ACL policies: %w", err)
		}
		listed := func(yield func(*structs.ACLPolicy) bool) {
			for p := range policies {
				if strings.HasPrefix(p.Name, req.Prefix) && (all || slices.Contains(own, p.Name)) && !yield(p) {
					return
				}
			}
		}
		reply.QueryMeta.NextToken = ""
		reply.Policies, err = page(&req.QueryOptions, &reply.QueryMeta, listed,
			func(p *structs.ACLPolicy) string { return p.Name }, (*structs.ACLPolicy).Stub)
		if err != nil {
			return 0, err
		}
		return tableIndex(st, "acl_policy")
	})
}

// aclGetPolicy shows a policy: one of one's own, or with management any.
func (s *Server) aclGetPolicy(c *Call, req *structs.ACLPolicySpecificRequest, reply *structs.SingleACLPolicyResponse) error {
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		own, all, err := c.ownPolicies(ws, st)
		if err != nil {
			return 0, err
		}
		if !all && !slices.Contains(own, req.Name) {
			return 0, structs.ErrPermissionDenied
		}
		reply.Policy, err = st.ACLPolicyByName(ws, req.Name)
		if err != nil {
			return 0, fmt.Errorf("look up ACL policy %s: %w", req.Name, err)
		}
		if reply.Policy == nil {
			return tableIndex(st, "acl_policy")
		}
		return reply.Policy.ModifyIndex, nil
	})
}

// aclGetPolicies hands out policies to whoever has them, as agents ask for their users.
func (s *Server) aclGetPolicies(c *Call, req *structs.ACLPolicySetRequest, reply *structs.ACLPolicySetResponse) error {
	if len(req.Names) > maxACLBatch {
		return structs.Coded(http.StatusBadRequest, "must specify no more than %d policies", maxACLBatch)
	}
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		own, all, err := c.ownPolicies(ws, st)
		if err != nil {
			return 0, err
		}
		reply.Policies = map[string]*structs.ACLPolicy{}
		for _, name := range req.Names {
			if !all && !slices.Contains(own, name) {
				return 0, structs.ErrPermissionDenied
			}
			p, err := st.ACLPolicyByName(ws, name)
			if err != nil {
				return 0, fmt.Errorf("look up ACL policy %s: %w", name, err)
			}
			if p != nil {
				reply.Policies[name] = p
			}
		}
		return tableIndex(st, "acl_policy")
	})
}

// aclGetClaimPolicies answers as a cluster without workloads does: a workload's identity is good for nothing here.
func (s *Server) aclGetClaimPolicies(c *Call, req *structs.GenericRequest, reply *structs.ACLPolicySetResponse) error {
	reply.Policies = map[string]*structs.ACLPolicy{}
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(_ memdb.WatchSet, st State) (uint64, error) { return tableIndex(st, "acl_policy") })
}
