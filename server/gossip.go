package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-version"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/raft"
	"github.com/hashicorp/serf/serf"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	gossipRole         = "nomad"    // what compatible servers call themselves
	versionTag         = "rollcall" // the tag by which servers of this project know each other, and their releases
	gossipEvents       = 512
	reconnectTimeout   = 72 * time.Hour
	leavePropagate     = time.Second
	bootstrapAskTries  = 6
	bootstrapAskPause  = time.Second
	bootstrapAskLimit  = 5 * time.Second
	bootstrapInterval  = 10 * time.Second
	localGossipTimeout = 500 * time.Millisecond
)

// peer is a server as its gossip tags describe it (wire.md §9).
type peer struct {
	Name     string // "<name>.<region>"
	ID       string
	Region   string
	DC       string
	Addr     string // ip:port for servers
	RPCAddr  string // ip:port for clients
	Build    *version.Version
	Version  *version.Version // of this project; nil for servers that are not ours
	Expect   int
	NonVoter bool
	Status   serf.MemberStatus
}

// parsePeer reads a member's tags; the error says which one is wrong.
func parsePeer(m serf.Member) (*peer, error) {
	if m.Tags["role"] != gossipRole {
		return nil, fmt.Errorf("member %q is not a server: its role is %q", m.Name, m.Tags["role"])
	}
	port, err := strconv.ParseUint(m.Tags["port"], 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("member %q has RPC port %q", m.Name, m.Tags["port"])
	}
	build, err := version.NewVersion(m.Tags["build"])
	if err != nil {
		return nil, fmt.Errorf("member %q has build %q: %w", m.Name, m.Tags["build"], err)
	}
	var own *version.Version
	if v := m.Tags[versionTag]; v != "" {
		if own, err = version.NewVersion(v); err != nil {
			return nil, fmt.Errorf("member %q has Rollcall version %q: %w", m.Name, v, err)
		}
	}
	p := &peer{
		Name: m.Name, ID: m.Tags["id"], Region: m.Tags["region"], DC: m.Tags["dc"], Build: build, Version: own, Status: m.Status,
		Addr:     net.JoinHostPort(m.Addr.String(), strconv.Itoa(int(port))),
		NonVoter: m.Tags["nonvoter"] != "",
	}
	p.RPCAddr = p.Addr
	if ip := m.Tags["rpc_addr"]; ip != "" {
		p.RPCAddr = net.JoinHostPort(ip, strconv.Itoa(int(port)))
	}
	if e := m.Tags["expect"]; e != "" {
		if p.Expect, err = strconv.Atoi(e); err != nil {
			return nil, fmt.Errorf("member %q expects %q servers", m.Name, e)
		}
	} else if m.Tags["bootstrap"] != "" {
		p.Expect = 1
	}
	return p, nil
}

func (p *peer) raftAddr() raft.ServerAddress { return raft.ServerAddress(p.Addr) }

// members is the cluster as gossip knew it at one moment. It is made anew at each change and never modified, so
// that a heartbeat's reply costs a pointer.
type members struct {
	servers []*structs.NodeServerInfo // live, own region
	peers   []*peer                   // own region, any status but left
	regions map[string][]string       // live servers' RPC addresses by region
}

// gossip is the pool of servers. It is safe for concurrent use.
type gossip struct {
	region  string
	self    *structs.NodeServerInfo
	log     hclog.Logger
	serf    *serf.Serf
	events  chan serf.Event
	current atomic.Pointer[members]
}

// onlyServers keeps whoever is not a server out of the pool.
type onlyServers struct{}

func (onlyServers) NotifyMerge(ms []*serf.Member) error {
	for _, m := range ms {
		if _, err := parsePeer(*m); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) startGossip() error {
	conf := serf.DefaultConfig()
	conf.Init()
	conf.NodeName = s.cfg.NodeName + "." + s.cfg.Region
	conf.Tags = s.gossipTags()
	if s.cfg.Gossip.Local {
		conf.MemberlistConfig = memberlist.DefaultLocalConfig()
		conf.MemberlistConfig.PushPullInterval = 10 * time.Second
		conf.MemberlistConfig.ProbeTimeout = localGossipTimeout
	} else {
		conf.MemberlistConfig = memberlist.DefaultWANConfig()
	}
	mc, g := conf.MemberlistConfig, s.cfg.Gossip
	mc.BindAddr, mc.BindPort = g.BindAddr, g.BindPort
	mc.AdvertiseAddr, mc.AdvertisePort = g.AdvertiseAddr, g.AdvertisePort
	var err error
	if mc.Keyring, err = s.gossipKeys(); err != nil {
		return err
	}
	conf.KeyringFile = s.gossipKeysPath()
	mc.MsgpackUseNewTimeFormat = true
	conf.MsgpackUseNewTimeFormat = true
	conf.EnableNameConflictResolution = false
	conf.LeavePropagateDelay = leavePropagate
	conf.ReconnectTimeout = reconnectTimeout
	conf.Merge = onlyServers{}
	conf.RejoinAfterLeave = true
	std := s.log.Named("gossip").StandardLogger(&hclog.StandardLoggerOptions{InferLevels: true})
	conf.Logger, mc.Logger = std, std
	if s.cfg.DataDir != "" {
		conf.SnapshotPath = filepath.Join(s.cfg.DataDir, "serf", "snapshot")
	}
	s.gossip.events = make(chan serf.Event, gossipEvents)
	conf.EventCh = s.gossip.events
	pool, err := serf.Create(conf)
	if err != nil {
		return fmt.Errorf("start gossip on %s: %w", net.JoinHostPort(g.BindAddr, strconv.Itoa(g.BindPort)), err)
	}
	s.gossip.serf = pool
	s.gossip.refresh()
	return nil
}

func (s *Server) gossipTags() map[string]string {
	host, port, _ := net.SplitHostPort(s.cfg.RPCAdvertise) // validated when the server was made
	tags := map[string]string{
		"role": gossipRole, "region": s.cfg.Region, "dc": s.cfg.Datacenter, "build": s.cfg.Build, "vsn": "1",
		"raft_vsn": strconv.Itoa(raftProtocol), "id": s.id, "rpc_addr": host, "port": port,
	}
	if s.cfg.Version != "" {
		tags[versionTag] = s.cfg.Version
	}
	if s.cfg.Revision != "" {
		tags["revision"] = s.cfg.Revision
	}
	if s.cfg.BootstrapExpect == 1 {
		tags["bootstrap"] = "1"
	}
	if s.cfg.BootstrapExpect > 0 {
		tags["expect"] = strconv.Itoa(s.cfg.BootstrapExpect)
	}
	if s.cfg.NonVoter {
		tags["nonvoter"] = "1"
	}
	return tags
}

// refresh makes the view anew from the pool's members.
func (g *gossip) refresh() { g.current.Store(g.view(g.serf.Members())) }

func (g *gossip) view(pool []serf.Member) *members {
	next := &members{regions: map[string][]string{}}
	for _, m := range pool {
		p, err := parsePeer(m)
		if err != nil {
			g.log.Warn("ignoring a member of the gossip pool", "error", err)
			continue
		}
		if m.Status == serf.StatusLeft || m.Status == serf.StatusNone {
			continue
		}
		alive := m.Status == serf.StatusAlive
		if alive {
			next.regions[p.Region] = append(next.regions[p.Region], p.RPCAddr)
		}
		if p.Region != g.region {
			continue
		}
		next.peers = append(next.peers, p)
		if alive {
			next.servers = append(next.servers, &structs.NodeServerInfo{RPCAdvertiseAddr: p.RPCAddr, Datacenter: p.DC})
		}
	}
	if len(next.servers) == 0 {
		next.servers = []*structs.NodeServerInfo{g.self}
	}
	slices.SortFunc(next.servers, func(a, b *structs.NodeServerInfo) int {
		return cmp.Compare(a.RPCAdvertiseAddr, b.RPCAdvertiseAddr)
	})
	for _, addrs := range next.regions {
		slices.Sort(addrs)
	}
	return next
}

// Servers, LocalPeers, RegionServers, Regions and Members are what endpoints ask, with what membership adds.

func (g *gossip) Servers() []*structs.NodeServerInfo { return g.current.Load().servers }

func (g *gossip) LocalPeers() []string {
	var out []string
	for _, p := range g.current.Load().peers {
		if p.Status == serf.StatusAlive && p.RPCAddr != g.self.RPCAdvertiseAddr {
			out = append(out, p.RPCAddr)
		}
	}
	return out
}

func (g *gossip) RegionServers(region string) []string { return g.current.Load().regions[region] }

func (g *gossip) Regions() []string {
	var out []string
	for r := range g.current.Load().regions {
		out = append(out, r)
	}
	slices.Sort(out)
	return out
}

func (g *gossip) Members() []*structs.ServerMember {
	ms := g.serf.Members()
	out := make([]*structs.ServerMember, len(ms))
	for i, m := range ms {
		out[i] = toServerMember(m)
	}
	own := g.serf.LocalMember().Name
	slices.SortFunc(out, func(a, b *structs.ServerMember) int {
		switch own { // tools take the second of two for the other one
		case a.Name:
			return -1
		case b.Name:
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return out
}

func toServerMember(m serf.Member) *structs.ServerMember {
	return &structs.ServerMember{
		Name: m.Name, Addr: m.Addr, Port: m.Port, Tags: m.Tags, Status: m.Status.String(),
		ProtocolMin: m.ProtocolMin, ProtocolMax: m.ProtocolMax, ProtocolCur: m.ProtocolCur,
		DelegateMin: m.DelegateMin, DelegateMax: m.DelegateMax, DelegateCur: m.DelegateCur,
	}
}

// watchGossip follows the pool until the server stops: it keeps the view current and says when it changed. It
// waits for nothing, since the pool stands still while nobody takes its events.
func (s *Server) watchGossip() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case e := <-s.gossip.events:
			if _, ok := e.(serf.MemberEvent); !ok {
				continue
			}
			s.gossip.refresh()
			for _, wake := range []chan struct{}{s.reconcile, s.membersSeen} {
				select {
				case wake <- struct{}{}:
				default: // one is due already
				}
			}
		}
	}
}

// formCluster looks, whenever members come or go and now and then, whether a new cluster can be formed, until
// there is one.
func (s *Server) formCluster() {
	t := time.NewTicker(bootstrapInterval)
	defer t.Stop()
	for !s.maybeBootstrap() {
		select {
		case <-s.ctx.Done():
			return
		case <-s.membersSeen:
		case <-t.C:
		}
	}
}

// maybeBootstrap forms the cluster once all the servers that it is to consist of are alive, unless there is one
// already. Every server decides alike from the same members, so that all write the same configuration. It
// reports whether nothing is left to do.
func (s *Server) maybeBootstrap() bool {
	has, err := raft.HasExistingState(s.stores.log, s.stores.stable, s.stores.snaps)
	if err != nil {
		s.log.Error("can't tell whether Raft has state", "error", err)
		return false
	}
	if has {
		return true
	}
	servers, others := s.founders()
	if len(servers) < s.cfg.BootstrapExpect {
		return false
	}
	for _, addr := range others {
		exists, err := s.askForCluster(addr)
		if err != nil {
			s.log.Warn("not forming a cluster yet: a server does not answer", "addr", addr, "error", err)
			return false
		}
		if exists {
			s.log.Info("a cluster exists already, waiting to be added to it", "known_by", addr)
			return true
		}
	}
	if err := s.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
		s.log.Error("cluster not formed", "error", err)
		return false
	}
	s.log.Info("forming a cluster", "servers", len(servers))
	return true
}

// founders are the live servers that a new cluster is formed of, by ID, and the addresses of all but this one;
// none while they disagree on how many they are to be.
func (s *Server) founders() (servers []raft.Server, others []string) {
	for _, p := range s.gossip.current.Load().peers {
		if p.NonVoter || p.Expect == 0 || p.Status != serf.StatusAlive {
			continue
		}
		if p.Expect != s.cfg.BootstrapExpect {
			s.log.Error("servers disagree on how many form the cluster", "member", p.Name, "expects", p.Expect, "bootstrap_expect", s.cfg.BootstrapExpect)
			return nil, nil
		}
		servers = append(servers, raft.Server{ID: raft.ServerID(p.ID), Address: p.raftAddr()})
		if p.ID != s.id {
			others = append(others, p.Addr)
		}
	}
	slices.SortFunc(servers, func(a, b raft.Server) int { return cmp.Compare(a.ID, b.ID) })
	return servers, others
}

// askForCluster asks a server whether it belongs to a cluster.
func (s *Server) askForCluster(addr string) (bool, error) {
	var err error
	for try := range bootstrapAskTries {
		var peers []string
		ctx, cancel := context.WithTimeout(s.ctx, bootstrapAskLimit)
		err = s.pool.Call(ctx, addr, "Status.Peers", &structs.GenericRequest{}, &peers)
		cancel()
		if err == nil {
			return len(peers) > 0, nil
		}
		if pause(s.ctx, bootstrapAskPause<<try) != nil {
			return false, s.ctx.Err()
		}
	}
	return false, err
}

// retryJoin joins the pool through the configured servers, trying until another than this one is in it: servers
// are often given one list that names them all, and to find oneself is no success. A server that forms its
// cluster alone may be the only one.
func (s *Server) retryJoin() {
	rj := s.cfg.RetryJoin
	for try := 1; ; try++ {
		n, err := s.gossip.serf.Join(rj.Addrs, true)
		if err == nil && s.gossip.serf.NumNodes() < 2 && s.cfg.BootstrapExpect != 1 {
			err = errors.New("only this server itself answers there")
		}
		if err == nil {
			s.log.Info("joined the gossip pool", "servers", n)
			return
		}
		if rj.MaxTries > 0 && try >= rj.MaxTries {
			s.fail(fmt.Errorf("join %s: giving up after %d tries: %w", strings.Join(rj.Addrs, ", "), try, err))
			return
		}
		s.log.Warn("could not join the gossip pool, trying again", "retry_in", rj.Interval, "error", err)
		if pause(s.ctx, rj.Interval) != nil {
			return
		}
	}
}
