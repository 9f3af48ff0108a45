package state

import (
	"fmt"
	"maps"
	"slices"

	"github.com/rollcall-id/rollcall/structs"
)

// drainChange is what a command asks of one node's drain.
type drainChange struct {
	strategy     *structs.DrainStrategy // nil ends the drain
	markEligible bool
	event        *structs.NodeEvent
	updatedAt    int64
	meta         map[string]string
	updatedBy    string
	// endStatus is what a drain that ends here has become: batches are written when drains complete, single
	// commands when an operator cancels one.
	endStatus string
}

// UpdateNodeDrain starts, changes or cancels a node's drain (message type 3).
//
// Errors: structs.ErrNodeNotFound.
func (t *Txn) UpdateNodeDrain(index uint64, req *structs.NodeUpdateDrainRequest) error {
	old, err := t.existingNode(req.NodeID)
	if err != nil {
		return fmt.Errorf("update drain: %w", err)
	}
	n := drained(old, index, drainChange{
		strategy: req.DrainStrategy, markEligible: req.MarkEligible, event: req.NodeEvent, updatedAt: req.UpdatedAt,
		meta: req.Meta, updatedBy: req.UpdatedBy, endStatus: structs.DrainStatusCanceled,
	})
	if err := t.setNode(old, n); err != nil {
		return err
	}
	t.emitNode(index, structs.EventNodeDrain, n)
	return t.touch(index, TableNodes)
}

// BatchUpdateNodeDrain changes the drains of all of the nodes, or of none (message type 29).
//
// Errors: structs.ErrNodeNotFound when one of them does not exist.
func (t *Txn) BatchUpdateNodeDrain(index uint64, req *structs.BatchNodeUpdateDrainRequest) error {
	ids := slices.Sorted(maps.Keys(req.Updates))
	olds := make([]*nodeRow, len(ids))
	for i, id := range ids {
		var err error
		if olds[i], err = t.existingNode(id); err != nil {
			return fmt.Errorf("update drains: %w", err)
		}
		if req.Updates[id] == nil {
			return fmt.Errorf("update drains: node %s has no update", id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	for i, id := range ids {
		u := req.Updates[id]
		n := drained(olds[i], index, drainChange{
			strategy: u.DrainStrategy, markEligible: u.MarkEligible, event: req.NodeEvents[id], updatedAt: req.UpdatedAt,
			endStatus: structs.DrainStatusComplete,
		})
		if err := t.setNode(olds[i], n); err != nil {
			return err
		}
		t.emitNode(index, structs.EventNodeDrain, n)
	}
	return t.touch(index, TableNodes)
}

// drained returns the node after the change.
func drained(old *nodeRow, index uint64, c drainChange) *nodeRow {
	n := old.next()
	n.StatusUpdatedAt = c.updatedAt
	n.ModifyIndex = index
	n.DrainStrategy = c.strategy
	withEvent(n.Node, c.event, index)
	switch {
	case c.strategy != nil:
		n.SchedulingEligibility = structs.NodeIneligible
	case c.markEligible:
		n.SchedulingEligibility = structs.NodeEligible
	}
	n.LastDrain = lastDrain(old, c)
	return n
}

// lastDrain returns what is remembered of the node's last drain after the change. Where no drain goes on and none
// begins, that stays: who ends a drain that is over has not cancelled it.
func lastDrain(old *nodeRow, c drainChange) *structs.DrainMetadata {
	at := seconds(c.updatedAt)
	var d structs.DrainMetadata
	switch {
	case old.DrainStrategy == nil && c.strategy == nil:
		return old.LastDrain
	case old.DrainStrategy == nil:
		d.StartedAt = at
	case old.LastDrain != nil:
		d = *old.LastDrain
	default: // written before drains were remembered
		d.StartedAt = seconds(old.DrainStrategy.StartedAt.Unix())
	}
	d.UpdatedAt = at
	if len(c.meta) > 0 {
		d.Meta = c.meta
	}
	if c.updatedBy != "" {
		d.AccessorID = c.updatedBy
	}
	d.Status = c.endStatus
	if c.strategy != nil {
		d.Status = structs.DrainStatusDraining
	}
	return &d
}

// UpdateNodeEligibility sets whether work may be placed on a node (message type 28).
//
// Errors: structs.ErrNodeNotFound. A node that drains can't be made eligible.
func (t *Txn) UpdateNodeEligibility(index uint64, req *structs.NodeUpdateEligibilityRequest) error {
	old, err := t.existingNode(req.NodeID)
	if err != nil {
		return fmt.Errorf("update eligibility: %w", err)
	}
	switch req.Eligibility {
	case structs.NodeEligible, structs.NodeIneligible:
	default:
		return fmt.Errorf("update eligibility of node %s: invalid eligibility %q", req.NodeID, req.Eligibility)
	}
	if req.Eligibility == structs.NodeEligible && old.DrainStrategy != nil {
		return fmt.Errorf("update eligibility of node %s: it can't be made eligible while it drains", req.NodeID)
	}
	n := old.next()
	n.StatusUpdatedAt = req.UpdatedAt
	n.SchedulingEligibility = req.Eligibility
	n.ModifyIndex = index
	withEvent(n.Node, req.NodeEvent, index)
	if err := t.setNode(old, n); err != nil {
		return err
	}
	t.emitNode(index, structs.EventNodeEligibility, n)
	return t.touch(index, TableNodes)
}

// UpsertNodeEvents appends events to the nodes' histories, all of them or none (message type 25). It does not
// count as a modification of a node.
//
// Errors: structs.ErrNodeNotFound when one of the nodes does not exist.
func (t *Txn) UpsertNodeEvents(index uint64, events map[string][]*structs.NodeEvent) error {
	ids := slices.Sorted(maps.Keys(events))
	olds := make([]*nodeRow, len(ids))
	for i, id := range ids {
		var err error
		if olds[i], err = t.existingNode(id); err != nil {
			return fmt.Errorf("append node events: %w", err)
		}
		if slices.Contains(events[id], nil) {
			return fmt.Errorf("append node events: an event of node %s is missing", id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	for i, id := range ids {
		n := olds[i].next()
		for _, e := range events[id] {
			withEvent(n.Node, e, index)
		}
		if err := t.setNode(olds[i], n); err != nil {
			return err
		}
		t.emitNode(index, structs.EventNodeStream, n)
	}
	return t.touch(index, TableNodes)
}
