package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/rollcall-id/rollcall/host"
	"github.com/rollcall-id/rollcall/structs"
)

var _ host.Reports = (*HTTPServer)(nil)

type agentSelf struct {
	Config map[string]any               `json:"config"`
	Member *structs.ServerMember        `json:"member"`
	Stats  map[string]map[string]string `json:"stats"`
}

// Self is what /v1/agent/self answers, for agents that are asked by another one.
func (s *HTTPServer) Self() ([]byte, error) { return encodeJSON(s.self(), false) }

// Metrics is what /v1/metrics answers, for agents that are asked by another one.
func (s *HTTPServer) Metrics() ([]byte, error) {
	summary, err := s.metricsSummary()
	if err != nil {
		return nil, err
	}
	return encodeJSON(summary, false)
}

func (s *HTTPServer) self() *agentSelf {
	self := &agentSelf{Config: map[string]any{}, Stats: map[string]map[string]string{}}
	if s.cfg.AgentConfig != nil {
		maps.Copy(self.Config, s.cfg.AgentConfig())
	}
	// The public clients look for these spellings.
	self.Config["Region"], self.Config["Datacenter"], self.Config["NodeName"] = s.cfg.Region, s.cfg.Datacenter, s.cfg.NodeName
	if s.server != nil {
		self.Member = s.server.LocalMember()
		maps.Copy(self.Stats, s.server.Stats())
	}
	if s.client != nil {
		maps.Copy(self.Stats, s.client.Stats())
	}
	return self
}

func getAgent(c *call) (any, error) {
	return c.report("Agent.Self", func() (any, error) { return c.self(), nil })
}

// report answers with what own tells of this agent, or with what another one tells by method.
func (c *call) report(method string, own func() (any, error)) (any, error) {
	args, out := &structs.AgentRequest{}, &structs.AgentReportResponse{}
	if err := c.agentNamed(args); err != nil {
		return nil, err
	}
	if args.ServerID == "" && args.NodeID == "" && args.Region == c.cfg.Region {
		if err := c.mayHere(); err != nil {
			return nil, err
		}
		return own()
	}
	if err := c.call(method, args, out); err != nil {
		return nil, err
	}
	if !json.Valid(out.Report) {
		return nil, fmt.Errorf("agent %s tells about itself in something else than JSON", out.AgentID)
	}
	return json.RawMessage(out.Report), nil
}
