package server

import (
	"context"
	"fmt"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	// drainQueue is how many drains may wait to be completed; those beyond are found by the next look at all nodes.
	drainQueue = 256
	// drainSweep is the time between two looks at all nodes, for drains that a restore brought or that did not fit.
	drainSweep = 5 * time.Minute
	// drainBatch is how many drains one command completes.
	drainBatch = 512
)

// drains are nodes whose drain began. Whoever began it sees it begin; then the leader completes it, since no work has to
// leave the node first. It is safe for concurrent use.
type drains chan string

// Begun tells of a node that drains. It does not wait.
func (d drains) Begun(nodeID string) {
	select {
	case d <- nodeID:
	default: // the sweep finds it
	}
}

// completeDrains completes drains until ctx ends, first those that were open when the term began.
func (s *Server) completeDrains(ctx context.Context) {
	sweep := time.NewTicker(drainSweep)
	defer sweep.Stop()
	for {
		if err := s.completeOpenDrains(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("drains not completed, trying again later", "error", err)
		}
		for again := false; !again; {
			select {
			case <-ctx.Done():
				return
			case <-sweep.C:
				again = true
			case id := <-s.drains:
				if err := s.completeDrain(id); err != nil && ctx.Err() == nil {
					s.log.Error("drain not completed, trying again later", "node_id", id, "error", err)
				}
			}
		}
	}
}

func (s *Server) completeDrain(id string) error {
	n, err := s.fsm.State().NodeByID(nil, id)
	if err != nil {
		return fmt.Errorf("look up node %s: %w", id, err)
	}
	if n == nil || n.DrainStrategy == nil {
		return nil // removed or ended meanwhile
	}
	return s.applyDrained([]string{id})
}

func (s *Server) completeOpenDrains(ctx context.Context) error {
	nodes, err := s.fsm.State().Nodes(nil)
	if err != nil {
		return fmt.Errorf("list nodes for their drains: %w", err)
	}
	var open []string
	for n := range nodes {
		if n.DrainStrategy != nil {
			open = append(open, n.ID)
		}
	}
	for len(open) > 0 && ctx.Err() == nil {
		batch := open[:min(len(open), drainBatch)]
		open = open[len(batch):]
		if err := s.applyDrained(batch); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) applyDrained(ids []string) error {
	now := s.cfg.Clock()
	req := &structs.BatchNodeUpdateDrainRequest{
		Updates: make(map[string]*structs.DrainUpdate, len(ids)), NodeEvents: make(map[string]*structs.NodeEvent, len(ids)), UpdatedAt: now.Unix(),
	}
	for _, id := range ids {
		req.Updates[id] = &structs.DrainUpdate{}
		req.NodeEvents[id] = structs.NewNodeEvent(structs.NodeEventSubsystemDrain, structs.NodeDrainCompleteEvent, now)
	}
	if _, err := (applier{s}).Apply(structs.BatchNodeUpdateDrainMsg, req); err != nil {
		return fmt.Errorf("complete %d drains: %w", len(ids), err)
	}
	return nil
}
