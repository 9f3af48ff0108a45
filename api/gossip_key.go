package api

import (
	"context"
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

// GossipKeys asks the servers which gossip keys they have.
func (c *Client) GossipKeys(ctx context.Context) (*structs.GossipKeysResponse, error) {
	res, err := query[*structs.GossipKeysResponse](ctx, c, "/v1/agent/keyring/list", nil)
	if err != nil {
		return nil, err
	}
	return res.Value, nil
}

// InstallGossipKey gives all servers another key to decrypt with; key is in base64.
func (c *Client) InstallGossipKey(ctx context.Context, key string) (*structs.GossipKeysResponse, error) {
	return c.changeGossipKey(ctx, "install", key)
}

// UseGossipKey makes all servers encrypt with a key that they have.
func (c *Client) UseGossipKey(ctx context.Context, key string) (*structs.GossipKeysResponse, error) {
	return c.changeGossipKey(ctx, "use", key)
}

// RemoveGossipKey takes a key that does not encrypt from all servers.
func (c *Client) RemoveGossipKey(ctx context.Context, key string) (*structs.GossipKeysResponse, error) {
	return c.changeGossipKey(ctx, "remove", key)
}

func (c *Client) changeGossipKey(ctx context.Context, what, key string) (*structs.GossipKeysResponse, error) {
	return write[structs.GossipKeysResponse](ctx, c, http.MethodPut, "/v1/agent/keyring/"+what, c.writeParams(nil), structs.GossipKeyRequest{Key: key})
}
