package agent

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/config"
	"github.com/rollcall-id/rollcall/internal/version"
	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/server"
	"github.com/rollcall-id/rollcall/structs"
)

// Raft's timing in dev mode: one server in memory has no one to wait for.
const (
	devHeartbeat = 100 * time.Millisecond
	devLease     = 50 * time.Millisecond
)

func (a *agent) startServer() error {
	conf, err := serverConfig(a.config, a.log)
	if err != nil {
		return err
	}
	conf.Logger, conf.Logs, conf.Reports = a.log, a.log, reports{a}
	conf.TLS, conf.TLSUpgrade = a.tls.rpc, a.config.TLS.RPCUpgradeMode
	conf.RPC.VerifyServerHostname = a.config.TLS.VerifyServerHostname
	ln, err := net.Listen("tcp", a.config.Listen.RPC)
	if err != nil {
		return fmt.Errorf("open RPC port: %w", err)
	}
	conf.RPCListener = ln
	if conf.RPCAdvertise, err = withPort(a.config.Published.RPC, ln.Addr()); err != nil {
		return errors.Join(err, ln.Close())
	}
	if a.server, err = server.New(conf); err != nil {
		return err
	}
	a.run("server", func() error { return a.watchServer() })
	return nil
}

// watchServer ends the agent when its server can't go on.
func (a *agent) watchServer() error {
	select {
	case err := <-a.server.Failed():
		return err
	case <-a.server.Done():
		return nil
	}
}

// serverConfig turns the configuration into the server's. What it makes of it logs to log.
func serverConfig(c *config.Config, log hclog.Logger) (server.Config, error) {
	s := server.DefaultConfig()
	s.Region, s.AuthoritativeRegion, s.Datacenter, s.NodeName = c.Region, c.Server.AuthoritativeRegion, c.Datacenter, c.Name
	info := version.Get()
	s.Build, s.Revision = info.CompatBuild, info.Commit
	s.BootstrapExpect, s.NonVoter = c.Server.BootstrapExpect, c.Server.NonVotingServer
	s.DataDir = c.Server.DataDir
	join := c.Server.ServerJoin
	s.RetryJoin = server.RetryJoin{Addrs: slices.Concat(join.StartJoin, join.RetryJoin), Interval: join.RetryInterval, MaxTries: join.RetryMax}
	s.Raft = server.RaftConfig{
		Multiplier: c.Server.RaftMultiplier, TrailingLogs: uint64(c.Server.RaftTrailingLogs),
		SnapshotThreshold: uint64(c.Server.RaftSnapshotThreshold), SnapshotInterval: c.Server.RaftSnapshotInterval,
		NoFreelistSync: c.Server.RaftLogStore.BoltDB.NoFreelistSync, DisableLogCache: c.Server.RaftLogStore.DisableLogCache,
	}
	if c.DevMode {
		s.Raft.HeartbeatTimeout, s.Raft.ElectionTimeout, s.Raft.LeaderLease = devHeartbeat, devHeartbeat, devLease
	}
	s.EventBuffer = 0
	if c.Server.EnableEventBroker {
		s.EventBuffer = c.Server.EventBufferSize
	}
	s.IgnoreDigestChecks = c.Server.IgnoreStateDigestChecks
	s.Heartbeat = heartbeatConfig(c)
	s.Autopilot = structs.AutopilotConfig{
		CleanupDeadServers: c.Autopilot.CleanupDeadServers, LastContactThreshold: c.Autopilot.LastContactThreshold,
		MaxTrailingLogs: uint64(c.Autopilot.MaxTrailingLogs), MinQuorum: uint64(c.Autopilot.MinQuorum),
		ServerStabilizationTime: c.Autopilot.ServerStabilizationTime,
	}
	s.NodeGC.Threshold = c.Server.NodeGCThreshold
	s.ConnLimits = connLimits(&c.Limits)
	s.RPC.MaxInFlight, s.RPC.MaxBlocking = c.Limits.RPCMaxInFlight, c.Limits.RPCMaxBlocking
	s.RPC.RetryAfter, s.RPC.HostileLogRate = c.Limits.RetryAfter, c.Limits.HostileLogRate
	in := c.Server.ClientIntroduction
	s.RPC.Issuer, s.RPC.EnableDebug = c.Server.OIDCIssuer, c.EnableDebug
	s.RPC.ACL = rpc.ACLConfig{Enabled: c.ACL.Enabled, MinTTL: c.ACL.MinExpirationTTL, MaxTTL: c.ACL.MaxExpirationTTL}
	s.RPC.Introduction = rpc.Introduction{Enforcement: in.Enforcement, DefaultTTL: in.DefaultIdentityTTL, MaxTTL: in.MaxIdentityTTL}
	var err error
	if s.Keys, err = keyConfig(c, log); err != nil {
		return s, err
	}
	s.Gossip, err = gossipConfig(c)
	return s, err
}

// connLimits are the limits of the RPC port. Where an address may have any number of connections, as where a whole fleet is
// behind one, it may have any number of the rest, too.
func connLimits(l *config.Limits) server.ConnLimits {
	out := server.ConnLimits{
		MaxPerIP: l.RPCMaxConnsPerClient, HandshakeTimeout: l.RPCHandshakeTimeout, FrameTimeout: l.RPCFrameTimeout,
		MaxRequestBytes: l.RPCMaxRequestBytes, LogRate: l.HostileLogRate,
	}
	if l.RPCMaxConnsPerClient > 0 {
		out.MaxStreamsPerIP, out.MaxRequestsPerIP, out.MaxBytesPerIP =
			l.RPCMaxStreamsPerClient, l.RPCMaxRequestsPerClient, l.RPCMaxBytesPerClient
	}
	return out
}

func heartbeatConfig(c *config.Config) server.HeartbeatConfig {
	return server.HeartbeatConfig{
		MinTTL: c.Server.MinHeartbeatTTL, MaxPerSecond: c.Server.MaxHeartbeatsPerSecond,
		Grace: c.Server.HeartbeatGrace, FailoverTTL: c.Server.FailoverHeartbeatTTL,
	}
}

func gossipConfig(c *config.Config) (server.GossipConfig, error) {
	g := server.GossipConfig{}
	var err error
	if g.BindAddr, g.BindPort, err = hostPort(c.Listen.Serf); err != nil {
		return g, err
	}
	if g.AdvertiseAddr, g.AdvertisePort, err = hostPort(c.Published.Serf); err != nil {
		return g, err
	}
	if ip := net.ParseIP(g.AdvertiseAddr); ip != nil {
		g.Local = ip.IsLoopback()
	}
	if c.Server.Encrypt != "" {
		if g.EncryptKey, err = base64.StdEncoding.DecodeString(c.Server.Encrypt); err != nil {
			return g, fmt.Errorf("server.encrypt is not base64: %w", err)
		}
	}
	return g, nil
}

func hostPort(addr string) (string, int, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w", addr, err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: port is not a number", addr)
	}
	return host, n, nil
}

// withPort puts the port that was really opened into an address that leaves the choice open.
func withPort(published string, bound net.Addr) (string, error) {
	host, port, err := hostPort(published)
	if err != nil || port != 0 {
		return published, err
	}
	tcp, ok := bound.(*net.TCPAddr)
	if !ok {
		return "", fmt.Errorf("listening on %s, which has no port", bound)
	}
	return net.JoinHostPort(host, strconv.Itoa(tcp.Port)), nil
}
