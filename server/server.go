package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
	"github.com/hashicorp/serf/serf"

	"github.com/rollcall-id/rollcall/events"
	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// Server is one running server.
type Server struct {
	cfg Config
	log hclog.Logger
	id  string // Raft server ID

	fsm        *fsm.FSM
	events     *events.Broker // nil: disabled
	keyring    *keyring.Keyring
	endpoints  *rpc.Server
	sessions   *rpc.Sessions
	pool       *transport.Pool
	transport  *transport.Server
	heartbeats *heartbeats
	drains     drains // that began and are to be completed
	lease      *lease
	gossip     *gossip
	autopilot  *autopilot.Autopilot

	stores        *stores
	raft          *raft.Raft
	raftConf      *raft.Config
	raftTransport *raft.NetworkTransport
	raftLayer     *streamLayer
	leaderCh      chan bool
	commands      commands
	reconcile     chan struct{}
	membersSeen   chan struct{} // the view of the pool changed, for a cluster that is not formed yet
	keysMu        sync.Mutex    // held from reading the replicated keys until the keyring has them
	rewrapMu      sync.Mutex    // held through a step of moving keys to another provider
	warnClear     sync.Once     // of keys that open themselves
	upkeepMu      sync.Mutex    // held from planning what is due for the keys until it is done
	ready         atomic.Bool   // leads, and has applied everything of earlier terms
	readyMu       sync.Mutex    // held while ready changes

	restoring   sync.Mutex                        // one restore at a time
	newest      atomic.Pointer[raft.SnapshotMeta] // see checkAppend; nil if there is none
	superseding sync.Once                         // the server stops because of newest

	ctx      context.Context
	cancel   context.CancelFunc
	tasks    taskGroup
	failed   chan error
	stopOnce sync.Once
	stopErr  error
}

// taskGroup is a set of goroutines that end together.
type taskGroup struct{ wg sync.WaitGroup }

func (g *taskGroup) run(f func()) {
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		f()
	}()
}

func (g *taskGroup) wait() { g.wg.Wait() }

// New starts a server. It returns once the server takes requests; it may take longer until the cluster has a
// leader. The listener is the server's from the call on, also when New fails.
func New(cfg Config) (_ *Server, err error) {
	if err := cfg.Validate(); err != nil {
		if cfg.RPCListener != nil {
			err = errors.Join(err, closeListener(cfg.RPCListener))
		}
		return nil, fmt.Errorf("server configuration: %w", err)
	}
	s := &Server{
		cfg: cfg, log: cfg.Logger.Named("server"), leaderCh: make(chan bool, 16), reconcile: make(chan struct{}, 1),
		membersSeen: make(chan struct{}, 1),
		failed:      make(chan error, 1), heartbeats: newHeartbeats(cfg.Heartbeat), drains: make(drains, drainQueue), sessions: rpc.NewSessions(),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Shutdown())
		}
	}()
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if err := s.startRaft(); err != nil {
		return nil, err
	}
	s.wire()
	if err := s.startGossip(); err != nil {
		return nil, err
	}
	s.tasks.run(s.watchKeys)
	s.tasks.run(s.watchLeadership)
	s.tasks.run(s.watchGossip)
	if cfg.BootstrapExpect > 1 {
		s.tasks.run(s.formCluster)
	}
	s.tasks.run(s.reportMetrics)
	s.tasks.run(func() {
		if err := s.transport.Serve(cfg.RPCListener); err != nil {
			s.fail(fmt.Errorf("RPC port: %w", err))
		}
	})
	if len(cfg.RetryJoin.Addrs) > 0 {
		s.tasks.run(s.retryJoin)
	}
	return s, s.waitForKeys()
}

// prepare makes what has no dependencies: the data folder, the ID, the keyring, the state machine, connections.
func (s *Server) prepare() error {
	if dir := s.cfg.DataDir; dir != "" {
		if err := os.MkdirAll(filepath.Join(dir, "serf"), 0o700); err != nil {
			return fmt.Errorf("create data directory: %w", err)
		}
	}
	host, port, err := net.SplitHostPort(s.cfg.RPCAdvertise)
	if err != nil || net.ParseIP(host) == nil || port == "" {
		return fmt.Errorf("RPC advertise address %q is not ip:port", s.cfg.RPCAdvertise)
	}
	if s.id, err = loadNodeID(s.cfg.DataDir, newUUID); err != nil {
		return err
	}
	if s.keyring, err = keyring.New(s.keyringConfig()); err != nil {
		return err
	}
	if s.cfg.EventBuffer > 0 {
		s.events = events.New(events.Config{Batches: s.cfg.EventBuffer})
	}
	s.fsm = s.newFSM()
	s.gossip = &gossip{
		region: s.cfg.Region, log: s.log.Named("gossip"),
		self: &structs.NodeServerInfo{RPCAdvertiseAddr: s.cfg.RPCAdvertise, Datacenter: s.cfg.Datacenter},
	}
	s.gossip.current.Store(&members{servers: []*structs.NodeServerInfo{s.gossip.self}})
	s.pool = transport.NewPool(transport.PoolConfig{Logger: s.log.Named("pool"), DialTLS: s.dialTLS})
	raftAddr, err := net.ResolveTCPAddr("tcp", s.cfg.RPCAdvertise)
	if err != nil {
		return fmt.Errorf("RPC advertise address: %w", err)
	}
	conf := transport.Config{Handler: handler{s}, Logger: s.log.Named("rpc"), RaftAddr: raftAddr}
	s.limitTransport(&conf)
	s.protect(&conf)
	s.transport = transport.New(conf)
	return nil
}

func (s *Server) keyringConfig() keyring.Config {
	c := s.cfg.Keys.Keyring
	c.Logger, c.Issuer, c.Clock = s.log, s.cfg.RPC.Issuer, s.cfg.Clock
	return c
}

func (s *Server) newFSM() *fsm.FSM {
	conf := fsm.Config{Logger: s.log, OnFatal: s.fail, IgnoreDigestChecks: s.cfg.IgnoreDigestChecks}
	if s.events != nil {
		conf.Events = s.events
	}
	return fsm.New(conf)
}

// wire gives the endpoints what they stand on.
func (s *Server) wire() {
	s.lease = newLease(s.verifyLeader, s.cfg.Clock, s.raftConf.LeaderLeaseTimeout)
	s.autopilot = autopilot.New(s.raft, pilot{s}, autopilot.WithLogger(s.log), autopilot.WithUpdateInterval(autopilotUpdate),
		autopilot.WithReconcileInterval(autopilotReconcile), autopilot.WithPromoter(promoter{autopilot.DefaultPromoter(), s}))
	conf := s.cfg.RPC
	conf.Region, conf.AuthoritativeRegion, conf.Datacenter = s.cfg.Region, s.cfg.AuthoritativeRegion, s.cfg.Datacenter
	conf.NodeName = s.cfg.NodeName + "." + s.cfg.Region
	conf.TLSUpgradeMode = s.cfg.TLSUpgrade
	conf.RotationThreshold = s.cfg.Keys.Policy.RotationThreshold
	conf.ACL.BootstrapReset = s.bootstrapReset
	deps := rpc.Deps{
		Logger: s.log, State: func() rpc.State { return s.fsm.State() }, Raft: applier{s}, Leader: leadership{s},
		Keyring: s.endpointKeyring(), Custody: s, Heartbeats: s.heartbeats, Drains: s.drains, Cluster: membership{s.gossip, s}, Operator: s, Snapshots: snapshots{s}, Logs: s.cfg.Logs, Reports: s.cfg.Reports, Pool: s.pool,
		Sessions: s.sessions, Clock: s.cfg.Clock, NewUUID: newUUID, Metrics: globalMetrics{},
	}
	if s.events != nil {
		deps.Events = eventSource{s.events}
	}
	s.endpoints = rpc.New(conf, deps)
}

func (s *Server) endpointKeyring() endpointKeyring {
	return endpointKeyring{s.keyring, s.cfg.RPC.Issuer, func() error { return s.checkPeers(s.ctx) }}
}

// handler hands requests to the endpoints; the listener opens before Raft and with it the endpoints are there.
type handler struct{ s *Server }

func (h handler) ServeRPC(ctx context.Context, c *transport.Conn, method string, body []byte) (any, error) {
	return h.s.endpoints.ServeRPC(ctx, c, method, body)
}

func (h handler) ServeStream(ctx context.Context, c *transport.Conn, stream net.Conn, method string) error {
	return h.s.endpoints.ServeStream(ctx, c, stream, method)
}

// waitForKeys holds a starting server back until it has tried every key that it knows of, so that it does not
// refuse identities for want of a key that is being unwrapped.
func (s *Server) waitForKeys() error {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.Keys.StartLimit)
	defer cancel()
	if err := s.waitForLog(ctx); err != nil {
		return err
	}
	if err := s.keyring.WaitReady(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	for {
		if judged, err := s.checkKeys(ctx); judged || err != nil {
			return err
		}
		if pause(ctx, keyJudge) != nil {
			s.log.Warn("this server can open no root key that it has, and does not know yet whether the cluster has others")
			return nil // watchKeys goes on
		}
	}
}

// RPC makes a call in this process, through the same pipeline as one from outside.
func (s *Server) RPC(ctx context.Context, method string, args, reply any) error {
	return s.endpoints.RPC(ctx, method, args, reply)
}

// RPCAddr is the address at which others reach the RPC port.
func (s *Server) RPCAddr() string { return s.cfg.RPCAdvertise }

// Done is closed when the server begins to stop.
func (s *Server) Done() <-chan struct{} { return s.ctx.Done() }

// Failed delivers the reason why the server can't go on; its owner then shuts it down and exits non-zero.
func (s *Server) Failed() <-chan error { return s.failed }

func (s *Server) fail(err error) {
	s.log.Error("server can't go on", "error", err)
	select {
	case s.failed <- err:
	default: // the first reason is the one that counts
	}
}

// Join adds servers to the gossip pool and returns how many answered.
func (s *Server) Join(_ context.Context, addrs []string) (int, error) {
	return s.gossip.serf.Join(addrs, true)
}

// ForceLeave declares a failed server gone; prune forgets it altogether.
func (s *Server) ForceLeave(_ context.Context, name string, prune bool) error {
	for _, m := range s.gossip.serf.Members() {
		if m.Name != name && m.Name != name+"."+s.cfg.Region {
			continue
		}
		if prune {
			return s.gossip.serf.RemoveFailedNodePrune(m.Name)
		}
		return s.gossip.serf.RemoveFailedNode(m.Name)
	}
	return nil // it is gone, which was asked for
}

// LocalMember is this server in the gossip pool.
func (s *Server) LocalMember() *structs.ServerMember {
	return toServerMember(s.gossip.serf.LocalMember())
}

// SetHeartbeatConfig changes the heartbeat timing of a running server.
func (s *Server) SetHeartbeatConfig(c HeartbeatConfig) { s.heartbeats.conf.Store(&c) }

// Stats describes the server for the agent's self-description.
func (s *Server) Stats() map[string]map[string]string {
	return map[string]map[string]string{
		"nomad": {
			"server": "true", "leader": strconv.FormatBool(s.leading()), "leader_addr": s.leaderAddr(),
			"bootstrap": strconv.FormatBool(s.cfg.BootstrapExpect == 1), "known_regions": strconv.Itoa(len(s.gossip.Regions())),
		},
		"raft":     s.raft.Stats(),
		"serf":     s.gossip.serf.Stats(),
		"rollcall": {"nodes": strconv.Itoa(s.fsm.State().NodeCount()), "sessions": strconv.Itoa(s.sessions.Count()), "features": s.openFeatureNames()},
	}
}

// leadership is this server's place in the cluster, as endpoints see it.
type leadership struct{ s *Server }

var _ rpc.Leader = leadership{}

// IsLeader looks at Raft too, which knows of a loss before the leader's loop does.
func (l leadership) IsLeader() bool     { return l.s.ready.Load() && l.s.leading() }
func (l leadership) Leading() bool      { return l.s.leading() }
func (l leadership) LeaderAddr() string { return l.s.leaderAddr() }

func (l leadership) VerifyLease(ctx context.Context) error {
	if !l.s.leading() {
		return structs.ErrNoLeader
	}
	return l.s.lease.check(ctx)
}

func (l leadership) LastContact() time.Duration {
	last := l.s.raft.LastContact()
	if last.IsZero() {
		return 0
	}
	return max(time.Since(last), 0)
}

func (s *Server) leading() bool { return s.raft.State() == raft.Leader }

func (s *Server) leaderAddr() string {
	addr, _ := s.raft.LeaderWithID()
	return string(addr)
}

// Leave takes the server out of the cluster for good, when the others can do without it.
func (s *Server) Leave() error {
	if peers, err := s.RaftPeers(); err == nil && len(peers) > 1 && s.leading() {
		if err := s.handOver(func() raft.Future { return s.raft.LeadershipTransfer() }); err != nil {
			s.log.Warn("leadership not handed over before leaving", "error", err)
		}
	}
	if err := s.gossip.serf.Leave(); err != nil {
		return fmt.Errorf("leave the gossip pool: %w", err)
	}
	return nil
}

// Shutdown stops the server and waits until everything has ended. It may be called more than once.
func (s *Server) Shutdown() error {
	s.stopOnce.Do(func() { s.stopErr = s.shutdown() })
	return s.stopErr
}

func (s *Server) shutdown() error {
	s.log.Info("stopping")
	s.cancel()
	if s.events != nil {
		s.events.Close()
	}
	var errs []error
	keep := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if s.gossip != nil && s.gossip.serf != nil {
		if s.gossip.serf.State() != serf.SerfShutdown {
			keep(s.gossip.serf.Shutdown())
		}
	}
	if s.raft != nil {
		if !s.commands.close(commandsLimit) {
			s.log.Warn("stopping Raft though it has not answered every command", "waited", commandsLimit)
		}
		keep(s.raft.Shutdown().Error())
		s.fsm.Settle()
	}
	if s.raftTransport != nil {
		keep(s.raftTransport.Close())
		s.raftLayer.closeConns()
	}
	// After Raft, whose transport complains of a port that is closed under it, and before what its calls stand on.
	if s.transport != nil {
		keep(s.transport.Close())
	}
	if s.pool != nil {
		s.pool.Close()
	}
	s.tasks.wait()
	s.heartbeats.disable()
	if s.keyring != nil {
		keep(s.keyring.Close(context.Background()))
	}
	if s.stores != nil {
		keep(s.stores.close())
	}
	keep(closeListener(s.cfg.RPCListener))
	return errors.Join(errs...)
}

func closeListener(ln net.Listener) error {
	if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func newUUID() string {
	id, err := uuid.GenerateUUID()
	if err != nil {
		panic("server: the system has no randomness: " + err.Error())
	}
	return id
}

// globalMetrics sends endpoint metrics where Raft's go.
type globalMetrics struct{}

func (globalMetrics) IncrCounter(key []string, n float32)        { metrics.IncrCounter(key, n) }
func (globalMetrics) MeasureSince(key []string, start time.Time) { metrics.MeasureSince(key, start) }

func (s *Server) setGauge(key []string, v float32) { metrics.SetGauge(key, v) }

// metricsInterval is how often gauges are set.
const metricsInterval = 10 * time.Second

// reportMetrics sets the gauges that nothing else sets.
func (s *Server) reportMetrics() {
	for pause(s.ctx, metricsInterval) == nil {
		s.setGauge([]string{"nodes"}, float32(s.fsm.State().NodeCount()))
		s.setGauge([]string{"heartbeat", "active"}, float32(s.heartbeats.count.Load()))
		s.setGauge([]string{"sessions"}, float32(s.sessions.Count()))
		_, _, failed := s.keyring.Ready()
		s.setGauge([]string{"keyring", "undecryptable"}, float32(len(failed)))
	}
}
