package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// Stream starts a streaming call on the current server for somebody else, as the HTTP API of an agent that is no server
// does; while servers can't be reached, on every other one in its turn. Once it has returned, nothing is repeated. ctx
// bounds only the start; the caller closes the connection.
//
// Errors of servers are those of structs.ErrorFromWire.
func (c *Client) Stream(ctx context.Context, method string) (net.Conn, error) {
	err := ErrNoServers
	for range c.servers.all() {
		addr := c.servers.pick()
		var conn net.Conn
		if conn, err = c.pool.Stream(ctx, addr, method); err == nil {
			return conn, nil
		}
		var remote *transport.RemoteError
		if errors.As(err, &remote) && !strings.Contains(remote.Text, structs.ErrShutdown.Error()) {
			return nil, structs.ErrorFromWire(remote.Error())
		}
		err = fmt.Errorf("%s: %w", method, err)
		if ctx.Err() != nil {
			return nil, err
		}
		// All that was sent is the method's name, so starting anew does nothing twice.
		c.servers.failed(addr)
		c.log.Debug("server can't be reached", "method", method, "server", addr, "error", err)
	}
	return nil, err
}
