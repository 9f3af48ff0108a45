package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/rollcall-id/rollcall/structs"
)

// SchedulerConfiguration returns the scheduler configuration that is kept for tools of the compatible API.
func (c *Client) SchedulerConfiguration(ctx context.Context, q *QueryOptions) (*structs.SchedulerConfigResponse, error) {
	res, err := query[*structs.SchedulerConfigResponse](ctx, c, "/v1/operator/scheduler/configuration", c.queryParams(q))
	if err != nil {
		return nil, err
	}
	return res.Value, nil
}

// SetSchedulerConfiguration stores cfg if the stored one still has cfg.ModifyIndex; updated is false if it does not.
func (c *Client) SetSchedulerConfiguration(ctx context.Context, cfg *structs.SchedulerConfiguration, w *WriteOptions) (updated bool, err error) {
	p := c.writeParams(w)
	p.Set("cas", strconv.FormatUint(cfg.ModifyIndex, 10))
	out, err := write[structs.SchedulerSetConfigResponse](ctx, c, http.MethodPut, "/v1/operator/scheduler/configuration", p, cfg)
	if err != nil {
		return false, err
	}
	return out.Updated, nil
}
