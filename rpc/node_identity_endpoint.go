package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerNodeIdentityMethods() {
	handle(s, Spec{Name: "NodeIdentity.Get", Route: RouteRegion}, s.nodeIdentityGet)
	handle(s, Spec{Name: "NodeIdentity.Renew", Route: RouteRegion}, s.nodeIdentityRenew)
	handle(s, Spec{Name: "Status.HasNodeConn", Route: RouteRegion}, s.statusHasNodeConn)
}

// nodeIdentityGet asks the node for the claims of the identity it holds.
func (s *Server) nodeIdentityGet(c *Call, req *structs.NodeSpecificRequest, reply *structs.NodeIdentityGetResponse) error {
	return s.callNode(c, req, reply)
}

// nodeIdentityRenew makes the node ask for a new identity with its next heartbeat.
func (s *Server) nodeIdentityRenew(c *Call, req *structs.NodeSpecificRequest, reply *structs.Empty) error {
	return s.callNode(c, req, reply)
}

// callNode carries the call to the node over the session that the node holds open: one of ours, or of the
// server with the newest (wire.md §2.5).
func (s *Server) callNode(c *Call, req *structs.NodeSpecificRequest, reply any) error {
	if req.NodeID == "" {
		return structs.Coded(http.StatusBadRequest, "missing NodeID")
	}
	n, err := c.state().NodeByID(nil, req.NodeID)
	if err != nil {
		return fmt.Errorf("look up node %s: %w", req.NodeID, err)
	}
	if n == nil {
		return structs.Coded(http.StatusNotFound, "%w %s", structs.ErrUnknownNode, req.NodeID)
	}
	req.SetToken(c.token)
	if conn, _ := s.deps.Sessions.Find(req.NodeID); conn != nil {
		return callSession(c, conn, req, reply)
	}
	if c.cameForwarded {
		return structs.Coded(http.StatusNotFound, "%w", structs.ErrNoNodeConn)
	}
	addr := s.nearestPeer(c, req)
	if addr == "" {
		return structs.Coded(http.StatusNotFound, "%w", structs.ErrNoNodeConn)
	}
	return s.call(c, addr, req, reply)
}

// callSession makes the call on a new stream toward the node. An agent of another system checks an operator's
// token itself, so it is sent along; what proves who another node is must not come into its hands.
func callSession(c *Call, conn *transport.Conn, req *structs.NodeSpecificRequest, reply any) error {
	if c.caller.Kind == CallerNode {
		req.SetToken("")
	}
	// A node may be frozen, or mean harm.
	ctx, cancel := context.WithTimeout(c.ctx, c.srv.cfg.NodeTimeout)
	defer cancel()
	stream, err := conn.OpenReverse(ctx)
	if err != nil {
		return fmt.Errorf("%w: open stream to node %s: %w", structs.ErrNoNodeConn, req.NodeID, err)
	}
	defer stream.Close()
	if err := transport.CallStream(ctx, stream, c.method.Name, req, reply); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return structs.Coded(http.StatusGatewayTimeout, "node %s did not answer within %s: %w", req.NodeID, c.srv.cfg.NodeTimeout, err)
		}
		if text, ok := transport.RemoteText(err); ok {
			return structs.ErrorFromWire(text)
		}
		return fmt.Errorf("call %s on node %s: %w", c.method.Name, req.NodeID, err)
	}
	return nil
}

// nearestPeer is the server with the newest session of the node, empty when none has one. A server that can't
// be asked is passed over.
func (s *Server) nearestPeer(c *Call, req *structs.NodeSpecificRequest) string {
	var best string
	var newest structs.NodeConnResponse
	for _, addr := range s.deps.Cluster.LocalPeers() {
		ask := structs.NodeSpecificRequest{NodeID: req.NodeID}
		ask.Region, ask.AuthToken = req.Region, c.token
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

// statusHasNodeConn tells whether this very server can reach the node.
func (s *Server) statusHasNodeConn(c *Call, req *structs.NodeSpecificRequest, reply *structs.NodeConnResponse) error {
	if req.NodeID == "" {
		return structs.Coded(http.StatusBadRequest, "missing NodeID")
	}
	conn, established := s.deps.Sessions.Find(req.NodeID)
	reply.Connected, reply.Established = conn != nil, established.UTC()
	c.setContact(&reply.QueryMeta)
	return nil
}
