package api

import (
	"context"
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

// KeyringStatus says of every server which root keys, and which of their wrapped copies, it can open.
func (c *Client) KeyringStatus(ctx context.Context, q *QueryOptions) (*Result[[]*structs.KeyringServerStatus], error) {
	return query[[]*structs.KeyringServerStatus](ctx, c, "/v1/operator/keyring/status", c.queryParams(q))
}

// RewrapKeys moves the root keys one step towards the leader's active keyring provider; call it until Done. providerID, if
// set, is what that provider must be.
func (c *Client) RewrapKeys(ctx context.Context, providerID string, w *WriteOptions) (*structs.KeyringRewrapResponse, error) {
	p := c.writeParams(w)
	if providerID != "" {
		p.Set("provider", providerID)
	}
	return write[structs.KeyringRewrapResponse](ctx, c, http.MethodPut, "/v1/operator/keyring/rewrap", p, nil)
}
