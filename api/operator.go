package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/rollcall-id/rollcall/structs"
)

// RaftConfiguration returns the servers that Raft knows of.
func (c *Client) RaftConfiguration(ctx context.Context, q *QueryOptions) (*structs.RaftConfigurationResponse, error) {
	res, err := query[*structs.RaftConfigurationResponse](ctx, c, "/v1/operator/raft/configuration", c.queryParams(q))
	if err != nil {
		return nil, err
	}
	return res.Value, nil
}

// RemoveRaftPeer removes a server from Raft by its ID.
func (c *Client) RemoveRaftPeer(ctx context.Context, id string, w *WriteOptions) error {
	p := c.writeParams(w)
	p.Set("id", id)
	_, err := c.do(ctx, http.MethodDelete, "/v1/operator/raft/peer", p, nil, nil)
	return err
}

// LeadershipTransfer says who led and who leads now. Noop means that the target led already.
type LeadershipTransfer struct {
	From structs.RaftIDAddress
	To   structs.RaftIDAddress
	Noop bool
}

// TransferLeadership hands leadership to the server named by exactly one of its ID and its RPC address.
func (c *Client) TransferLeadership(ctx context.Context, to structs.RaftIDAddress, w *WriteOptions) (*LeadershipTransfer, error) {
	p := c.writeParams(w)
	if to.ID != "" {
		p.Set("id", to.ID)
	}
	if to.Address != "" {
		p.Set("address", to.Address)
	}
	return write[LeadershipTransfer](ctx, c, http.MethodPut, "/v1/operator/raft/transfer-leadership", p, nil)
}

// AutopilotConfiguration returns autopilot's replicated configuration.
func (c *Client) AutopilotConfiguration(ctx context.Context, q *QueryOptions) (*structs.AutopilotConfig, error) {
	res, err := query[*structs.AutopilotConfig](ctx, c, "/v1/operator/autopilot/configuration", c.queryParams(q))
	if err != nil {
		return nil, err
	}
	return res.Value, nil
}

// SetAutopilotConfiguration stores cfg if the stored one still has cfg.ModifyIndex. updated is false if it does not:
// somebody else changed it, read it again.
func (c *Client) SetAutopilotConfiguration(ctx context.Context, cfg *structs.AutopilotConfig, w *WriteOptions) (updated bool, err error) {
	p := c.writeParams(w)
	p.Set("cas", strconv.FormatUint(cfg.ModifyIndex, 10))
	out, err := write[bool](ctx, c, http.MethodPut, "/v1/operator/autopilot/configuration", p, cfg)
	if err != nil {
		return false, err
	}
	return *out, nil
}

// ServerHealth returns autopilot's view of the servers, healthy or not.
func (c *Client) ServerHealth(ctx context.Context, q *QueryOptions) (*structs.OperatorHealthReply, error) {
	res, err := query[*structs.OperatorHealthReply](ctx, c, "/v1/operator/autopilot/health", c.queryParams(q), http.StatusTooManyRequests)
	if err != nil {
		return nil, err
	}
	return res.Value, nil
}
