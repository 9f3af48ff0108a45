package api

import (
	"context"
	"net/http"
	"net/url"
)

// NodeIdentity returns the claims of a node's identity as decoded JSON. An empty ID means the agent that is asked.
func (c *Client) NodeIdentity(ctx context.Context, nodeID string, q *QueryOptions) (map[string]any, error) {
	res, err := query[struct{ Claims map[string]any }](ctx, c, "/v1/client/identity", c.nodeParams(nodeID, q))
	if err != nil {
		return nil, err
	}
	return res.Value.Claims, nil
}

// RenewNodeIdentity makes the node ask for a new identity with its next heartbeat.
func (c *Client) RenewNodeIdentity(ctx context.Context, nodeID string, w *WriteOptions) error {
	_, err := c.do(ctx, http.MethodPost, "/v1/client/identity/renew", c.writeParams(w), struct{ NodeID string }{nodeID}, nil)
	return err
}

// nodeParams are those of a request that a node's agent answers.
func (c *Client) nodeParams(nodeID string, q *QueryOptions) url.Values {
	p := c.queryParams(q)
	if nodeID != "" {
		p.Set("node_id", nodeID)
	}
	return p
}
