package api

import (
	"context"
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

// Search looks for what begins with the prefix: the ID of a node, the name of anything else.
func (c *Client) Search(ctx context.Context, prefix string, kind structs.SearchContext, q *QueryOptions) (*structs.SearchResponse, error) {
	in := struct {
		Prefix  string
		Context structs.SearchContext
	}{prefix, kind}
	return write[structs.SearchResponse](ctx, c, http.MethodPost, "/v1/search", c.queryParams(q), in)
}
