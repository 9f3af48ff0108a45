package rpc

import (
	"fmt"
	"net/http"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerOperatorMethods() {
	handle(s, Spec{Name: "Operator.RaftGetConfiguration"}, s.raftGetConfiguration)
	handle(s, Spec{Name: "Operator.RaftRemovePeerByID"}, s.raftRemovePeer)
	handle(s, Spec{Name: "Operator.TransferLeadershipToPeer"}, s.transferLeadership)
	handle(s, Spec{Name: "Operator.AutopilotGetConfiguration"}, s.autopilotGet)
	handle(s, Spec{Name: "Operator.AutopilotSetConfiguration"}, s.autopilotSet)
	handle(s, Spec{Name: "Operator.ServerHealth"}, s.serverHealth)
	handle(s, Spec{Name: "Operator.StateDigest"}, s.stateDigest)
	handle(s, Spec{Name: "Operator.SchedulerGetConfiguration", Blocking: true}, s.schedulerGet)
	handle(s, Spec{Name: "Operator.SchedulerSetConfiguration"}, s.schedulerSet)
}

func (s *Server) raftGetConfiguration(_ *Call, _ *structs.GenericRequest, reply *structs.RaftConfigurationResponse) error {
	conf, err := s.deps.Operator.RaftConfiguration()
	if err != nil {
		return fmt.Errorf("read Raft configuration: %w", err)
	}
	*reply = *conf
	return nil
}

func (s *Server) raftRemovePeer(_ *Call, req *structs.RaftPeerRequest, _ *structs.Empty) error {
	if req.ID == "" {
		return structs.Coded(http.StatusBadRequest, "Must specify the peer's ID to remove")
	}
	conf, err := s.deps.Operator.RaftConfiguration()
	if err != nil {
		return fmt.Errorf("read Raft configuration: %w", err)
	}
	for _, peer := range conf.Servers {
		if peer.ID == req.ID {
			s.log.Warn("removing a Raft peer", "id", req.ID, "address", peer.Address)
			return s.deps.Operator.RemovePeer(req.ID)
		}
	}
	return structs.Coded(http.StatusNotFound, "id %q was not found in the Raft configuration", req.ID)
}

func (s *Server) transferLeadership(_ *Call, req *structs.RaftPeerRequest, reply *structs.LeadershipTransferResponse) error {
	if (req.ID == "") == (req.Address == "") {
		return structs.Coded(http.StatusBadRequest, "must specify either the peer's id or its address, not both")
	}
	out, err := s.deps.Operator.TransferLeadership(req.ID, req.Address)
	if err != nil {
		return err
	}
	*reply = *out
	return nil
}

func (s *Server) autopilotGet(c *Call, _ *structs.GenericRequest, reply *structs.AutopilotConfig) error {
	conf, err := c.state().AutopilotConfig(nil)
	if err != nil {
		return fmt.Errorf("read autopilot configuration: %w", err)
	}
	if conf == nil {
		return structs.Coded(http.StatusServiceUnavailable, "autopilot configuration not set yet")
	}
	*reply = *conf
	return nil
}

func (s *Server) autopilotSet(_ *Call, req *structs.AutopilotSetConfigRequest, reply *bool) error {
	if err := req.Config.Validate(); err != nil {
		return structs.Coded(http.StatusBadRequest, "invalid autopilot configuration: %w", err)
	}
	applied, err := s.deps.Raft.Apply(structs.AutopilotMsg, req)
	if err != nil {
		return fmt.Errorf("store autopilot configuration: %w", err)
	}
	*reply = true
	if done, ok := applied.Result.(bool); ok {
		*reply = done
	}
	return nil
}

func (s *Server) serverHealth(_ *Call, _ *structs.GenericRequest, reply *structs.OperatorHealthReply) error {
	health, err := s.deps.Operator.AutopilotHealth()
	if err != nil {
		return err
	}
	*reply = *health
	return nil
}

// stateDigest answers with the digest of the leader's state, or with stale of this server's or of the one that is named.
func (s *Server) stateDigest(c *Call, req *structs.AgentRequest, reply *structs.StateDigest) error {
	switch {
	case req.NodeID != "":
		return structs.Coded(http.StatusBadRequest, "a node has no replicated state; give server_id")
	case req.ServerID != "" && !req.AllowStale:
		return structs.Coded(http.StatusBadRequest, "the digest of one server may be stale; say stale")
	}
	if done, err := s.passOn(c, req, req, reply); done {
		return err
	}
	digest, err := s.deps.Operator.StateDigest()
	*reply = digest
	return err
}

func (s *Server) schedulerGet(c *Call, req *structs.GenericRequest, reply *structs.SchedulerConfigResponse) error {
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		conf, err := st.SchedulerConfig(ws)
		if err != nil {
			return 0, fmt.Errorf("read scheduler configuration: %w", err)
		}
		if conf == nil {
			reply.SchedulerConfig = structs.DefaultSchedulerConfiguration()
			return tableIndex(st, "scheduler_config")
		}
		reply.SchedulerConfig = conf
		return conf.ModifyIndex, nil
	})
}

func (s *Server) schedulerSet(_ *Call, req *structs.SchedulerSetConfigRequest, reply *structs.SchedulerSetConfigResponse) error {
	if err := req.Config.Validate(); err != nil {
		return structs.Coded(http.StatusBadRequest, "invalid scheduler configuration: %w", err)
	}
	applied, err := s.deps.Raft.Apply(structs.SchedulerConfigMsg, req)
	if err != nil {
		return fmt.Errorf("store scheduler configuration: %w", err)
	}
	reply.Updated, reply.Index = true, applied.Index
	if done, ok := applied.Result.(bool); ok {
		reply.Updated = done
	}
	return nil
}
