package rpc

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// maxEventsPerRequest bounds what an agent may write into its history at once.
const maxEventsPerRequest = 2 * structs.MaxNodeEvents

func (s *Server) registerNodeChangeMethods() {
	handle(s, Spec{Name: "Node.Deregister"}, s.nodeDeregister)
	handle(s, Spec{Name: "Node.BatchDeregister"}, s.nodeBatchDeregister)
	handle(s, Spec{Name: "Node.UpdateDrain"}, s.nodeUpdateDrain)
	handle(s, Spec{Name: "Node.UpdateEligibility"}, s.nodeUpdateEligibility)
	handle(s, Spec{Name: "Node.EmitEvents"}, s.nodeEmitEvents)
	handle(s, Spec{Name: "Node.Evaluate"}, s.nodeEvaluate)
}

// node returns the named node or the error that there is none.
func (c *Call) node(id string) (*structs.Node, error) {
	if id == "" {
		return nil, structs.Coded(http.StatusBadRequest, "missing node ID")
	}
	n, err := c.state().NodeByID(nil, id)
	if err != nil {
		return nil, fmt.Errorf("look up node %s: %w", id, err)
	}
	if n == nil {
		return nil, structs.ErrNodeNotFound
	}
	return n, nil
}

func (s *Server) nodeDeregister(c *Call, req *structs.NodeDeregisterRequest, reply *structs.NodeUpdateResponse) error {
	if _, err := c.node(req.NodeID); err != nil {
		return err
	}
	applied, err := s.deps.Raft.Apply(structs.NodeDeregisterMsg, req)
	if err != nil {
		return fmt.Errorf("deregister node %s: %w", req.NodeID, err)
	}
	s.deps.Heartbeats.Clear(req.NodeID)
	reply.NodeModifyIndex, reply.Index = applied.Index, applied.Index
	return nil
}

func (s *Server) nodeBatchDeregister(_ *Call, req *structs.NodeBatchDeregisterRequest, reply *structs.NodeUpdateResponse) error {
	switch n := len(req.NodeIDs); {
	case n == 0:
		return structs.Coded(http.StatusBadRequest, "missing node IDs")
	case n > structs.MaxNodesPerDeregister:
		return structs.Coded(http.StatusBadRequest, "%d node IDs are more than the %d that one request may name", n, structs.MaxNodesPerDeregister)
	}
	applied, err := s.deps.Raft.Apply(structs.NodeBatchDeregisterMsg, req)
	if err != nil {
		return fmt.Errorf("deregister %d nodes: %w", len(req.NodeIDs), err)
	}
	s.deps.Heartbeats.Clear(req.NodeIDs...)
	reply.NodeModifyIndex, reply.Index = applied.Index, applied.Index
	return nil
}

// nodeUpdateDrain starts, changes or ends a node's drain. One that was started the leader completes in a moment, as no
// allocations have to leave the node.
func (s *Server) nodeUpdateDrain(c *Call, req *structs.NodeUpdateDrainRequest, reply *structs.NodeChangeResponse) error {
	n, err := c.node(req.NodeID)
	if err != nil {
		return err
	}
	if req.NodeEvent != nil {
		return structs.Coded(http.StatusBadRequest, "node event must not be set")
	}
	message := structs.NodeDrainDisabledEvent
	if d := req.DrainStrategy.Copy(); d != nil {
		req.DrainStrategy = d // the caller's is left as it is
		message = structs.NodeDrainSetEvent
		d.StartedAt = c.now.UTC()
		if n.DrainStrategy != nil {
			message, d.StartedAt = structs.NodeDrainUpdatedEvent, n.DrainStrategy.StartedAt
		}
		d.ForceDeadline = forceDeadline(c.now, d.Deadline)
	} else if n.DrainStrategy == nil && !req.MarkEligible {
		return nil // there is nothing to end
	}
	req.UpdatedAt = c.now.Unix()
	req.UpdatedBy = "" // who it was is not the caller's to say
	req.NodeEvent = structs.NewNodeEvent(structs.NodeEventSubsystemDrain, message, c.now)
	applied, err := s.deps.Raft.Apply(structs.NodeUpdateDrainMsg, req)
	if err != nil {
		return fmt.Errorf("update drain of node %s: %w", req.NodeID, err)
	}
	if req.DrainStrategy != nil {
		s.deps.Drains.Begun(req.NodeID)
	}
	reply.NodeModifyIndex, reply.Index = applied.Index, applied.Index
	return nil
}

// forceDeadline is when a drain stops waiting: after d, at once for a negative d, never for 0.
func forceDeadline(now time.Time, d time.Duration) time.Time {
	switch {
	case d > 0:
		return now.Add(d).UTC()
	case d < 0:
		return now.UTC()
	}
	return time.Time{}
}

func (s *Server) nodeUpdateEligibility(c *Call, req *structs.NodeUpdateEligibilityRequest, reply *structs.NodeChangeResponse) error {
	n, err := c.node(req.NodeID)
	if err != nil {
		return err
	}
	if req.NodeEvent != nil {
		return structs.Coded(http.StatusBadRequest, "node event must not be set")
	}
	message := structs.NodeEligibleEvent
	switch req.Eligibility {
	case structs.NodeEligible:
		if n.DrainStrategy != nil {
			return structs.Coded(http.StatusBadRequest, "can not set node's scheduling eligibility to eligible while it is draining")
		}
	case structs.NodeIneligible:
		message = structs.NodeIneligibleEvent
	default:
		return structs.Coded(http.StatusBadRequest, "invalid scheduling eligibility %q: want %q or %q", req.Eligibility, structs.NodeEligible, structs.NodeIneligible)
	}
	if n.SchedulingEligibility == req.Eligibility {
		return nil
	}
	req.UpdatedAt = c.now.Unix()
	req.NodeEvent = structs.NewNodeEvent(structs.NodeEventSubsystemCluster, message, c.now)
	applied, err := s.deps.Raft.Apply(structs.NodeUpdateEligibilityMsg, req)
	if err != nil {
		return fmt.Errorf("update eligibility of node %s: %w", req.NodeID, err)
	}
	reply.NodeModifyIndex, reply.Index = applied.Index, applied.Index
	return nil
}

func (s *Server) nodeEmitEvents(c *Call, req *structs.EmitNodeEventsRequest, reply *structs.GenericResponse) error {
	ids := slices.Sorted(maps.Keys(req.NodeEvents))
	if len(ids) == 0 {
		return structs.Coded(http.StatusBadRequest, "no node events given")
	}
	for _, id := range ids {
		events := req.NodeEvents[id]
		if len(events) > maxEventsPerRequest {
			return structs.Coded(http.StatusBadRequest, "%d events for node %s are more than the %d that one request may carry", len(events), id, maxEventsPerRequest)
		}
		for _, e := range events {
			if e == nil || e.Message == "" {
				return structs.Coded(http.StatusBadRequest, "node %s: an event has no message", id)
			}
		}
		if _, err := c.node(id); err != nil {
			return err
		}
	}
	applied, err := s.deps.Raft.Apply(structs.UpsertNodeEventsMsg, req)
	if err != nil {
		return fmt.Errorf("store node events: %w", err)
	}
	reply.Index = applied.Index
	return nil
}

// nodeEvaluate is the request to look at a node's work again. Without work there is nothing to write; it
// answers as a cluster without jobs does.
func (s *Server) nodeEvaluate(c *Call, req *structs.NodeEvaluateRequest, reply *structs.NodeUpdateResponse) error {
	n, err := c.node(req.NodeID)
	if err != nil {
		return err
	}
	reply.NodeModifyIndex, reply.Index = n.ModifyIndex, n.ModifyIndex
	return nil
}
