package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// Keys lists the root keys, sorted by ID.
func (c *Client) Keys(ctx context.Context, q *QueryOptions) (*Result[[]*structs.RootKeyMeta], error) {
	return query[[]*structs.RootKeyMeta](ctx, c, "/v1/operator/keyring/keys", c.queryParams(q))
}

// RotateOptions say how a new root key comes into use.
type RotateOptions struct {
	// Full re-encrypts what older keys encrypt. It can't be combined with PublishTime.
	Full bool
	// PublishTime, if set, is when the key becomes active; until then it is only published.
	PublishTime time.Time
}

// RotateKey creates a root key.
func (c *Client) RotateKey(ctx context.Context, r RotateOptions, w *WriteOptions) (*structs.RootKeyMeta, error) {
	p := c.writeParams(w)
	if r.Full {
		p.Set("full", "true")
	}
	if !r.PublishTime.IsZero() {
		p.Set("publish_time", strconv.FormatInt(r.PublishTime.UnixNano(), 10))
	}
	out, err := write[structs.KeyringRotateResponse](ctx, c, http.MethodPut, "/v1/operator/keyring/rotate", p, nil)
	if err != nil {
		return nil, err
	}
	return out.Key, nil
}

// DeleteKey removes a root key. WithForce drops the check for records that it encrypts, never that for identities.
func (c *Client) DeleteKey(ctx context.Context, id string, force KeyDeletion, w *WriteOptions) error {
	p := c.writeParams(w)
	if force {
		p.Set("force", "true")
	}
	_, err := c.do(ctx, http.MethodDelete, path("/v1/operator/keyring/key/%s", id), p, nil, nil)
	return err
}

// KeyDeletion says which checks the removal of a key makes.
type KeyDeletion bool

// How to delete a key.
const (
	IfUnused  KeyDeletion = false
	WithForce KeyDeletion = true
)
