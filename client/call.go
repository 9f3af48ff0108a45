package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// caller reaches servers; *transport.Pool is the real one.
type caller interface {
	Call(ctx context.Context, addr, method string, args, reply any) error
	Stream(ctx context.Context, addr, method string) (net.Conn, error)
	Recheck() []error
	Close() error
}

var _ caller = (*transport.Pool)(nil)

// ErrNoServers is returned while no server is configured. SetServers helps.
var ErrNoServers = errors.New("no servers are known; name one in client { servers } or server_join")

// repeat says what may be sent again after a call whose outcome is not known.
type repeat int

const (
	ifNeverSent repeat = iota
	always
)

// call calls the current server, and in its turn every other one while they can't be reached. timeout bounds each attempt. What a
// server answers is returned as structs.ErrorFromWire makes it.
func (c *Client) call(ctx context.Context, method string, args, reply any, timeout time.Duration, r repeat) error {
	err := ErrNoServers
	for range c.servers.all() {
		addr := c.servers.pick()
		var answered bool
		if answered, err = c.callOne(ctx, addr, method, args, reply, timeout); err == nil {
			return nil
		}
		if answered {
			if errors.Is(err, structs.ErrNoLeader) || errors.Is(err, structs.ErrNotReady) {
				c.servers.failed(addr) // cut off from its peers, perhaps; the next attempt asks another one
			}
			return err
		}
		if ctx.Err() != nil {
			return err
		}
		c.servers.failed(addr)
		c.log.Debug("server can't be reached", "method", method, "server", addr, "error", err)
		if r == ifNeverSent && !transport.NeverSent(err) {
			return err
		}
	}
	return err
}

// callOne makes one attempt; answered tells whether err is the server's own.
func (c *Client) callOne(ctx context.Context, addr, method string, args, reply any, timeout time.Duration) (answered bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = c.pool.Call(ctx, addr, method, args, reply)
	if err == nil {
		return true, nil
	}
	var remote *transport.RemoteError
	if errors.As(err, &remote) {
		// A server that is about to stop answers for no one.
		answered = !strings.Contains(remote.Text, structs.ErrShutdown.Error())
		return answered, structs.ErrorFromWire(remote.Error())
	}
	return false, fmt.Errorf("%s: %w", method, err)
}

// isRefusal tells whether a server did not take the credentials.
func isRefusal(err error) bool {
	return errors.Is(err, structs.ErrPermissionDenied) || errors.Is(err, structs.ErrTokenExpired) ||
		errors.Is(err, structs.ErrTokenNotFound) || errors.Is(err, structs.ErrTokenInvalid)
}

// rpcTimeout bounds an attempt of RPC whose context has no deadline of its own: the longest blocking query with its jitter.
const rpcTimeout = allocsTimeout

// RPC calls a method on the servers for somebody else, as the HTTP API of an agent that is no server does. It fills in an
// empty region and leaves the token as it is: lending out the node's own would give a stranger the node's rights. A
// call is repeated with the next server only if it changes nothing or was never sent.
//
// Errors of servers are those of structs.ErrorFromWire; structs.HTTPStatus understands them.
func (c *Client) RPC(ctx context.Context, method string, args, reply any) error {
	r := ifNeverSent
	if req, ok := args.(structs.RPCRequest); ok {
		if req.RequestRegion() == "" {
			req.SetRegion(c.cfg.Region)
		}
		if req.IsRead() {
			r = always
		}
	}
	return c.call(ctx, method, args, reply, rpcTimeout, r)
}

// Recheck closes the connections to servers that are not trusted any more, and returns why, one error for each.
func (c *Client) Recheck() []error { return c.pool.Recheck() }
