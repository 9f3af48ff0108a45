package rpc

import (
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerNodeMethods() {
	handle(s, Spec{Name: "Node.Register", Repeatable: true, Track: func(req any) string {
		return req.(*structs.NodeRegisterRequest).Node.ID
	}}, s.nodeRegister)
	handle(s, Spec{Name: "Node.UpdateStatus", Repeatable: true, Track: func(req any) string {
		return req.(*structs.NodeUpdateStatusRequest).NodeID
	}}, s.nodeUpdateStatus)
}

// nodeRegister adds a node or updates what it says of itself, and gives it an identity when it needs one
// (wire.md §2.2). A signature that can't be made is the end of the call; the node tries again.
func (s *Server) nodeRegister(c *Call, req *structs.NodeRegisterRequest, reply *structs.NodeUpdateResponse) error {
	if err := req.Node.ValidateRegistration(); err != nil {
		return structs.Coded(400, "%w", err)
	}
	n := req.Node.ShallowCopy() // the caller's is left as it is
	req.Node = n
	mu := s.nodeLocks.of(n.ID)
	mu.Lock()
	defer mu.Unlock()
	existing, err := c.state().NodeByID(nil, n.ID)
	if err != nil {
		return fmt.Errorf("look up node %s: %w", n.ID, err)
	}
	if err := s.admit(c, n, existing); err != nil {
		return err
	}
	if err := s.prepareRegistration(c, n, existing); err != nil {
		return err
	}
	req.CreateNodePool = s.cfg.Region == s.cfg.AuthoritativeRegion

	var minted *identity
	if s.mintsAtRegister(c, n) {
		if minted, err = s.mint(c, n); err != nil {
			return fmt.Errorf("failed to sign node identity claims: %w", err)
		}
	}
	applied, err := s.applyRegistration(req, minted, existing)
	if minted != nil && errors.Is(err, structs.ErrRootKeyNotFound) {
		// The key was collected between signing and applying; the next active key is as good.
		if minted, err = s.mint(c, n); err != nil {
			return fmt.Errorf("failed to sign node identity claims: %w", err)
		}
		applied, err = s.applyRegistration(req, minted, existing)
	}
	if err != nil {
		return fmt.Errorf("register node %s: %w", n.ID, err)
	}
	if minted != nil && existing != nil && existing.IdentitySigningKeyID == minted.keyID {
		s.tellRenewed(c, existing, minted) // the log says which key, and it is the one it was
	}

	if n.Status != structs.NodeStatusDown {
		if reply.HeartbeatTTL, err = s.deps.Heartbeats.Reset(n.ID); err != nil {
			return err
		}
	}
	s.fillUpdateReply(c, reply, n, minted)
	reply.NodeModifyIndex, reply.Index = applied.Index, applied.Index
	return nil
}

// prepareRegistration fills in what the node leaves open and what only this server may say.
func (s *Server) prepareRegistration(c *Call, n, existing *structs.Node) error {
	if n.Status == "" {
		n.Status = structs.NodeStatusInit
	}
	if n.SchedulingEligibility != structs.NodeIneligible {
		n.SchedulingEligibility = structs.NodeEligible
	}
	n.Events, n.LastDrain, n.DrainStrategy = nil, nil, nil
	n.Canonicalize()
	n.ComputeClass()
	n.StatusUpdatedAt = c.now.Unix()
	n.CreateIndex, n.ModifyIndex = 0, 0
	n.LastMissedHeartbeatIndex, n.LastAllocUpdateIndex = 0, 0
	n.IdentitySigningKeyID, n.IdentityTTL = "", 0
	if existing == nil {
		return nil
	}
	n.Status = existing.Status
	n.SchedulingEligibility = existing.SchedulingEligibility
	key, err := c.state().RootKeyByID(nil, existing.IdentitySigningKeyID)
	if err != nil {
		return fmt.Errorf("look up root key %s: %w", existing.IdentitySigningKeyID, err)
	}
	if key != nil { // one that is gone is of no use, and applying would take it for new
		n.IdentitySigningKeyID, n.IdentityTTL = existing.IdentitySigningKeyID, existing.IdentityTTL
	}
	return nil
}

func (s *Server) applyRegistration(req *structs.NodeRegisterRequest, minted *identity, existing *structs.Node) (Applied, error) {
	if minted != nil {
		req.Node.IdentitySigningKeyID, req.Node.IdentityTTL = minted.keyID, minted.ttl
		if existing != nil && existing.IdentitySigningKeyID == minted.keyID {
			req.Node.IdentityTTL = max(minted.ttl, existing.IdentityTTL)
		}
	}
	return s.deps.Raft.Apply(structs.NodeRegisterMsg, req)
}

// nodeUpdateStatus is the heartbeat (wire.md §2.4). A heartbeat that changes nothing costs a few look-ups and
// writes nothing, also when a new identity is signed with the same key.
func (s *Server) nodeUpdateStatus(c *Call, req *structs.NodeUpdateStatusRequest, reply *structs.NodeUpdateResponse) error {
	if req.NodeID == "" {
		return structs.Coded(400, "missing node ID for client status update")
	}
	if !structs.ValidNodeStatus(req.Status) {
		return structs.Coded(400, "invalid status for node: %q", req.Status)
	}
	mu := s.nodeLocks.of(req.NodeID)
	mu.Lock()
	defer mu.Unlock()
	n, err := c.state().NodeByID(nil, req.NodeID)
	if err != nil {
		return fmt.Errorf("look up node %s: %w", req.NodeID, err)
	}
	if n == nil {
		return structs.ErrNodeNotFound
	}
	req.UpdatedAt = c.now.Unix()
	req.IdentitySigningKeyID, req.IdentityTTL = "", 0

	minted, err := s.renew(c, req, n)
	if err != nil {
		return err
	}
	if err := s.adjustStatus(c, req, n); err != nil {
		return err
	}
	if minted != nil {
		req.IdentitySigningKeyID, req.IdentityTTL = minted.keyID, minted.ttl
	}
	if changesNode(req, n) {
		if req.NodeEvent == nil && n.Status == structs.NodeStatusDown && req.Status != structs.NodeStatusDown {
			req.NodeEvent = structs.NewNodeEvent(structs.NodeEventSubsystemCluster, structs.NodeHeartbeatBackEvent, c.now)
		}
		req.ForceIdentityRenewal = false
		applied, err := s.deps.Raft.Apply(structs.NodeUpdateStatusMsg, req)
		if minted != nil && errors.Is(err, structs.ErrRootKeyNotFound) {
			// As at registration: the key was deleted in between.
			if minted, err = s.mint(c, n); err != nil {
				return fmt.Errorf("failed to sign node identity claims: %w", err)
			}
			req.IdentitySigningKeyID, req.IdentityTTL = minted.keyID, minted.ttl
			applied, err = s.deps.Raft.Apply(structs.NodeUpdateStatusMsg, req)
		}
		if err != nil {
			return fmt.Errorf("update status of node %s: %w", req.NodeID, err)
		}
		reply.NodeModifyIndex, reply.Index = applied.Index, applied.Index
	} else if minted != nil {
		s.tellRenewed(c, n, minted)
	}
	if req.Status != structs.NodeStatusDown {
		if reply.HeartbeatTTL, err = s.deps.Heartbeats.Reset(req.NodeID); err != nil {
			return err
		}
	}
	s.fillUpdateReply(c, reply, n, minted)
	return nil
}

// tokenGrace is how long an identity must still be good for a heartbeat to succeed though its renewal failed.
const tokenGrace = 10 * time.Minute

// renew mints a new identity for a heartbeating node if it is time. A failure is the caller's only if its
// identity ends soon; otherwise a later heartbeat tries again.
func (s *Server) renew(c *Call, req *structs.NodeUpdateStatusRequest, n *structs.Node) (*identity, error) {
	if !s.mintsAtUpdateStatus(c, req, n) {
		return nil, nil
	}
	minted, err := s.mint(c, n)
	if err == nil {
		return minted, nil
	}
	if c.caller.Claims.ExpiresWithin(c.now, tokenGrace) {
		return nil, fmt.Errorf("failed to sign node identity claims: %w", err)
	}
	s.log.Warn("node identity not renewed, will try at its next heartbeat", "node_id", n.ID, "error", err)
	return nil, nil
}

// adjustStatus turns the status a node asks for into the one it gets.
func (s *Server) adjustStatus(c *Call, req *structs.NodeUpdateStatusRequest, n *structs.Node) error {
	if req.Status != structs.NodeStatusReady {
		return nil
	}
	switch n.Status {
	case structs.NodeStatusDisconnected:
		req.Status = structs.NodeStatusInit
	case structs.NodeStatusInit:
		pool, err := c.state().NodePoolByName(nil, n.NodePool)
		if err != nil {
			return fmt.Errorf("look up node pool %s: %w", n.NodePool, err)
		}
		if pool != nil {
			return nil
		}
		req.Status = structs.NodeStatusInit
		if !hasEvent(n, structs.NodeWaitingForPoolEvent) {
			e := structs.NewNodeEvent(structs.NodeEventSubsystemCluster, structs.NodeWaitingForPoolEvent, c.now)
			e.Details = map[string]string{"node_pool": n.NodePool}
			req.NodeEvent = e
		}
	}
	return nil
}

func hasEvent(n *structs.Node, message string) bool {
	for _, e := range n.Events {
		if e != nil && e.Message == message {
			return true
		}
	}
	return false
}

// changesNode reports whether the update has to go through Raft.
func changesNode(req *structs.NodeUpdateStatusRequest, n *structs.Node) bool {
	if req.Status != n.Status || req.NodeEvent != nil {
		return true
	}
	if req.IdentitySigningKeyID == "" || req.IdentitySigningKeyID == n.IdentitySigningKeyID && n.IdentityTTL <= 0 {
		return false // a TTL that is not known is longer than any
	}
	return req.IdentitySigningKeyID != n.IdentitySigningKeyID || req.IdentityTTL > n.IdentityTTL
}

// fillUpdateReply says what an agent needs to keep in touch.
func (s *Server) fillUpdateReply(c *Call, reply *structs.NodeUpdateResponse, n *structs.Node, minted *identity) {
	reply.Servers = s.deps.Cluster.Servers()
	reply.LeaderRPCAddr = s.deps.Leader.LeaderAddr()
	reply.NumNodes = int32(min(c.state().NodeCount(), 1<<31-1))
	reply.SchedulingEligibility = n.SchedulingEligibility
	if minted != nil {
		reply.SignedIdentity = &minted.token
	}
	reply.KnownLeader = true
}
