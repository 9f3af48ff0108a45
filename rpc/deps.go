package rpc

import (
	"context"
	"iter"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/host"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// State is what endpoints read. Everything it returns is read-only.
type State interface {
	NodeByID(ws memdb.WatchSet, id string) (*structs.Node, error)
	NodeBySecretHash(hash []byte) (*structs.Node, error)
	Nodes(ws memdb.WatchSet) (iter.Seq[*structs.Node], error)
	NodesByIDPrefix(ws memdb.WatchSet, prefix string) (iter.Seq[*structs.Node], error)
	NodesByPool(ws memdb.WatchSet, pool string) (iter.Seq[*structs.Node], error)
	NodeCount() int
	NodePools(ws memdb.WatchSet) (iter.Seq[*structs.NodePool], error)
	NodePoolByName(ws memdb.WatchSet, name string) (*structs.NodePool, error)
	RootKeys(ws memdb.WatchSet) (iter.Seq[*structs.RootKey], error)
	RootKeyByID(ws memdb.WatchSet, id string) (*structs.RootKey, error)
	KeyInUse(keyID string, now int64) (bool, error)
	Namespaces(ws memdb.WatchSet) (iter.Seq[*structs.Namespace], error)
	NamespaceByName(ws memdb.WatchSet, name string) (*structs.Namespace, error)
	AutopilotConfig(ws memdb.WatchSet) (*structs.AutopilotConfig, error)
	SchedulerConfig(ws memdb.WatchSet) (*structs.SchedulerConfiguration, error)
	ACLPolicies(ws memdb.WatchSet) (iter.Seq[*structs.ACLPolicy], error)
	ACLPolicyByName(ws memdb.WatchSet, name string) (*structs.ACLPolicy, error)
	ACLTokens(ws memdb.WatchSet, prefix string) (iter.Seq[*structs.ACLToken], error)
	ACLTokenByAccessorID(ws memdb.WatchSet, id string) (*structs.ACLToken, error)
	ACLTokenBySecretHash(ws memdb.WatchSet, hash []byte) (*structs.ACLToken, error)
	ACLRolesByIDPrefix(ws memdb.WatchSet, prefix string) (iter.Seq[*structs.ACLRole], error)
	ACLRoleByID(ws memdb.WatchSet, id string) (*structs.ACLRole, error)
	ACLRoleByName(ws memdb.WatchSet, name string) (*structs.ACLRole, error)
	OneTimeTokenBySecretHash(ws memdb.WatchSet, hash []byte) (*structs.OneTimeToken, error)
	Index(table string) (uint64, error)
	AbandonCh() <-chan struct{}
}

// Applier proposes commands to Raft and waits until this server has applied them.
type Applier interface {
	// Apply returns the index of the command and what the state machine answered. An error is the state machine's
	// refusal, one that wraps structs.ErrNoLeader if nothing was proposed, or another if the outcome is not known.
	Apply(t structs.MessageType, msg any) (Applied, error)
}

// Applied is a committed command's outcome.
type Applied struct {
	Index  uint64
	Result any // nil, or what the command's type returns, as the bool of a compare-and-set
}

// Leader tells who leads and whether this server may act as the leader.
type Leader interface {
	// IsLeader reports whether this server leads and has applied everything committed before its term.
	IsLeader() bool
	// LeaderAddr is the RPC address of the leader, empty when it is not known.
	LeaderAddr() string
	// Leading reports whether this server leads, ready or not.
	Leading() bool
	// VerifyLease returns nil while no other server can be leading: a quorum confirmed it within the lease.
	VerifyLease(ctx context.Context) error
	// LastContact is the time since this server heard of the leader; 0 on the leader.
	LastContact() time.Duration
}

// Keyring signs and verifies identities.
type Keyring interface {
	Sign(c *structs.IdentityClaims) (token, keyID string, err error)
	Verify(ctx context.Context, token string, now time.Time) (*structs.IdentityClaims, error)
	// NewRootKey makes and wraps a key in the given state; publish is Unix ns, 0 for none.
	NewRootKey(state structs.KeyState, now time.Time, publish int64) (*structs.RootKey, error)
	// Public is sorted by key ID.
	Public() []*structs.PublicKey
	Discovery() *structs.OIDCDiscovery
}

// Heartbeats are the leader's timers.
type Heartbeats interface {
	// Reset starts the node's timer anew and returns when it is to be heard of next.
	Reset(nodeID string) (time.Duration, error)
	// Clear forgets the nodes' timers.
	Clear(nodeIDs ...string)
}

// Drains are completed by the leader once they have begun.
type Drains interface {
	// Begun tells of a node that drains. It does not wait.
	Begun(nodeID string)
}

// Cluster is the membership as gossip knows it.
type Cluster interface {
	// Servers are the live servers of this region as agents reach them; never empty.
	Servers() []*structs.NodeServerInfo
	// LocalPeers are the RPC addresses of the other live servers of this region.
	LocalPeers() []string
	// RegionServers are the RPC addresses of the live servers of a region.
	RegionServers(region string) []string
	Regions() []string
	Members() []*structs.ServerMember
	// CanMint reports whether nodes get identities: all servers of this region knew of them at one time. Once it is
	// true it stays so.
	CanMint() bool
}

// Operator is the membership as Raft knows it, and autopilot.
type Operator interface {
	RaftConfiguration() (*structs.RaftConfigurationResponse, error)
	RaftPeers() ([]string, error)
	RaftStats() *structs.RaftStatsResponse
	RemovePeer(id string) error
	TransferLeadership(id, address string) (*structs.LeadershipTransferResponse, error)
	AutopilotHealth() (*structs.OperatorHealthReply, error)
	// StateDigest is the digest of this server's state.
	StateDigest() (structs.StateDigest, error)
	// CollectGarbage removes nodes that are down for threshold or longer and keys that may go.
	CollectGarbage(ctx context.Context, nodeThreshold time.Duration) error
}

// Pool carries calls to other servers.
type Pool interface {
	Call(ctx context.Context, addr, method string, args, reply any) error
	Stream(ctx context.Context, addr, method string) (net.Conn, error)
}

// Config says how the endpoints behave.
type Config struct {
	Region              string
	AuthoritativeRegion string // empty means Region
	Datacenter          string
	NodeName            string // this server's name in the gossip pool

	Issuer            string // of identities; empty leaves it out and disables OIDC discovery
	RotationThreshold time.Duration
	Introduction      Introduction
	ACL               ACLConfig
	// VerifyServerHostname checks the role and region in the certificates of callers, TLSUpgradeMode lets in those without TLS.
	VerifyServerHostname bool
	TLSUpgradeMode       bool
	// EnableDebug lets this server be profiled.
	EnableDebug bool
	// HoldTimeout is how long a call waits for a leader.
	HoldTimeout time.Duration
	// NodeTimeout is how long a node may take to answer what a server asks of it.
	NodeTimeout time.Duration
	// MaxQueryTime bounds how long a blocking query waits, DefaultQueryTime is what it waits when it says nothing.
	MaxQueryTime     time.Duration
	DefaultQueryTime time.Duration
	// MaxInFlight bounds the calls that act at the same time, blocking queries not counted.
	MaxInFlight int
	// MaxBlocking bounds the blocking queries that wait at the same time.
	MaxBlocking int
	// RetryAfter is the pause that a caller is asked for who was refused for one of these; 0: DefaultRetryAfter.
	RetryAfter time.Duration
	// HostileLogRate is how many log lines a second peers can provoke; 0: quietlog's default.
	HostileLogRate int
}

// Introduction is how a node that is not registered yet must introduce itself (wire.md §3.5).
type Introduction struct {
	Enforcement string // none, warn or strict
	DefaultTTL  time.Duration
	MaxTTL      time.Duration
}

// ACLConfig says whether tokens are asked for, and how long they may live.
type ACLConfig struct {
	Enabled bool
	// MinTTL and MaxTTL bound how long a token with an end lives.
	MinTTL, MaxTTL time.Duration
	// BootstrapReset returns the index that an operator has put into the reset file, 0 if there is none. nil means that
	// there never is.
	BootstrapReset func() (uint64, error)
}

// Levels of Introduction.Enforcement.
const (
	EnforceNone   = "none"
	EnforceWarn   = "warn"
	EnforceStrict = "strict"
)

// DefaultConfig returns the configuration of a region with the defaults of wire.md.
func DefaultConfig(region string) Config {
	return Config{
		Region: region, RotationThreshold: 720 * time.Hour,
		Introduction: Introduction{Enforcement: EnforceWarn, DefaultTTL: 5 * time.Minute, MaxTTL: 30 * time.Minute},
		ACL:          ACLConfig{MinTTL: time.Minute, MaxTTL: 24 * time.Hour},
		HoldTimeout:  5 * time.Second, NodeTimeout: 10 * time.Second, MaxQueryTime: 300 * time.Second, DefaultQueryTime: 300 * time.Second,
		MaxInFlight: 4096, MaxBlocking: 200_000,
	}
}

// Deps are what the endpoints stand on.
type Deps struct {
	Logger     hclog.Logger
	State      func() State // the present state; a restore replaces it
	Raft       Applier
	Leader     Leader
	Keyring    Keyring
	Custody    KeyCustody
	Heartbeats Heartbeats
	Drains     Drains
	Cluster    Cluster
	Operator   Operator
	Snapshots  Snapshots
	Events     Events                // nil: the event stream is disabled
	Logs       hclog.InterceptLogger // this process's, for those who follow it; nil: nobody can
	Reports    host.Reports          // of the whole agent; nil: there are none
	Pool       Pool
	Sessions   *Sessions
	Clock      func() time.Time
	// NewUUID returns a random UUID.
	NewUUID func() string
	Metrics Metrics
}

// Metrics receives the endpoints' counters.
type Metrics interface {
	IncrCounter(key []string, n float32)
	MeasureSince(key []string, start time.Time)
}

var _ transport.Handler = (*Server)(nil)
