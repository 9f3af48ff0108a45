package state

import (
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// unresponsive reports whether a node of that status has missed its heartbeats.
func unresponsive(status string) bool {
	return status == structs.NodeStatusDown || status == structs.NodeStatusDisconnected
}

// seconds returns the time that a command carries as Unix seconds.
func seconds(t int64) time.Time { return time.Unix(t, 0).UTC() }

// withEvent appends a copy of e that is marked with the index at which it was written. n is the caller's copy.
func withEvent(n *structs.Node, e *structs.NodeEvent, index uint64) {
	if e == nil {
		return
	}
	c := *e
	c.CreateIndex = index
	n.AddEvent(&c)
}

// UpsertNode registers a node, or registers it again (message type 0). What belongs to the cluster rather than to
// the node stays as it is: events, eligibility, drain, indexes. The request is not changed.
//
// Errors: structs.ErrRootKeyNotFound when the node's identity was signed with a key that no longer exists.
func (t *Txn) UpsertNode(index uint64, req *structs.NodeRegisterRequest) error {
	if req.Node == nil || req.Node.ID == "" {
		return errors.New("register node: request has no node, or one without an ID")
	}
	n := newNodeRow(req.Node.ShallowCopy())
	n.Canonicalize()
	old, err := t.node(n.ID)
	if err != nil {
		return err
	}
	n.IdentityTTL, err = t.identityTTL(old, n.IdentitySigningKeyID, n.IdentityTTL)
	if err == nil && n.IdentitySigningKeyID != "" && req.Node.IdentityTTL > 0 {
		err = t.requireRootKey(n.IdentitySigningKeyID) // of ours, which name no key that is gone
	}
	if err != nil {
		return fmt.Errorf("register node %s: %w", n.ID, err)
	}
	var pool *structs.NodePool
	if req.CreateNodePool {
		if pool, err = t.missingPool(index, n.NodePool); err != nil {
			return err
		}
	}

	n.ModifyIndex = index
	if old == nil {
		n.CreateIndex = index
		n.Events = []*structs.NodeEvent{
			structs.NewNodeEvent(structs.NodeEventSubsystemCluster, structs.NodeRegisteredEvent, seconds(n.StatusUpdatedAt)),
		}
	} else {
		reregister(old, n, index)
	}
	if pool != nil {
		// The index entry of the table stays, as in every version that has written such a log.
		if err := t.insert(TableNodePools, pool); err != nil {
			return err
		}
	}
	if err := t.setNode(old, n); err != nil {
		return err
	}
	if pool != nil {
		t.emitNodePool(index, structs.EventNodePoolUpserted, pool)
	}
	t.emitNode(index, structs.EventNodeRegistration, n)
	if n.IdentitySigningKeyID != "" && (old == nil || old.IdentitySigningKeyID != n.IdentitySigningKeyID) {
		t.emitIdentity(index, old, n, req.Node.IdentityTTL)
	}
	return t.touch(index, TableNodes)
}

// reregister carries over to n what a registration doesn't change.
func reregister(old, n *nodeRow, index uint64) {
	n.ID = old.ID // the one that the indexes have
	n.CreateIndex = old.CreateIndex
	n.Events = old.Events
	n.SchedulingEligibility = old.SchedulingEligibility
	n.DrainStrategy = old.DrainStrategy
	n.LastDrain = old.LastDrain
	n.LastMissedHeartbeatIndex = max(old.LastMissedHeartbeatIndex, n.LastMissedHeartbeatIndex)
	n.LastAllocUpdateIndex = max(old.LastAllocUpdateIndex, n.LastAllocUpdateIndex)
	if unresponsive(n.Status) && !unresponsive(old.Status) {
		n.LastMissedHeartbeatIndex = index
	}
	if old.Status == structs.NodeStatusDown && n.Status != structs.NodeStatusDown {
		withEvent(n.Node, structs.NewNodeEvent(structs.NodeEventSubsystemCluster, structs.NodeReregisteredEvent, seconds(n.StatusUpdatedAt)), index)
	}
}

// identityTTL returns the TTL to keep for a node that is about to name keyID as its signing key with ttl. As long
// as the key stays the same the longest TTL counts, and one that is not known, which is longer than any. A new
// key must exist, or its deletion could overtake the identity that it signed.
func (t *Txn) identityTTL(old *nodeRow, keyID string, ttl time.Duration) (time.Duration, error) {
	ttl = max(ttl, 0)
	if keyID == "" {
		return ttl, nil
	}
	if old != nil && old.IdentitySigningKeyID == keyID {
		if ttl == 0 || old.IdentityTTL <= 0 {
			return 0, nil
		}
		return max(ttl, old.IdentityTTL), nil
	}
	return ttl, t.requireRootKey(keyID)
}

// requireRootKey returns structs.ErrRootKeyNotFound for a key that does not exist.
func (t *Txn) requireRootKey(keyID string) error {
	key, err := t.rootKey(keyID)
	if err == nil && key == nil {
		err = fmt.Errorf("identity signed with key %s: %w", keyID, structs.ErrRootKeyNotFound)
	}
	return err
}

// UpdateNodeStatus sets a node's status, and which key signed its identity if the request names one (message
// type 2). Only the fields that change are replaced, never the node's maps.
//
// Errors: structs.ErrNodeNotFound; structs.ErrRootKeyNotFound when the named key does not exist.
func (t *Txn) UpdateNodeStatus(index uint64, req *structs.NodeUpdateStatusRequest) error {
	old, err := t.existingNode(req.NodeID)
	if err != nil {
		return fmt.Errorf("update status: %w", err)
	}
	if !structs.ValidNodeStatus(req.Status) {
		return fmt.Errorf("update status of node %s: invalid status %q", req.NodeID, req.Status)
	}
	n := old.next()
	if req.IdentitySigningKeyID != "" {
		if req.IdentityTTL > 0 {
			// One of ours has just signed. A node that is down may have named this very key before without keeping it.
			if err := t.requireRootKey(req.IdentitySigningKeyID); err != nil {
				return fmt.Errorf("update status of node %s: %w", req.NodeID, err)
			}
		}
		n.IdentityTTL, err = t.identityTTL(old, req.IdentitySigningKeyID, req.IdentityTTL)
		if err != nil {
			return fmt.Errorf("update status of node %s: %w", req.NodeID, err)
		}
		n.IdentitySigningKeyID = req.IdentitySigningKeyID
	}
	n.Status = req.Status
	n.StatusUpdatedAt = req.UpdatedAt
	n.ModifyIndex = index
	withEvent(n.Node, req.NodeEvent, index)
	switch {
	case unresponsive(n.Status) && !unresponsive(old.Status):
		n.LastMissedHeartbeatIndex = index
	case n.Status == structs.NodeStatusReady && old.Status != structs.NodeStatusReady:
		n.LastMissedHeartbeatIndex = 0
	}
	if err := t.setNode(old, n); err != nil {
		return err
	}
	t.emitNode(index, structs.EventNodeStream, n)
	if req.IdentitySigningKeyID != "" {
		t.emitIdentity(index, old, n, req.IdentityTTL)
	}
	return t.touch(index, TableNodes)
}

// existingNode returns the node as the transaction sees it, or structs.ErrNodeNotFound.
func (t *Txn) existingNode(id string) (*nodeRow, error) {
	n, err := t.node(id)
	if err == nil && n == nil {
		err = fmt.Errorf("node %q: %w", id, structs.ErrNodeNotFound)
	}
	return n, err
}

// DeleteNodes deletes all of the nodes, or none (message types 1 and 31).
//
// Errors: structs.ErrNodeNotFound when one of them does not exist or is named twice.
func (t *Txn) DeleteNodes(index uint64, ids []string) error {
	if len(ids) == 0 {
		return errors.New("delete nodes: request names no node")
	}
	nodes := make([]*nodeRow, 0, len(ids))
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		n, err := t.existingNode(id)
		if err != nil {
			return fmt.Errorf("delete nodes: %w", err)
		}
		if seen[id] {
			return fmt.Errorf("delete nodes: node %q is named twice: %w", id, structs.ErrNodeNotFound)
		}
		seen[id] = true
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		if err := t.setNode(n, nil); err != nil {
			return err
		}
		t.emitNode(index, structs.EventNodeDeregistration, n)
	}
	return t.touch(index, TableNodes)
}
