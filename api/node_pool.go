package api

import (
	"context"
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

// NodePools lists pools, sorted by name.
func (c *Client) NodePools(ctx context.Context, q *QueryOptions) (*Result[[]*structs.NodePool], error) {
	return query[[]*structs.NodePool](ctx, c, "/v1/node/pools", c.queryParams(q))
}

// NodePool returns the pool of that name.
func (c *Client) NodePool(ctx context.Context, name string, q *QueryOptions) (*Result[*structs.NodePool], error) {
	return query[*structs.NodePool](ctx, c, path("/v1/node/pool/%s", name), c.queryParams(q))
}

// NodePoolNodes lists a pool's nodes; those of the pool "all" are all there are.
func (c *Client) NodePoolNodes(ctx context.Context, name string, q *QueryOptions) (*Result[[]*structs.NodeListStub], error) {
	return query[[]*structs.NodeListStub](ctx, c, path("/v1/node/pool/%s/nodes", name), c.queryParams(q))
}

// NodePoolJobs lists a pool's jobs: none, as nothing here runs jobs.
func (c *Client) NodePoolJobs(ctx context.Context, name string, q *QueryOptions) (*Result[[]any], error) {
	return query[[]any](ctx, c, path("/v1/node/pool/%s/jobs", name), c.queryParams(q))
}

// ApplyNodePool creates or replaces a pool.
func (c *Client) ApplyNodePool(ctx context.Context, pool *structs.NodePool, w *WriteOptions) error {
	_, err := c.do(ctx, http.MethodPut, "/v1/node/pools", c.writeParams(w), pool, nil)
	return err
}

// DeleteNodePool removes a pool that has no nodes.
func (c *Client) DeleteNodePool(ctx context.Context, name string, w *WriteOptions) error {
	_, err := c.do(ctx, http.MethodDelete, path("/v1/node/pool/%s", name), c.writeParams(w), nil, nil)
	return err
}
