package api

import (
	"context"
	"net/http"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// Introduction says which machine is introduced, and for how long. Zero values leave it to the server: its default TTL, any
// name, the default pool, the machine's own class and datacenter.
type Introduction struct {
	TTL            time.Duration
	NodeName       string
	NodePool       string
	NodeClass      string
	NodeDatacenter string
}

// CreateIntroduction returns a signed introduction. It is a secret until it expires: whoever has it can register a node.
func (c *Client) CreateIntroduction(ctx context.Context, in Introduction, w *WriteOptions) (token string, err error) {
	out, err := write[structs.ClientIntroductionResponse](ctx, c, http.MethodPut, "/v1/acl/identity/client-introduction-token",
		c.writeParams(w), in)
	if err != nil {
		return "", err
	}
	return out.JWT, nil
}
