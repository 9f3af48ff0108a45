package rpc

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerACLRoleMethods() {
	handle(s, Spec{Name: "ACL.UpsertRoles"}, s.aclUpsertRoles)
	handle(s, Spec{Name: "ACL.DeleteRolesByID"}, s.aclDeleteRoles)
	handle(s, Spec{Name: "ACL.ListRoles", Blocking: true}, s.aclListRoles)
	handle(s, Spec{Name: "ACL.GetRolesByID", Blocking: true}, s.aclGetRoles)
	handle(s, Spec{Name: "ACL.GetRoleByID", Blocking: true}, s.aclGetRoleByID)
	handle(s, Spec{Name: "ACL.GetRoleByName", Blocking: true}, s.aclGetRoleByName)
}

// aclUpsertRoles makes roles, those without an ID, and changes others.
func (s *Server) aclUpsertRoles(c *Call, req *structs.ACLRolesUpsertRequest, reply *structs.ACLRolesUpsertResponse) error {
	if n := len(req.ACLRoles); n == 0 || n > maxACLBatch {
		return structs.Coded(http.StatusBadRequest, "must specify 1 to %d roles", maxACLBatch)
	}
	stored := make([]*structs.ACLRole, len(req.ACLRoles))
	for i, given := range req.ACLRoles {
		role, err := c.prepareRole(given, req.AllowMissingPolicies)
		if err != nil {
			return err
		}
		stored[i] = role
	}
	req.ACLRoles, req.AllowMissingPolicies = stored, false
	applied, err := s.deps.Raft.Apply(structs.ACLRolesUpsertMsg, req)
	if err != nil {
		return fmt.Errorf("store ACL roles: %w", err)
	}
	for _, role := range stored {
		now, err := c.state().ACLRoleByID(nil, role.ID)
		if err != nil {
			return fmt.Errorf("look up ACL role %s: %w", role.ID, err)
		}
		if now != nil {
			reply.ACLRoles = append(reply.ACLRoles, now)
		}
	}
	reply.Index = applied.Index
	return nil
}

// prepareRole returns the role that is to be stored. What is wrong with it is said here, with a code; the state machine
// refuses it again, should it have become wrong since.
func (c *Call) prepareRole(given *structs.ACLRole, allowMissing bool) (*structs.ACLRole, error) {
	if err := given.Validate(); err != nil {
		return nil, structs.Coded(http.StatusBadRequest, "role is invalid: %w", err)
	}
	role := &structs.ACLRole{ID: given.ID, Name: given.Name, Description: given.Description}
	seen := map[string]bool{}
	for _, link := range given.Policies {
		if seen[link.Name] {
			continue
		}
		seen[link.Name] = true
		role.Policies = append(role.Policies, &structs.ACLRolePolicyLink{Name: link.Name})
		p, err := c.state().ACLPolicyByName(nil, link.Name)
		if err != nil {
			return nil, fmt.Errorf("look up ACL policy %s: %w", link.Name, err)
		}
		if p == nil && !allowMissing {
			return nil, structs.Coded(http.StatusBadRequest, "cannot find policy %s", link.Name)
		}
	}
	same, err := c.state().ACLRoleByName(nil, role.Name)
	if err != nil {
		return nil, fmt.Errorf("look up ACL role %s: %w", role.Name, err)
	}
	if same != nil && same.ID != role.ID {
		return nil, structs.Coded(http.StatusBadRequest, "role with name %s already exists", role.Name)
	}
	if role.ID == "" {
		role.ID = c.srv.deps.NewUUID()
		return role, nil
	}
	old, err := c.state().ACLRoleByID(nil, role.ID)
	if err != nil {
		return nil, fmt.Errorf("look up ACL role %s: %w", role.ID, err)
	}
	if old == nil {
		return nil, structs.Coded(http.StatusNotFound, "%w", structs.ErrACLRoleNotFound)
	}
	role.Rest = old.Rest
	return role, nil
}

func (s *Server) aclDeleteRoles(c *Call, req *structs.ACLRolesDeleteByIDRequest, reply *structs.GenericResponse) error {
	if n := len(req.ACLRoleIDs); n == 0 || n > maxACLBatch {
		return structs.Coded(http.StatusBadRequest, "must specify 1 to %d roles", maxACLBatch)
	}
	for _, id := range req.ACLRoleIDs {
		role, err := c.state().ACLRoleByID(nil, id)
		if err != nil {
			return fmt.Errorf("look up ACL role %s: %w", id, err)
		}
		if role == nil {
			return structs.Coded(http.StatusNotFound, "%w", structs.ErrACLRoleNotFound)
		}
	}
	applied, err := s.deps.Raft.Apply(structs.ACLRolesDeleteMsg, req)
	if err != nil {
		return fmt.Errorf("delete ACL roles: %w", err)
	}
	reply.Index = applied.Index
	return nil
}

// hasRole reports whether the caller may see the role: one of its own, or with management any.
func (c *Call) hasRole(id string) bool {
	return c.caller.ACL.IsManagement() || slices.ContainsFunc(c.caller.Token.Roles, func(l *structs.ACLTokenRoleLink) bool {
		return l != nil && l.ID == id
	})
}

// aclListRoles lists the caller's own roles, or with management all.
func (s *Server) aclListRoles(c *Call, req *structs.ACLRolesListRequest, reply *structs.ACLRolesListResponse) error {
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		roles, err := st.ACLRolesByIDPrefix(ws, req.Prefix)
		if err != nil {
			return 0, fmt.Errorf("list ACL roles: %w", err)
		}
		listed := func(yield func(*structs.ACLRole) bool) {
			for r := range roles {
				if c.hasRole(r.ID) && !yield(r) {
					return
				}
			}
		}
		reply.QueryMeta.NextToken = ""
		reply.ACLRoles, err = page(&req.QueryOptions, &reply.QueryMeta, listed,
			func(r *structs.ACLRole) string { return r.ID }, func(r *structs.ACLRole) *structs.ACLRole { return r })
		if err != nil {
			return 0, err
		}
		return tableIndex(st, "acl_roles")
	})
}

// aclGetRoles hands out roles to whoever has them, as agents ask for their users.
func (s *Server) aclGetRoles(c *Call, req *structs.ACLRolesByIDRequest, reply *structs.ACLRolesByIDResponse) error {
	if len(req.ACLRoleIDs) > maxACLBatch {
		return structs.Coded(http.StatusBadRequest, "must specify no more than %d roles", maxACLBatch)
	}
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		reply.ACLRoles = map[string]*structs.ACLRole{}
		for _, id := range req.ACLRoleIDs {
			if !c.hasRole(id) {
				return 0, structs.ErrPermissionDenied
			}
			role, err := st.ACLRoleByID(ws, id)
			if err != nil {
				return 0, fmt.Errorf("look up ACL role %s: %w", id, err)
			}
			if role != nil {
				reply.ACLRoles[id] = role
			}
		}
		return tableIndex(st, "acl_roles")
	})
}

func (s *Server) aclGetRoleByID(c *Call, req *structs.ACLRoleByIDRequest, reply *structs.SingleACLRoleResponse) error {
	return c.readRole(&req.QueryOptions, reply, func(ws memdb.WatchSet, st State) (*structs.ACLRole, error) {
		return st.ACLRoleByID(ws, req.RoleID)
	})
}

func (s *Server) aclGetRoleByName(c *Call, req *structs.ACLRoleByNameRequest, reply *structs.SingleACLRoleResponse) error {
	return c.readRole(&req.QueryOptions, reply, func(ws memdb.WatchSet, st State) (*structs.ACLRole, error) {
		return st.ACLRoleByName(ws, req.RoleName)
	})
}

// readRole shows a role. One that does not exist is refused like another's to who may not see all: names are not to be
// found out by trying.
func (c *Call) readRole(q *structs.QueryOptions, reply *structs.SingleACLRoleResponse, find func(memdb.WatchSet, State) (*structs.ACLRole, error)) error {
	return c.read(q, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		role, err := find(ws, st)
		if err != nil {
			return 0, fmt.Errorf("look up ACL role: %w", err)
		}
		reply.ACLRole = role
		switch {
		case role == nil && !c.caller.ACL.IsManagement(), role != nil && !c.hasRole(role.ID):
			return 0, structs.ErrPermissionDenied
		case role == nil:
			return tableIndex(st, "acl_roles")
		}
		return role.ModifyIndex, nil
	})
}
