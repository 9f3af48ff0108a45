package replay

import (
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// tally counts entries, and what had to be brought up to date in them. The state machine applies them the same way
// whether that is counted or not.
type tally struct {
	types [256]TypeCount
	other [256]Count
	pools map[string]bool // that exist
	fills Backfills
}

func (t *tally) begin(s *state.Store) error {
	t.pools = map[string]bool{}
	pools, err := s.NodePools(nil)
	if err != nil {
		return fmt.Errorf("list node pools: %w", err)
	}
	for p := range pools {
		t.pools[p.Name] = true
	}
	return nil
}

func (t *tally) add(log *raft.Log, err error) {
	if log.Type != raft.LogCommand {
		t.other[log.Type].Entries++
		return
	}
	typ := messageType(log.Data)
	c := &t.types[typ]
	c.Entries++
	if err != nil {
		c.Failed++
		return
	}
	body := log.Data[1:]
	switch typ { // what decodes for the state machine decodes here
	case structs.NodeRegisterMsg:
		var req struct {
			Node           struct{ SecretID, NodePool string }
			CreateNodePool bool
		}
		if structs.Decode(body, &req) != nil {
			return
		}
		if req.Node.SecretID != "" {
			t.fills.LogSecrets++
		}
		if pool := req.Node.NodePool; req.CreateNodePool && pool != "" && !t.pools[pool] {
			t.pools[pool] = true
			t.fills.LogCreatedPools++
		}
	case structs.NodePoolUpsertMsg:
		var req struct {
			NodePools []struct {
				Name            string
				NodeIdentityTTL int64
			}
		}
		if structs.Decode(body, &req) != nil {
			return
		}
		for _, p := range req.NodePools {
			t.pools[p.Name] = true
			if p.NodeIdentityTTL == 0 {
				t.fills.LogPools++
			}
		}
	case structs.NodePoolDeleteMsg:
		var req struct{ Names []string }
		if structs.Decode(body, &req) != nil {
			return
		}
		for _, name := range req.Names {
			delete(t.pools, name)
		}
	}
}

// skip adds what a state machine has skipped.
func (t *tally) skip(skipped []fsm.SkippedCount) {
	for _, s := range skipped {
		t.types[s.Type].Skipped += s.Count
	}
}

// finish puts the counts into the result, by type number.
func (t *tally) finish(r *Result) {
	for n, c := range t.types {
		if c.Entries == 0 {
			continue
		}
		c.Number, c.Type = uint8(n), structs.MessageType(n).String()
		c.Skipped = min(c.Skipped, c.Entries-c.Failed-c.Undecodable) // one that failed had no part that it could do
		c.Applied = c.Entries - c.Failed - c.Undecodable - c.Skipped
		r.Types = append(r.Types, c)
	}
	for n, c := range t.other {
		if c.Entries > 0 {
			c.Number, c.Type = uint8(n), logTypeName(raft.LogType(n))
			r.OtherLogTypes = append(r.OtherLogTypes, c)
		}
	}
	b := &r.Backfills
	b.LogPools, b.LogCreatedPools, b.LogSecrets = t.fills.LogPools, t.fills.LogCreatedPools, t.fills.LogSecrets
}
