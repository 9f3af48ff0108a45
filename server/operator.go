package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/structs"
)

// neverContacted is what a server says that has heard of no leader yet.
const neverContacted = "never"

var _ rpc.Operator = (*Server)(nil)

// RaftConfiguration lists the servers of Raft with their names from the gossip pool.
func (s *Server) RaftConfiguration() (*structs.RaftConfigurationResponse, error) {
	f := s.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, err
	}
	_, leader := s.raft.LeaderWithID()
	out := &structs.RaftConfigurationResponse{Index: f.Index(), Servers: []*structs.RaftServer{}}
	for _, srv := range f.Configuration().Servers {
		r := &structs.RaftServer{
			ID: string(srv.ID), Node: "(unknown)", Address: string(srv.Address), Leader: srv.ID == leader,
			Voter: srv.Suffrage == raft.Voter, RaftProtocol: "unknown",
		}
		if p := s.gossip.byID(r.ID); p != nil {
			r.Node, r.RaftProtocol = p.Name, strconv.Itoa(raftProtocol)
		}
		out.Servers = append(out.Servers, r)
	}
	return out, nil
}

// RaftPeers lists the addresses of Raft's servers.
func (s *Server) RaftPeers() ([]string, error) {
	f := s.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, fmt.Errorf("read Raft configuration: %w", err)
	}
	peers := []string{}
	for _, srv := range f.Configuration().Servers {
		peers = append(peers, string(srv.Address))
	}
	return peers, nil
}

// RaftStats says how far this server's log has come.
func (s *Server) RaftStats() *structs.RaftStatsResponse {
	out := &structs.RaftStatsResponse{LastContact: "0s", LastIndex: s.raft.LastIndex()}
	out.LastTerm, _ = strconv.ParseUint(s.raft.Stats()["last_log_term"], 10, 64)
	if s.raft.State() != raft.Leader {
		out.LastContact = neverContacted
		if last := s.raft.LastContact(); !last.IsZero() {
			out.LastContact = time.Since(last).String()
		}
	}
	return out
}

// RemovePeer takes a server out of Raft.
func (s *Server) RemovePeer(id string) error {
	if err := s.raft.RemoveServer(raft.ServerID(id), 0, membershipTimeout).Error(); err != nil {
		return fmt.Errorf("remove Raft peer %s: %w", id, err)
	}
	return nil
}

// TransferLeadership hands leadership to the voter with the ID or address. Asking for the present leader
// changes nothing.
func (s *Server) TransferLeadership(id, address string) (*structs.LeadershipTransferResponse, error) {
	conf, err := s.RaftConfiguration()
	if err != nil {
		return nil, fmt.Errorf("read Raft configuration: %w", err)
	}
	out := &structs.LeadershipTransferResponse{}
	var target *structs.RaftServer
	for _, srv := range conf.Servers {
		if srv.Leader {
			out.From = structs.RaftIDAddress{ID: srv.ID, Address: srv.Address}
		}
		if id != "" && srv.ID == id || address != "" && srv.Address == address {
			target = srv
		}
	}
	switch {
	case target == nil:
		return nil, structs.Coded(http.StatusBadRequest, "no Raft peer has the id or address %q", id+address)
	case !target.Voter:
		return nil, structs.Coded(http.StatusBadRequest, "Raft peer %s does not vote and can't lead", target.ID)
	}
	out.To = structs.RaftIDAddress{ID: target.ID, Address: target.Address}
	if target.Leader {
		out.Noop = true
		return out, nil
	}
	err = s.handOver(func() raft.Future {
		return s.raft.LeadershipTransferToServer(raft.ServerID(target.ID), raft.ServerAddress(target.Address))
	})
	if err != nil {
		return nil, fmt.Errorf("transfer leadership to %s: %w", target.Address, err)
	}
	return out, nil
}

// handOver gives leadership away. The next leader may win its election before this server notices, so nothing is
// taken for granted meanwhile, nor while one that was told to may yet try.
func (s *Server) handOver(transfer func() raft.Future) error {
	over := s.lease.handover()
	defer over()
	err := transfer().Error()
	if err != nil {
		_ = pause(s.ctx, s.raftConf.ElectionTimeout) // that the server stops is no news to the caller
	}
	return err
}

// CollectGarbage removes what is no longer needed, at once.
func (s *Server) CollectGarbage(ctx context.Context, nodeThreshold time.Duration) error {
	if err := s.collectNodesNow(nodeThreshold); err != nil {
		return err
	}
	return errors.Join(s.collectTokens(ctx), s.maintainKeys(ctx))
}
