package rpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// holdRetry is the pause between two looks for a leader, before jitter.
const holdRetry = 100 * time.Millisecond

// forward brings the call to where it may act. It reports true when another server has answered into reply;
// false with a nil error means that this server is to act (wire.md §1.8).
func (s *Server) forward(c *Call, req structs.RPCRequest, reply any) (bool, error) {
	if c.method.Route == RouteLocal {
		return false, nil
	}
	switch region := req.RequestRegion(); {
	case region == "":
		return false, structs.ErrMissingRegion
	case region != s.cfg.Region:
		release, err := s.limits.passing.acquire()
		if err != nil {
			return false, err
		}
		defer release()
		return true, s.forwardRegion(c, region, req, reply)
	}
	if c.method.Route == RouteRegion || c.isRead(req) && req.StaleAllowed() || s.deps.Leader.IsLeader() {
		return false, nil
	}
	release, err := s.limits.passing.acquire()
	if err != nil {
		return false, err
	}
	defer release()
	return s.forwardLeader(c, req, reply)
}

// isRead reports whether the call changes nothing.
func (c *Call) isRead(req structs.RPCRequest) bool { return req.IsRead() && !c.method.Changes }

// repeatable reports whether the call may be made once more though it may have been carried out.
func (c *Call) repeatable(req structs.RPCRequest) bool { return c.isRead(req) || c.method.Repeatable }

// forwardRegion asks the region's servers in random order until one has answered. One that does not lead refuses
// what only a leader may answer, since a call is forwarded once; then it is another's turn.
func (s *Server) forwardRegion(c *Call, region string, req structs.RPCRequest, reply any) error {
	err := fmt.Errorf("%w: %s", structs.ErrNoRegionPath, region)
	if c.cameForwarded {
		return err // whoever sent it took this server for one of that region
	}
	servers := s.deps.Cluster.RegionServers(region)
	for _, i := range rand.Perm(len(servers)) {
		if err = s.call(c, servers[i], req, reply); err == nil || !retryable(err, c.repeatable(req)) {
			return err
		}
	}
	return err
}

// forwardLeader finds the leader, waiting for one up to the hold timeout.
func (s *Server) forwardLeader(c *Call, req structs.RPCRequest, reply any) (bool, error) {
	var deadline time.Time
	for {
		if s.deps.Leader.IsLeader() {
			return false, nil
		}
		err := s.noLeader()
		// A call that was forwarded once is not forwarded again: the first server looks for the new leader.
		if addr := s.deps.Leader.LeaderAddr(); addr != "" && !s.deps.Leader.Leading() && !c.cameForwarded {
			if err = s.call(c, addr, req, reply); err == nil || !retryable(err, c.repeatable(req)) {
				return true, err
			}
		}
		now := s.deps.Clock()
		if deadline.IsZero() {
			deadline = now.Add(s.cfg.HoldTimeout)
		}
		if c.cameForwarded && !s.deps.Leader.Leading() || now.After(deadline) {
			return false, err
		}
		if werr := sleep(c.ctx, holdRetry/2+rand.N(holdRetry)); werr != nil {
			return false, err
		}
	}
}

// call sends the request on, marked as forwarded, and puts the answer into reply.
func (s *Server) call(c *Call, addr string, req structs.RPCRequest, reply any) error {
	req.SetForwarded()
	err := s.deps.Pool.Call(c.ctx, addr, c.method.Name, req, reply)
	if err == nil {
		return nil
	}
	if _, ok := transport.RemoteText(err); ok {
		return structs.ErrorFromWire(err.Error())
	}
	if errors.Is(context.Cause(c.ctx), transport.ErrShutdown) {
		return structs.ErrShutdown // a caller that can ask another server does so at once
	}
	return fmt.Errorf("forward %s to %s: %w", c.method.Name, addr, err)
}

// noLeader is why there is no one to serve the call now.
func (s *Server) noLeader() error {
	if s.deps.Leader.Leading() {
		return structs.ErrNotReady
	}
	return structs.ErrNoLeader
}

// retryable reports whether the call can be made once more: it never reached a leader, or may be repeated. A
// server that refused says no more than that there is no leader; one that lost the lead with a command under way
// says which, and that command may yet be committed.
func retryable(err error, repeatable bool) bool {
	if errors.Is(err, structs.ErrNoLeader) || errors.Is(err, structs.ErrNotReady) {
		text := err.Error()
		return repeatable || strings.HasSuffix(text, structs.ErrNoLeader.Error()) || strings.HasSuffix(text, structs.ErrNotReady.Error())
	}
	var te *transport.TransportError
	return errors.As(err, &te) && (repeatable || transport.NeverSent(err))
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
