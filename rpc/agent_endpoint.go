package rpc

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/rollcall-id/rollcall/host"
	"github.com/rollcall-id/rollcall/structs"
)

// maxNodeSeconds bounds a profile of a node, which must answer within Config.NodeTimeout.
const maxNodeSeconds = 5

func (s *Server) registerAgentMethods() {
	handle(s, Spec{Name: "Agent.Host", Route: RouteLocal}, s.agentHost)
	handle(s, Spec{Name: "Agent.Profile", Route: RouteLocal}, s.agentProfile)
}

func (s *Server) agentHost(c *Call, req *structs.AgentRequest, reply *structs.AgentHostResponse) error {
	if done, err := s.passOn(c, req, req, reply); done {
		return err
	}
	reply.AgentID, reply.HostData = s.cfg.NodeName, host.Describe()
	return nil
}

func (s *Server) agentProfile(c *Call, req *structs.AgentProfileRequest, reply *structs.AgentProfileResponse) error {
	if err := host.CheckProfile(req); err != nil {
		return err
	}
	if req.NodeID != "" && req.Seconds > maxNodeSeconds {
		return structs.Coded(http.StatusBadRequest, "Invalid seconds: a profile of a node runs for at most %d", maxNodeSeconds)
	}
	if done, err := s.passOn(c, req, req.Agent(), reply); done {
		return err
	}
	// With ACLs on, the caller has shown that it may.
	if !s.cfg.EnableDebug && !s.cfg.ACL.Enabled {
		return host.ErrProfilesOff
	}
	s.log.Info("taking a profile of this server", "kind", req.Kind, "seconds", req.Seconds)
	out, err := host.Profile(c.ctx, req, host.MaxProfileBytes)
	if err != nil {
		return err
	}
	*reply = *out
	reply.AgentID = s.cfg.NodeName
	return nil
}

// passOn brings a question for another agent to it; done says that this server is not the one to answer.
func (s *Server) passOn(c *Call, req structs.RPCRequest, asked *structs.AgentRequest, reply any) (done bool, err error) {
	switch {
	case asked.ServerID != "" && asked.NodeID != "":
		return true, structs.Coded(http.StatusBadRequest, "give server_id or node_id, not both")
	case asked.NodeID != "":
		return true, s.callNode(c, asked.NodeID, req, reply)
	case asked.ServerID != "":
		addr, err := s.serverAddr(asked.ServerID)
		var coded *structs.CodedError
		switch {
		case errors.As(err, &coded) || addr != "" && c.cameForwarded: // whoever sent it took this one for it
			return true, unknownServer(c.method.Name, asked.ServerID)
		case err != nil || addr == "":
			return err != nil, err
		}
		req.SetToken(c.token)
		return true, s.call(c, addr, req, reply)
	case asked.Region != "" && asked.Region != s.cfg.Region:
		req.SetToken(c.token)
		return true, s.forwardRegion(c, asked.Region, req, reply)
	}
	return false, nil
}

// unknownServer is the error by which clients know that there is no such server. The compatible API has it as a 500 where it
// takes a server's ID, and its SDK's tests want that; where only ours does it is a 404, as for every other ID.
func unknownServer(method, id string) error {
	err := fmt.Errorf("unknown Nomad server %s", id)
	if method == "Agent.Host" || method == "Agent.Profile" {
		return err
	}
	return structs.Coded(http.StatusNotFound, "%w", err)
}
