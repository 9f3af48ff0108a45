package server

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
	"github.com/hashicorp/serf/serf"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	autopilotUpdate    = 2 * time.Second
	autopilotReconcile = 10 * time.Second
	membershipTimeout  = 10 * time.Second
	reconcileInterval  = time.Minute
)

// pilot is what autopilot asks and tells the server.
type pilot struct{ s *Server }

var _ autopilot.ApplicationIntegration = pilot{}

func (p pilot) AutopilotConfig() *autopilot.Config {
	conf, err := p.s.fsm.State().AutopilotConfig(nil)
	if err != nil || conf == nil {
		return nil
	}
	return &autopilot.Config{
		CleanupDeadServers: conf.CleanupDeadServers, LastContactThreshold: conf.LastContactThreshold,
		MaxTrailingLogs: conf.MaxTrailingLogs, MinQuorum: uint(conf.MinQuorum),
		ServerStabilizationTime: conf.ServerStabilizationTime,
	}
}

func (p pilot) NotifyState(state *autopilot.State) {
	healthy := float32(0)
	if state.Healthy {
		healthy = 1
	}
	p.s.setGauge([]string{"autopilot", "healthy"}, healthy)
	p.s.setGauge([]string{"autopilot", "failure_tolerance"}, float32(state.FailureTolerance))
}

// FetchServerStats asks every server at the same time; one that does not answer in time is left out.
func (p pilot) FetchServerStats(ctx context.Context, servers map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	var mu sync.Mutex // guards out
	out := make(map[raft.ServerID]*autopilot.ServerStats, len(servers))
	var wg sync.WaitGroup
	for id, srv := range servers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			stats, err := p.s.fetchStats(ctx, id, string(srv.Address))
			if err != nil {
				p.s.log.Debug("server's Raft statistics not fetched", "server", srv.Name, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[id] = stats
		}()
	}
	wg.Wait()
	return out
}

func (s *Server) fetchStats(ctx context.Context, id raft.ServerID, addr string) (*autopilot.ServerStats, error) {
	reply := s.RaftStats()
	if id != raft.ServerID(s.id) {
		if err := s.pool.Call(ctx, addr, "Status.RaftStats", &structs.GenericRequest{}, reply); err != nil {
			return nil, err
		}
	}
	stats := &autopilot.ServerStats{LastContact: -1, LastTerm: reply.LastTerm, LastIndex: reply.LastIndex}
	if reply.LastContact != neverContacted {
		d, err := time.ParseDuration(reply.LastContact)
		if err != nil {
			return nil, fmt.Errorf("last contact %q: %w", reply.LastContact, err)
		}
		stats.LastContact = d
	}
	return stats, nil
}

func (p pilot) KnownServers() map[raft.ServerID]*autopilot.Server {
	_, leader := p.s.raft.LeaderWithID()
	out := map[raft.ServerID]*autopilot.Server{}
	for _, m := range p.s.gossip.serf.Members() {
		srv, err := parsePeer(m)
		if err != nil || srv.Region != p.s.cfg.Region {
			continue
		}
		a := &autopilot.Server{
			ID: raft.ServerID(srv.ID), Name: srv.Name, Address: srv.raftAddr(), Version: srv.Build.String(),
			RaftVersion: raftProtocol, IsLeader: raft.ServerID(srv.ID) == leader, NodeType: autopilot.NodeVoter,
			NodeStatus: nodeStatus(srv.Status),
		}
		out[a.ID] = a
	}
	return out
}

func nodeStatus(st serf.MemberStatus) autopilot.NodeStatus {
	switch st {
	case serf.StatusAlive:
		return autopilot.NodeAlive
	case serf.StatusFailed:
		return autopilot.NodeFailed
	case serf.StatusLeft, serf.StatusLeaving:
		return autopilot.NodeLeft
	}
	return autopilot.NodeUnknown
}

// RemoveFailedServer takes a dead server out of the gossip pool, which takes it out of Raft.
func (p pilot) RemoveFailedServer(srv *autopilot.Server) {
	p.s.tasks.run(func() {
		if err := p.s.gossip.serf.RemoveFailedNode(srv.Name); err != nil {
			p.s.log.Error("dead server not removed", "server", srv.Name, "error", err)
		}
	})
}

// promoter is the library's, which promotes servers once they are stable, without those that never vote.
type promoter struct {
	autopilot.Promoter
	s *Server
}

func (p promoter) CalculatePromotionsAndDemotions(c *autopilot.Config, st *autopilot.State) autopilot.RaftChanges {
	changes := p.Promoter.CalculatePromotionsAndDemotions(c, st)
	changes.Promotions = slices.DeleteFunc(changes.Promotions, func(id raft.ServerID) bool {
		peer := p.s.gossip.byID(string(id))
		return peer != nil && peer.NonVoter
	})
	return changes
}

func (g *gossip) byID(id string) *peer {
	for _, p := range g.current.Load().peers {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// reconcileLoop keeps Raft's configuration in step with the gossip pool while this server leads.
func (s *Server) reconcileLoop(ctx context.Context) {
	for {
		if err := s.reconcileMembers(); err != nil {
			s.log.Error("Raft's configuration not brought in step with the members", "error", err)
		}
		if err := s.reconcileFeatures(); err != nil {
			s.log.Error("features not brought in step with the members", "error", err)
		}
		t := time.NewTimer(reconcileInterval)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-s.reconcile:
		case <-t.C:
		}
		t.Stop()
	}
}

// reconcileMembers adds live servers that Raft does not know, or knows under another address, and removes those
// that have left. Servers that failed stay: they may come back, and autopilot removes them when it is safe.
func (s *Server) reconcileMembers() error {
	f := s.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return fmt.Errorf("read Raft configuration: %w", err)
	}
	known := map[string]raft.Server{}
	for _, srv := range f.Configuration().Servers {
		known[string(srv.ID)] = srv
	}
	if err := s.reconcileSelf(known[s.id]); err != nil {
		s.log.Error("this server's own address not brought in step with Raft", "error", err)
	}
	for _, m := range s.gossip.serf.Members() {
		p, err := parsePeer(m)
		if err != nil || p.Region != s.cfg.Region || p.ID == s.id {
			continue
		}
		if err := s.reconcileMember(p, known); err != nil {
			s.log.Error("member not brought in step with Raft", "member", p.Name, "error", err)
		}
	}
	return nil
}

// reconcileSelf tells Raft where this server is reached, if that has changed: it votes by its ID, and leads under an
// address at which nobody would find it after the next election.
func (s *Server) reconcileSelf(have raft.Server) error {
	addr := raft.ServerAddress(s.cfg.RPCAdvertise)
	if have.Suffrage != raft.Voter || have.ID == "" || have.Address == addr {
		return nil
	}
	s.log.Info("this server has moved", "from", have.Address, "to", addr)
	return s.raft.AddVoter(have.ID, addr, 0, membershipTimeout).Error()
}

func (s *Server) reconcileMember(p *peer, known map[string]raft.Server) error {
	have, isKnown := known[p.ID]
	switch p.Status {
	case serf.StatusAlive:
		if isKnown && have.Address == p.raftAddr() {
			return nil
		}
		if !isKnown {
			if err := s.admit(p); err != nil {
				return fmt.Errorf("not added to Raft: %w", err)
			}
		}
		for id, other := range known {
			// A server that lost its data comes back at the same address under a new ID.
			if other.Address == p.raftAddr() && id != p.ID {
				s.log.Info("removing a server whose address another has taken", "id", id, "address", other.Address)
				if err := s.raft.RemoveServer(raft.ServerID(id), 0, membershipTimeout).Error(); err != nil {
					return fmt.Errorf("remove server %s: %w", id, err)
				}
			}
		}
		s.log.Info("adding a server to Raft", "server", p.Name, "address", p.Addr)
		if isKnown && have.Suffrage == raft.Voter {
			return s.raft.AddVoter(raft.ServerID(p.ID), p.raftAddr(), 0, membershipTimeout).Error()
		}
		return s.raft.AddNonvoter(raft.ServerID(p.ID), p.raftAddr(), 0, membershipTimeout).Error()
	case serf.StatusLeft:
		if !isKnown || have.Address != p.raftAddr() {
			return nil
		}
		s.log.Info("removing a server that left from Raft", "server", p.Name)
		return s.raft.RemoveServer(raft.ServerID(p.ID), 0, membershipTimeout).Error()
	}
	return nil
}

// AutopilotHealth is autopilot's latest view; there is one on the leader only.
func (s *Server) AutopilotHealth() (*structs.OperatorHealthReply, error) {
	state := s.autopilot.GetState()
	if state == nil {
		return nil, structs.Coded(http.StatusServiceUnavailable, "autopilot has not looked at the servers yet, try again in a few seconds")
	}
	out := &structs.OperatorHealthReply{
		Healthy: state.Healthy, FailureTolerance: state.FailureTolerance, Leader: string(state.Leader),
		Servers: []structs.ServerHealth{}, Voters: []string{},
	}
	for _, v := range state.Voters {
		out.Voters = append(out.Voters, string(v))
	}
	for _, srv := range state.Servers {
		out.Servers = append(out.Servers, structs.ServerHealth{
			ID: string(srv.Server.ID), Name: srv.Server.Name, Address: string(srv.Server.Address),
			SerfStatus: string(srv.Server.NodeStatus), Version: srv.Server.Version, Leader: srv.State == autopilot.RaftLeader,
			LastContact: srv.Stats.LastContact, LastTerm: srv.Stats.LastTerm, LastIndex: srv.Stats.LastIndex,
			Healthy: srv.Health.Healthy, Voter: srv.HasVotingRights(), StableSince: srv.Health.StableSince.UTC(),
		})
	}
	slices.SortFunc(out.Servers, func(a, b structs.ServerHealth) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}
