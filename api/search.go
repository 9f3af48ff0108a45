package api

import (
	"context"
	"net/http"
)

// SearchResult has what begins with a prefix, by kind: IDs of nodes, names of node pools.
type SearchResult struct {
	Matches     map[string][]string
	Truncations map[string]bool // kinds that have more than is listed
}

// Search looks for what begins with the prefix in one kind of things, or in all.
func (c *Client) Search(ctx context.Context, prefix, kind string, q *QueryOptions) (*SearchResult, error) {
	in := struct{ Prefix, Context string }{prefix, kind}
	return write[SearchResult](ctx, c, http.MethodPost, "/v1/search", c.queryParams(q), in)
}
