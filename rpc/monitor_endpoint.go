package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/rollcall-id/rollcall/monitor"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// logWriteTimeout is how long a follower of a log may take over one frame.
const logWriteTimeout = time.Minute

func (s *Server) registerMonitorMethods() {
	handleStream(s, Spec{Name: AgentMonitor, Route: RouteRegion, Blocking: true}, s.agentMonitor,
		func(code int, message string) any { return &structs.StreamFrame{Error: newStreamError(code, message)} })
}

// agentMonitor sends a log as long as its caller may read it.
func (s *Server) agentMonitor(c *Call, req *structs.MonitorRequest, st *stream) error {
	if err := req.Validate(); err != nil {
		return structs.Coded(http.StatusBadRequest, "%w", err)
	}
	asked, call := *req, c.ctx
	ctx, release := c.whileAllowed(&asked)
	defer release()
	c.ctx = ctx
	err := s.sendLog(c, req, st)
	if call.Err() == nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// sendLog sends the log of this server, or passes the call on to the server or the node that is meant.
func (s *Server) sendLog(c *Call, req *structs.MonitorRequest, st *stream) error {
	if req.NodeID != "" {
		return s.monitorNode(c, req, st)
	}
	if req.ServerID != "" {
		addr, err := s.serverAddr(req.ServerID)
		if err != nil {
			return err
		}
		if addr != "" {
			req.ServerID = "" // it is the one asked now
			req.SetToken(c.token)
			return s.proxyLog(c, addr, req, st)
		}
	}
	return monitor.Follow(c.ctx, s.deps.Logs, req, func(f *structs.StreamFrame) error {
		if err := st.SetWriteDeadline(time.Now().Add(logWriteTimeout)); err != nil {
			return err
		}
		return st.send(f)
	})
}

// proxyLog carries the call to another server.
func (s *Server) proxyLog(c *Call, addr string, req *structs.MonitorRequest, st *stream) error {
	up, err := s.dialStream(c, addr)
	if err != nil {
		return err
	}
	return s.carryLog(c, up, addr, req, st)
}

// carryLog carries the call over up, which it closes. The frames of the answer stay whole, so that one which says why the log ends
// can follow them at any time.
func (s *Server) carryLog(c *Call, up net.Conn, to string, req *structs.MonitorRequest, st *stream) error {
	return s.carry(c, up, to, req, st, func() error {
		for in := transport.NewReader(up, 0); ; {
			frame, err := in.ReadValue("log", structs.Limits{MaxBytes: maxFrame})
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := st.SetWriteDeadline(time.Now().Add(logWriteTimeout)); err != nil {
				return err
			}
			if _, err := st.Write(frame); err != nil {
				return err
			}
		}
	})
}

// serverAddr is the RPC address of the server of this region with that ID or name, or of the leader; empty if it is this
// one.
func (s *Server) serverAddr(id string) (string, error) {
	if id == structs.MonitorLeader {
		if s.deps.Leader.Leading() {
			return "", nil
		}
		if addr := s.deps.Leader.LeaderAddr(); addr != "" {
			return addr, nil
		}
		return "", s.noLeader()
	}
	for _, m := range s.deps.Cluster.Members() {
		if m.Tags["region"] != s.cfg.Region || id != m.Name && id != m.Tags["id"] && id+"."+s.cfg.Region != m.Name {
			continue
		}
		if m.Name == s.cfg.NodeName {
			return "", nil
		}
		host := m.Tags["rpc_addr"]
		if host == "" {
			host = m.Addr.String()
		}
		return net.JoinHostPort(host, m.Tags["port"]), nil
	}
	return "", structs.Coded(http.StatusNotFound, "no server of region %s has the ID or name %q", s.cfg.Region, id)
}

// monitorNode passes the call on to the node over the session that it holds open: one of ours, or of the server with the
// newest.
func (s *Server) monitorNode(c *Call, req *structs.MonitorRequest, st *stream) error {
	if err := c.checkNode(req.NodeID); err != nil {
		return err
	}
	req.SetToken(c.token)
	if conn, _ := s.deps.Sessions.Find(req.NodeID); conn != nil {
		up, err := s.streamNode(c, conn, req.NodeID)
		if err != nil {
			return err
		}
		return s.carryLog(c, up, "node "+req.NodeID, req, st)
	}
	if !c.cameForwarded {
		if addr := s.nearestPeer(c, req.NodeID, req.RequestRegion()); addr != "" {
			return s.proxyLog(c, addr, req, st)
		}
	}
	return structs.Coded(http.StatusNotFound, "%w", structs.ErrNoNodeConn)
}

// streamNode starts the call on a stream toward the node, which may be frozen, or mean harm.
func (s *Server) streamNode(c *Call, conn *transport.Conn, nodeID string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(c.ctx, s.cfg.NodeTimeout)
	defer cancel()
	up, err := conn.StreamReverse(ctx, c.method.Name)
	if err == nil {
		return up, nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, structs.Coded(http.StatusGatewayTimeout, "node %s did not answer within %s: %w", nodeID, s.cfg.NodeTimeout, err)
	}
	if text, ok := transport.RemoteText(err); ok {
		return nil, structs.ErrorFromWire(text)
	}
	return nil, fmt.Errorf("%w: stream to node %s: %w", structs.ErrNoNodeConn, nodeID, err)
}
