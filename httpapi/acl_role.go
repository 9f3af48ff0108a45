package httpapi

import (
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

func listACLRoles(c *call) (any, error) {
	var out structs.ACLRolesListResponse
	if err := c.read("ACL.ListRoles", &structs.ACLRolesListRequest{}, &out); err != nil {
		return nil, err
	}
	return list(out.ACLRoles), nil
}

func getACLRole(c *call) (any, error) {
	return c.readACLRole("ACL.GetRoleByID", &structs.ACLRoleByIDRequest{RoleID: c.params["id"]})
}

func getACLRoleByName(c *call) (any, error) {
	return c.readACLRole("ACL.GetRoleByName", &structs.ACLRoleByNameRequest{RoleName: c.params["name"]})
}

func (c *call) readACLRole(method string, args interface{ Query() *structs.QueryOptions }) (any, error) {
	var out structs.SingleACLRoleResponse
	if err := c.read(method, args, &out); err != nil {
		return nil, err
	}
	if out.ACLRole == nil {
		return nil, fail(http.StatusNotFound, "%s", structs.ErrACLRoleNotFound)
	}
	return out.ACLRole, nil
}

// aclRoleInput is a role in a request. What the server keeps of its own (hash, indexes) is not read.
type aclRoleInput struct {
	ID          string
	Name        string
	Description string
	Policies    []*structs.ACLRolePolicyLink
}

func createACLRole(c *call) (any, error) {
	var in aclRoleInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.ID != "" {
		return nil, badRequest("ID must be empty to create a role")
	}
	return c.writeACLRole(&in)
}

func updateACLRole(c *call) (any, error) {
	var in aclRoleInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.ID != c.params["id"] {
		return nil, badRequest("ACL role ID does not match request path")
	}
	return c.writeACLRole(&in)
}

func (c *call) writeACLRole(in *aclRoleInput) (any, error) {
	role := &structs.ACLRole{ID: in.ID, Name: in.Name, Description: in.Description, Policies: in.Policies}
	var out structs.ACLRolesUpsertResponse
	args := &structs.ACLRolesUpsertRequest{ACLRoles: []*structs.ACLRole{role}, WriteRequest: c.writeRequest()}
	if err := c.call("ACL.UpsertRoles", args, &out); err != nil {
		return nil, err
	}
	c.setIndex(out.Index)
	if len(out.ACLRoles) == 0 {
		return nil, fail(http.StatusNotFound, "%s", structs.ErrACLRoleNotFound)
	}
	return out.ACLRoles[0], nil
}

func deleteACLRole(c *call) (any, error) {
	return c.writeNothing("ACL.DeleteRolesByID", &structs.ACLRolesDeleteByIDRequest{
		ACLRoleIDs: []string{c.params["id"]}, WriteRequest: c.writeRequest(),
	})
}
