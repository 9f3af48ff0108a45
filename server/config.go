package server

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	semver "github.com/hashicorp/go-version"

	"github.com/rollcall-id/rollcall/certs"
	"github.com/rollcall-id/rollcall/events"
	"github.com/rollcall-id/rollcall/host"
	"github.com/rollcall-id/rollcall/internal/version"
	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/structs"
)

// Config is everything a server has to know. DefaultConfig fills what has a default.
type Config struct {
	Region              string
	AuthoritativeRegion string
	Datacenter          string
	NodeName            string

	// DataDir holds the server's files (wire.md §8.1); empty keeps everything in memory.
	DataDir string
	// Build is the version that gossip advertises, by which compatible peers judge what this server can do.
	Build    string
	Version  string // of this project, a semantic version, by which its servers judge each other
	Revision string

	// TLS protects RPC and Raft; nil sends all in clear. TLSUpgrade lets in peers without TLS beside it.
	TLS        *certs.Keeper
	TLSUpgrade bool

	RPCListener  net.Listener // the RPC port, open
	RPCAdvertise string       // host:port of the RPC port as others reach it
	Gossip       GossipConfig

	// BootstrapExpect is the number of servers that form a new cluster together; 0 joins an existing one.
	BootstrapExpect int
	NonVoter        bool
	RetryJoin       RetryJoin

	// IgnoreDigestChecks logs a state digest that is not the leader's and goes on.
	IgnoreDigestChecks bool

	// EventBuffer is how many batches of events are kept for the event stream; 0 disables it.
	EventBuffer int

	Raft       RaftConfig
	Heartbeat  HeartbeatConfig
	Autopilot  structs.AutopilotConfig // what the first leader writes
	Keys       KeyConfig
	NodeGC     NodeGCConfig
	RPC        rpc.Config
	ConnLimits ConnLimits

	Logger hclog.Logger
	// Logs is the log of the whole process, for those who follow it; nil: nobody can.
	Logs hclog.InterceptLogger
	// Reports tell about the whole agent; nil: nobody does.
	Reports host.Reports
	Clock   func() time.Time
}

// GossipConfig is where and how the gossip pool is joined.
type GossipConfig struct {
	BindAddr      string
	BindPort      int
	AdvertiseAddr string
	AdvertisePort int
	EncryptKey    []byte // 16, 24 or 32 bytes; nil sends in clear
	// Local tightens the timing for servers on one machine.
	Local bool
}

// RetryJoin says whom to join, and how often to try.
type RetryJoin struct {
	Addrs    []string
	Interval time.Duration
	MaxTries int // 0 tries for ever
}

// RaftConfig tunes Raft (wire.md §8.2).
type RaftConfig struct {
	Multiplier        int
	TrailingLogs      uint64
	SnapshotThreshold uint64
	SnapshotInterval  time.Duration
	NoFreelistSync    bool
	DisableLogCache   bool
	// Timing overrides the timeouts before the multiplier; zero values mean the defaults.
	HeartbeatTimeout, ElectionTimeout, LeaderLease time.Duration
}

// HeartbeatConfig is how often nodes are to be heard of (wire.md §11.1).
type HeartbeatConfig struct {
	MinTTL       time.Duration
	MaxPerSecond float64
	Grace        time.Duration
	FailoverTTL  time.Duration
}

// KeyConfig is how root keys are made, rotated and collected.
type KeyConfig struct {
	Keyring    keyring.Config
	Policy     keyring.Policy
	Interval   time.Duration // between two looks at what is due
	StartLimit time.Duration // how long a starting server waits for its keys
}

// NodeGCConfig is when silent nodes are removed.
type NodeGCConfig struct {
	Interval  time.Duration
	Threshold time.Duration
}

// ConnLimits bound what peers may take of the RPC port. Those for one address hold for all but other servers, which
// have no more than MaxPerIP, either.
type ConnLimits struct {
	MaxPerIP         int           // connections of one address; 0 means no limit
	MaxStreamsPerIP  int           // open streams; 0 means no limit
	MaxRequestsPerIP int           // requests under way; 0 means no limit
	MaxBytesPerIP    int           // bytes of unfinished requests; 0 means no limit
	MaxRequestBytes  int           // of one request; 0 means transport's default
	HandshakeTimeout time.Duration // 0 means no deadline
	FrameTimeout     time.Duration // 0 means transport's default
	LogRate          int           // lines a second about connections that end badly; 0 means quietlog's default
}

// noDeadline is longer than any server runs.
const noDeadline = 100 * 365 * 24 * time.Hour

// DefaultConfig returns a configuration with every default of wire.md; region, name, listener and addresses
// are the caller's to fill in.
func DefaultConfig() Config {
	return Config{
		Region: "global", Datacenter: "dc1", BootstrapExpect: 1, Version: version.Version,
		RetryJoin: RetryJoin{Interval: 30 * time.Second},
		Raft: RaftConfig{
			Multiplier: 1, TrailingLogs: 10240, SnapshotThreshold: 8192, SnapshotInterval: 2 * time.Minute,
			NoFreelistSync: true,
		},
		Heartbeat: HeartbeatConfig{MinTTL: 10 * time.Second, MaxPerSecond: 50, Grace: 10 * time.Second, FailoverTTL: 300 * time.Second},
		Autopilot: *structs.DefaultAutopilotConfig(),
		Keys: KeyConfig{
			Policy:   keyring.Policy{RotationThreshold: 720 * time.Hour, GCThreshold: time.Hour},
			Interval: 10 * time.Minute, StartLimit: 30 * time.Second,
		},
		EventBuffer: events.DefaultBatches,
		NodeGC:      NodeGCConfig{Interval: 5 * time.Minute, Threshold: 24 * time.Hour},
		RPC:         rpc.DefaultConfig("global"),
		ConnLimits:  ConnLimits{MaxPerIP: 100, HandshakeTimeout: 5 * time.Second},
		Logger:      hclog.NewNullLogger(),
		Clock:       time.Now,
	}
}

// Validate reports everything that keeps a server from starting with this configuration.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Region != "", "region is empty")
	check(c.NodeName != "", "node name is empty")
	check(c.RPCListener != nil, "there is no RPC listener")
	check(c.RPCAdvertise != "", "RPC advertise address is empty")
	if _, err := semver.NewVersion(c.Version); c.Version != "" && err != nil {
		errs = append(errs, fmt.Errorf("version %q of this binary: %w; it must be built with a semantic version", c.Version, err))
	}
	check(c.BootstrapExpect >= 0, "bootstrap_expect %d is negative", c.BootstrapExpect)
	check(!c.NonVoter || c.BootstrapExpect == 0, "a non-voting server can't bootstrap a cluster")
	check(c.Raft.Multiplier >= 1 && c.Raft.Multiplier <= 10, "raft multiplier %d is not between 1 and 10", c.Raft.Multiplier)
	check(c.Heartbeat.MinTTL > 0, "heartbeat TTL %s is not positive", c.Heartbeat.MinTTL)
	check(c.Heartbeat.Grace >= 0, "heartbeat grace %s is negative", c.Heartbeat.Grace)
	check(c.Heartbeat.FailoverTTL > 0, "failover heartbeat TTL %s is not positive", c.Heartbeat.FailoverTTL)
	check(c.Keys.Interval > 0, "root key interval %s is not positive", c.Keys.Interval)
	check(c.EventBuffer >= 0, "event buffer of %d batches is negative", c.EventBuffer)
	check(c.NodeGC.Interval > 0, "node collection interval %s is not positive", c.NodeGC.Interval)
	if err := c.Autopilot.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("autopilot: %w", err))
	}
	return errors.Join(errs...)
}
