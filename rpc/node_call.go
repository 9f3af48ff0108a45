package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// callNode carries the call to the node over the session that the node holds open: one of ours, or of the
// server with the newest (wire.md §2.5).
func (s *Server) callNode(c *Call, nodeID string, req structs.RPCRequest, reply any) error {
	if err := c.checkNode(nodeID); err != nil {
		return err
	}
	req.SetToken(c.token)
	if conn, _ := s.deps.Sessions.Find(nodeID); conn != nil {
		return callSession(c, conn, nodeID, req, reply)
	}
	if c.cameForwarded {
		return structs.Coded(http.StatusNotFound, "%w", structs.ErrNoNodeConn)
	}
	addr := s.nearestPeer(c, nodeID, req.RequestRegion())
	if addr == "" {
		return structs.Coded(http.StatusNotFound, "%w", structs.ErrNoNodeConn)
	}
	return s.call(c, addr, req, reply)
}

// checkNode returns an error unless there is a node of that ID whose agent can be asked.
func (c *Call) checkNode(id string) error {
	if id == "" {
		return structs.Coded(http.StatusBadRequest, "missing NodeID")
	}
	n, err := c.state().NodeByID(nil, id)
	if err != nil {
		return fmt.Errorf("look up node %s: %w", id, err)
	}
	if n == nil {
		return structs.Coded(http.StatusNotFound, "%w %s", structs.ErrUnknownNode, id)
	}
	return nil
}

// callSession makes the call on a new stream toward the node. The token stays here, where it has been checked: what proves
// who an operator or another node is must not come into a node's hands, whatever it says that it is.
func callSession(c *Call, conn *transport.Conn, nodeID string, req structs.RPCRequest, reply any) error {
	req.SetToken("")
	// A node may be frozen, or mean harm.
	ctx, cancel := context.WithTimeout(c.ctx, c.srv.cfg.NodeTimeout)
	defer cancel()
	stream, err := conn.OpenReverse(ctx)
	if err != nil {
		return fmt.Errorf("%w: open stream to node %s: %w", structs.ErrNoNodeConn, nodeID, err)
	}
	defer stream.Close()
	if err := transport.CallStream(ctx, stream, c.method.Name, req, reply); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return structs.Coded(http.StatusGatewayTimeout, "node %s did not answer within %s: %w", nodeID, c.srv.cfg.NodeTimeout, err)
		}
		if text, ok := transport.RemoteText(err); ok {
			return structs.ErrorFromWire(text)
		}
		return fmt.Errorf("call %s on node %s: %w", c.method.Name, nodeID, err)
	}
	return nil
}

// nearestPeer is the server with the newest session of the node, empty when none has one. A server that can't
// be asked is passed over.
func (s *Server) nearestPeer(c *Call, nodeID, region string) string {
	var best string
	var newest structs.NodeConnResponse
	for _, addr := range s.deps.Cluster.LocalPeers() {
		ask := structs.NodeSpecificRequest{NodeID: nodeID}
		ask.Region, ask.AuthToken = region, c.token
		ask.SetForwarded()
		var has structs.NodeConnResponse
		if err := s.deps.Pool.Call(c.ctx, addr, "Status.HasNodeConn", &ask, &has); err != nil {
			s.log.Debug("server not asked for its node connections", "addr", addr, "error", err)
			continue
		}
		if has.Connected && (best == "" || has.Established.After(newest.Established)) {
			best, newest = addr, has
		}
	}
	return best
}
