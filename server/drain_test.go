package server

import (
	"fmt"
	"testing"

	"github.com/rollcall-id/rollcall/structs"
)

// A drain that begins is complete in a moment; one that a leader finds open, too.
func TestDrainsAreCompleted(t *testing.T) {
	s := start(t, testConfig(t, "s1", 1))
	waitLeader(t, s)
	pool, n := newPool(t), testNode()
	reply := register(t, pool, s.RPCAddr(), n, "")
	if reply.SignedIdentity == nil {
		t.Fatal("the node got no identity")
	}
	complete := func() error {
		got, err := s.fsm.State().NodeByID(nil, n.ID)
		switch {
		case err != nil:
			return err
		case got.DrainStrategy != nil || got.LastDrain == nil || got.LastDrain.Status != structs.DrainStatusComplete:
			return fmt.Errorf("the drain is %+v, the last one %+v", got.DrainStrategy, got.LastDrain)
		case got.SchedulingEligibility != structs.NodeIneligible || got.Events[len(got.Events)-1].Message != "Node drain complete":
			return fmt.Errorf("%s, last event %+v", got.SchedulingEligibility, got.Events[len(got.Events)-1])
		}
		return nil
	}
	req := &structs.NodeUpdateDrainRequest{NodeID: n.ID, DrainStrategy: &structs.DrainStrategy{}}
	req.Region = testRegion
	if err := s.RPC(t.Context(), "Node.UpdateDrain", req, new(structs.NodeChangeResponse)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the drain is complete", complete)

	// As a restore brings it: nobody has told the leader.
	req.UpdatedAt = 7
	if _, err := (applier{s}).Apply(structs.NodeUpdateDrainMsg, req); err != nil {
		t.Fatal(err)
	}
	if err := complete(); err == nil {
		t.Fatal("the second drain did not begin")
	}
	if err := s.completeOpenDrains(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := complete(); err != nil {
		t.Error(err)
	}
}
