package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// unknownStreamText is what peers know a streaming method that does not exist by (wire.md §1.5).
const unknownStreamText = "Unknown rpc method: "

// reverse answers what servers ask over the node's own session (wire.md §1.2, §2.5). The server has authorized the caller; the
// session tells that it is a server.
type reverse struct{ c *Client }

var _ transport.Handler = reverse{}

// ServeRPC answers NodeIdentity.Get and NodeIdentity.Renew for this node.
func (r reverse) ServeRPC(_ context.Context, _ *transport.Conn, method string, body []byte) (any, error) {
	service, name, _ := strings.Cut(method, ".")
	if service != "NodeIdentity" {
		return nil, transport.ErrUnknownService(method)
	}
	if name != "Get" && name != "Renew" {
		return nil, transport.ErrUnknownMethod(method)
	}
	var req structs.NodeSpecificRequest
	if err := structs.Decode(body, &req); err != nil {
		return nil, err
	}
	if req.NodeID != r.c.NodeID() {
		return nil, fmt.Errorf("%w %q", structs.ErrUnknownNode, req.NodeID)
	}
	if name == "Renew" {
		r.c.log.Info("a server asks for a new identity at the next heartbeat")
		r.c.Renew()
		return structs.Empty{}, nil
	}
	claims, err := r.c.IdentityClaims()
	if err != nil {
		return nil, err
	}
	return &structs.NodeIdentityGetResponse{Claims: claims}, nil
}

// ServeStream refuses: there are no streaming methods on a node.
func (r reverse) ServeStream(_ context.Context, _ *transport.Conn, _ net.Conn, method string) error {
	return errors.New(unknownStreamText + strconv.Quote(method))
}
