package httpapi

import (
	"errors"
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

func getRaftConfiguration(c *call) (any, error) {
	var out structs.RaftConfigurationResponse
	if err := c.read("Operator.RaftGetConfiguration", &structs.GenericRequest{}, &out); err != nil {
		return nil, err
	}
	out.Servers = list(out.Servers)
	return &out, nil
}

func removeRaftPeer(c *call) (any, error) {
	id := c.query.Get("id")
	switch {
	case c.query.Has("address"):
		return nil, badRequest("address is not supported with Raft protocol 3; give the peer's id")
	case id == "":
		return nil, badRequest("Must specify the peer's ID to remove")
	}
	args := &structs.RaftPeerRequest{ID: id, WriteRequest: c.writeRequest()}
	return nil, c.call("Operator.RaftRemovePeerByID", args, &structs.Empty{})
}

// leadershipTransferJSON is the answer of a transfer. Err is always null: a failed one is an error answer.
type leadershipTransferJSON struct {
	From structs.RaftIDAddress
	To   structs.RaftIDAddress
	Noop bool
	Err  *struct{}
}

func transferLeadership(c *call) (any, error) {
	id, addr := c.query.Get("id"), c.query.Get("address")
	if (id == "") == (addr == "") {
		return nil, badRequest("give exactly one of id and address, the server that is to lead")
	}
	var out structs.LeadershipTransferResponse
	args := &structs.RaftPeerRequest{ID: id, Address: addr, WriteRequest: c.writeRequest()}
	err := c.call("Operator.TransferLeadershipToPeer", args, &out)
	if err == nil {
		err = out.Err
	}
	if errors.Is(err, structs.ErrNoLeader) {
		return nil, fail(http.StatusServiceUnavailable, "%s", err)
	}
	if err != nil {
		return nil, err
	}
	c.setIndex(out.Index)
	return leadershipTransferJSON{From: out.From, To: out.To, Noop: out.Noop}, nil
}

func getAutopilotConfiguration(c *call) (any, error) {
	var out structs.AutopilotConfig
	if err := c.read("Operator.AutopilotGetConfiguration", &structs.GenericRequest{}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

func setAutopilotConfiguration(c *call) (any, error) {
	args := &structs.AutopilotSetConfigRequest{Datacenter: c.cfg.Datacenter, WriteRequest: c.writeRequest()}
	index, cas, err := c.casIndex()
	if err != nil {
		return nil, err
	}
	if err := c.decode(&args.Config); err != nil {
		return nil, err
	}
	if err := args.Config.Validate(); err != nil {
		return nil, badRequest("%s", err)
	}
	if args.CAS = cas; cas {
		args.Config.ModifyIndex = index
	}
	var updated bool
	if err := c.call("Operator.AutopilotSetConfiguration", args, &updated); err != nil {
		return nil, err
	}
	return updated, nil
}

func getServerHealth(c *call) (any, error) {
	var out structs.OperatorHealthReply
	if err := c.read("Operator.ServerHealth", &structs.GenericRequest{}, &out); err != nil {
		return nil, err
	}
	out.Servers, out.Voters = list(out.Servers), list(out.Voters)
	if !out.Healthy {
		return &reply{code: http.StatusTooManyRequests, value: &out}, nil
	}
	return &out, nil
}

func getSchedulerConfiguration(c *call) (any, error) {
	var out structs.SchedulerConfigResponse
	if err := c.read("Operator.SchedulerGetConfiguration", &structs.GenericRequest{}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

func setSchedulerConfiguration(c *call) (any, error) {
	args := &structs.SchedulerSetConfigRequest{WriteRequest: c.writeRequest()}
	index, cas, err := c.casIndex()
	if err != nil {
		return nil, err
	}
	if err := c.decode(&args.Config); err != nil {
		return nil, err
	}
	if err := args.Config.Validate(); err != nil {
		return nil, badRequest("%s", err)
	}
	if args.CAS = cas; cas {
		args.Config.ModifyIndex = index
	}
	var out structs.SchedulerSetConfigResponse
	if err := c.call("Operator.SchedulerSetConfiguration", args, &out); err != nil {
		return nil, err
	}
	c.setIndex(out.Index)
	return &out, nil
}

// enterpriseOnly answers for what the compatible product keeps to its paid edition, as its free one does.
func enterpriseOnly(*call) (any, error) {
	return nil, fail(http.StatusNotImplemented, "Nomad Enterprise only endpoint")
}

// getLicense answers what a product without licences does.
func getLicense(*call) (any, error) { return &reply{code: http.StatusNoContent}, nil }

func getStateDigest(c *call) (any, error) {
	var out structs.StateDigest
	args := &structs.AgentRequest{}
	if err := c.agentNamed(args); err != nil {
		return nil, err
	}
	args.AllowStale = args.AllowStale || args.ServerID != "" // it is that server's own
	if err := c.call("Operator.StateDigest", args, &out); err != nil {
		return nil, err
	}
	return &out, nil
}
