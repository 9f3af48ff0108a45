package api

import (
	"context"
	"net/http"
)

// Leader returns the RPC address of a region's leader, "" if it has none. An empty region means the client's.
func (c *Client) Leader(ctx context.Context, region string) (string, error) {
	res, err := query[string](ctx, c, "/v1/status/leader", c.queryParams(&QueryOptions{Region: region}))
	if err != nil {
		return "", err
	}
	return res.Value, nil
}

// Peers returns the RPC addresses of the servers in Raft.
func (c *Client) Peers(ctx context.Context) ([]string, error) {
	res, err := query[[]string](ctx, c, "/v1/status/peers", c.queryParams(nil))
	if err != nil {
		return nil, err
	}
	return res.Value, nil
}

// CollectGarbage asks the leader to collect now. The work goes on after the call.
func (c *Client) CollectGarbage(ctx context.Context, w *WriteOptions) error {
	_, err := c.do(ctx, http.MethodPut, "/v1/system/gc", c.writeParams(w), nil, nil)
	return err
}
