package api

import (
	"context"

	"github.com/rollcall-id/rollcall/structs"
)

// HostStats asks a node what its machine is busy with. An empty ID means the agent that is asked.
func (c *Client) HostStats(ctx context.Context, nodeID string, q *QueryOptions) (*structs.HostStats, error) {
	res, err := query[*structs.HostStats](ctx, c, "/v1/client/stats", c.nodeParams(nodeID, q))
	if err != nil {
		return nil, err
	}
	return res.Value, nil
}
