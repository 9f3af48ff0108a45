package httpapi

import (
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

func listACLPolicies(c *call) (any, error) {
	var out structs.ACLPolicyListResponse
	if err := c.read("ACL.ListPolicies", &structs.ACLPolicyListRequest{}, &out); err != nil {
		return nil, err
	}
	return list(out.Policies), nil
}

func getACLPolicy(c *call) (any, error) {
	var out structs.SingleACLPolicyResponse
	if err := c.read("ACL.GetPolicy", &structs.ACLPolicySpecificRequest{Name: c.params["name"]}, &out); err != nil {
		return nil, err
	}
	if out.Policy == nil {
		return nil, fail(http.StatusNotFound, "%s", structs.ErrACLPolicyNotFound)
	}
	return out.Policy, nil
}

// aclPolicyInput is a policy in a request. What the server keeps of its own (hash, indexes) is not read.
type aclPolicyInput struct {
	Name        string
	Description string
	Rules       string
	JobACL      *structs.JobACL
}

func upsertACLPolicy(c *call) (any, error) {
	var in aclPolicyInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.Name != c.params["name"] {
		return nil, badRequest("ACL policy name does not match request path")
	}
	policy := &structs.ACLPolicy{Name: in.Name, Description: in.Description, Rules: in.Rules, JobACL: in.JobACL}
	return c.writeNothing("ACL.UpsertPolicies", &structs.ACLPolicyUpsertRequest{
		Policies: []*structs.ACLPolicy{policy}, WriteRequest: c.writeRequest(),
	})
}

func deleteACLPolicy(c *call) (any, error) {
	return c.writeNothing("ACL.DeletePolicies", &structs.ACLPolicyDeleteRequest{
		Names: []string{c.params["name"]}, WriteRequest: c.writeRequest(),
	})
}
