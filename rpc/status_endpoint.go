package rpc

import (
	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerStatusMethods() {
	handle(s, Spec{Name: "Status.Ping", Route: RouteLocal},
		func(*Call, *structs.GenericRequest, *structs.Empty) error { return nil })
	handle(s, Spec{Name: "Status.Leader", Route: RouteLocal}, s.statusLeader)
	handle(s, Spec{Name: "Status.Peers", Route: RouteLocal}, s.statusPeers)
	handle(s, Spec{Name: "Status.Members", Route: RouteLocal}, s.statusMembers)
	handle(s, Spec{Name: "Status.RaftStats", Route: RouteLocal}, s.statusRaftStats)
	handle(s, Spec{Name: "Region.List", Route: RouteLocal}, s.regionList)
}

// elsewhere forwards a status question that names another region; an empty region means this one.
func (s *Server) elsewhere(c *Call, req *structs.GenericRequest, reply any) (bool, error) {
	if req.Region == "" || req.Region == s.cfg.Region {
		return false, nil
	}
	req.SetToken(c.token)
	return true, s.forwardRegion(c, req.Region, req, reply)
}

func (s *Server) statusLeader(c *Call, req *structs.GenericRequest, reply *string) error {
	if done, err := s.elsewhere(c, req, reply); done {
		return err
	}
	*reply = s.deps.Leader.LeaderAddr()
	return nil
}

func (s *Server) statusPeers(c *Call, req *structs.GenericRequest, reply *[]string) error {
	if done, err := s.elsewhere(c, req, reply); done {
		return err
	}
	peers, err := s.deps.Operator.RaftPeers()
	*reply = peers
	return err
}

func (s *Server) statusMembers(_ *Call, _ *structs.GenericRequest, reply *structs.ServerMembersResponse) error {
	reply.ServerName, reply.ServerRegion, reply.ServerDC = s.cfg.NodeName, s.cfg.Region, s.cfg.Datacenter
	reply.Members = s.deps.Cluster.Members()
	return nil
}

func (s *Server) statusRaftStats(_ *Call, _ *structs.GenericRequest, reply *structs.RaftStatsResponse) error {
	*reply = *s.deps.Operator.RaftStats()
	return nil
}

func (s *Server) regionList(_ *Call, _ *structs.GenericRequest, reply *[]string) error {
	*reply = s.deps.Cluster.Regions()
	return nil
}
