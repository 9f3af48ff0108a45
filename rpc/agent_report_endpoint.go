package rpc

import (
	"github.com/rollcall-id/rollcall/host"
	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerAgentReportMethods() {
	handle(s, Spec{Name: "Agent.Self", Route: RouteLocal}, s.agentSelf)
	handle(s, Spec{Name: "Agent.Metrics", Route: RouteLocal}, s.agentMetrics)
}

func (s *Server) agentSelf(c *Call, req *structs.AgentRequest, reply *structs.AgentReportResponse) error {
	return s.agentReport(c, req, reply, host.Reports.Self)
}

func (s *Server) agentMetrics(c *Call, req *structs.AgentRequest, reply *structs.AgentReportResponse) error {
	return s.agentReport(c, req, reply, host.Reports.Metrics)
}

// agentReport answers with what take tells of this agent, or passes the question on to the one that is meant.
func (s *Server) agentReport(c *Call, req *structs.AgentRequest, reply *structs.AgentReportResponse, take func(host.Reports) ([]byte, error)) error {
	if done, err := s.passOn(c, req, req, reply); done {
		return err
	}
	out, err := host.Report(s.deps.Reports, take, host.MaxReportBytes)
	if err != nil {
		return err
	}
	*reply = *out
	reply.AgentID = s.cfg.NodeName
	return nil
}
