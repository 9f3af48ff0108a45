package api

import (
	"context"
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

// Nodes lists nodes, sorted by ID.
func (c *Client) Nodes(ctx context.Context, q *QueryOptions) (*Result[[]*structs.NodeListStub], error) {
	return query[[]*structs.NodeListStub](ctx, c, "/v1/nodes", c.queryParams(q))
}

// Node returns the node of that full ID.
func (c *Client) Node(ctx context.Context, id string, q *QueryOptions) (*Result[*structs.Node], error) {
	return query[*structs.Node](ctx, c, path("/v1/node/%s", id), c.queryParams(q))
}

// DrainOptions say how to drain a node; a nil Spec ends a drain.
type DrainOptions struct {
	Spec *structs.DrainSpec
	// MarkEligible makes the node eligible again when a drain ends.
	MarkEligible bool
	Meta         map[string]string
}

// DrainNode begins, changes or ends a drain.
func (c *Client) DrainNode(ctx context.Context, id string, d DrainOptions, w *WriteOptions) (*structs.NodeChangeResponse, error) {
	in := struct {
		NodeID       string
		DrainSpec    *structs.DrainSpec
		MarkEligible bool
		Meta         map[string]string
	}{id, d.Spec, d.MarkEligible, d.Meta}
	return write[structs.NodeChangeResponse](ctx, c, http.MethodPut, path("/v1/node/%s/drain", id), c.writeParams(w), in)
}

// SetNodeEligibility sets structs.NodeEligible or structs.NodeIneligible.
func (c *Client) SetNodeEligibility(ctx context.Context, id, eligibility string, w *WriteOptions) (*structs.NodeChangeResponse, error) {
	in := struct{ NodeID, Eligibility string }{id, eligibility}
	return write[structs.NodeChangeResponse](ctx, c, http.MethodPut, path("/v1/node/%s/eligibility", id), c.writeParams(w), in)
}

// PurgeNode removes a node; one that still lives registers again.
func (c *Client) PurgeNode(ctx context.Context, id string, w *WriteOptions) (*structs.NodeUpdateResponse, error) {
	return write[structs.NodeUpdateResponse](ctx, c, http.MethodPut, path("/v1/node/%s/purge", id), c.writeParams(w), nil)
}
