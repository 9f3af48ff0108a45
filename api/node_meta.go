package api

import (
	"context"
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

// NodeMeta asks a node for its metadata, which may be ahead of what the servers know. An empty ID means the agent that
// is asked.
func (c *Client) NodeMeta(ctx context.Context, nodeID string, q *QueryOptions) (*structs.NodeMetaResponse, error) {
	res, err := query[*structs.NodeMetaResponse](ctx, c, "/v1/client/metadata", c.nodeParams(nodeID, q))
	if err != nil {
		return nil, err
	}
	return res.Value, nil
}

// ApplyNodeMeta sets keys of a running node's metadata, and removes those with a nil value. An empty ID means the agent
// that is asked.
func (c *Client) ApplyNodeMeta(ctx context.Context, nodeID string, changes map[string]*string, q *QueryOptions) (*structs.NodeMetaResponse, error) {
	in := struct {
		NodeID string
		Meta   map[string]*string
	}{nodeID, changes}
	return write[structs.NodeMetaResponse](ctx, c, http.MethodPost, "/v1/client/metadata", c.queryParams(q), in)
}
