package api

import (
	"context"
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

// BootstrapACL makes the first management token, with the given secret or, if that is empty, a random one. It works once.
func (c *Client) BootstrapACL(ctx context.Context, secret string, w *WriteOptions) (*structs.ACLToken, error) {
	out := new(structs.ACLToken)
	var in any
	if secret != "" {
		in = struct{ BootstrapSecret string }{secret}
	}
	_, err := c.do(ctx, http.MethodPut, "/v1/acl/bootstrap", c.writeParams(w), in, out)
	return out, err
}

// ACLTokens lists tokens, sorted by accessor ID.
func (c *Client) ACLTokens(ctx context.Context, q *QueryOptions) (*Result[[]*structs.ACLTokenListStub], error) {
	return query[[]*structs.ACLTokenListStub](ctx, c, "/v1/acl/tokens", c.queryParams(q))
}

// ACLToken returns the token of that accessor ID, without its secret.
func (c *Client) ACLToken(ctx context.Context, accessor string, q *QueryOptions) (*Result[*structs.ACLToken], error) {
	return query[*structs.ACLToken](ctx, c, path("/v1/acl/token/%s", accessor), c.queryParams(q))
}

// OwnACLToken returns the token that the client presents.
func (c *Client) OwnACLToken(ctx context.Context, q *QueryOptions) (*Result[*structs.ACLToken], error) {
	return query[*structs.ACLToken](ctx, c, "/v1/acl/token/self", c.queryParams(q))
}

// CreateACLToken makes a token. What it returns is the only answer that has its secret.
func (c *Client) CreateACLToken(ctx context.Context, token *structs.ACLToken, w *WriteOptions) (*structs.ACLToken, error) {
	out := new(structs.ACLToken)
	_, err := c.do(ctx, http.MethodPut, "/v1/acl/token", c.writeParams(w), token, out)
	return out, err
}

// UpdateACLToken changes what a token may do.
func (c *Client) UpdateACLToken(ctx context.Context, token *structs.ACLToken, w *WriteOptions) (*structs.ACLToken, error) {
	out := new(structs.ACLToken)
	_, err := c.do(ctx, http.MethodPut, path("/v1/acl/token/%s", token.AccessorID), c.writeParams(w), token, out)
	return out, err
}

// DeleteACLToken ends a token.
func (c *Client) DeleteACLToken(ctx context.Context, accessor string, w *WriteOptions) error {
	_, err := c.do(ctx, http.MethodDelete, path("/v1/acl/token/%s", accessor), c.writeParams(w), nil, nil)
	return err
}

// ACLPolicies lists policies, sorted by name: the client's own, or with a management token all.
func (c *Client) ACLPolicies(ctx context.Context, q *QueryOptions) (*Result[[]*structs.ACLPolicyListStub], error) {
	return query[[]*structs.ACLPolicyListStub](ctx, c, "/v1/acl/policies", c.queryParams(q))
}

// ACLPolicy returns the policy of that name.
func (c *Client) ACLPolicy(ctx context.Context, name string, q *QueryOptions) (*Result[*structs.ACLPolicy], error) {
	return query[*structs.ACLPolicy](ctx, c, path("/v1/acl/policy/%s", name), c.queryParams(q))
}

// ApplyACLPolicy creates or replaces a policy.
func (c *Client) ApplyACLPolicy(ctx context.Context, policy *structs.ACLPolicy, w *WriteOptions) error {
	_, err := c.do(ctx, http.MethodPut, path("/v1/acl/policy/%s", policy.Name), c.writeParams(w), policy, nil)
	return err
}

// DeleteACLPolicy removes a policy; tokens that have it lose what it grants.
func (c *Client) DeleteACLPolicy(ctx context.Context, name string, w *WriteOptions) error {
	_, err := c.do(ctx, http.MethodDelete, path("/v1/acl/policy/%s", name), c.writeParams(w), nil, nil)
	return err
}

// ACLRoles lists roles, sorted by ID: the client's own, or with a management token all.
func (c *Client) ACLRoles(ctx context.Context, q *QueryOptions) (*Result[[]*structs.ACLRole], error) {
	return query[[]*structs.ACLRole](ctx, c, "/v1/acl/roles", c.queryParams(q))
}

// ACLRole returns the role of that ID.
func (c *Client) ACLRole(ctx context.Context, id string, q *QueryOptions) (*Result[*structs.ACLRole], error) {
	return query[*structs.ACLRole](ctx, c, path("/v1/acl/role/%s", id), c.queryParams(q))
}

// ApplyACLRole creates a role, if it has no ID, or changes the one of its ID.
func (c *Client) ApplyACLRole(ctx context.Context, role *structs.ACLRole, w *WriteOptions) (*structs.ACLRole, error) {
	to := "/v1/acl/role"
	if role.ID != "" {
		to = path("/v1/acl/role/%s", role.ID)
	}
	out := new(structs.ACLRole)
	_, err := c.do(ctx, http.MethodPut, to, c.writeParams(w), role, out)
	return out, err
}

// DeleteACLRole removes a role; tokens that have it lose its policies.
func (c *Client) DeleteACLRole(ctx context.Context, id string, w *WriteOptions) error {
	_, err := c.do(ctx, http.MethodDelete, path("/v1/acl/role/%s", id), c.writeParams(w), nil, nil)
	return err
}
