package config

import (
	"time"
)

// The tags say everything the decoder, the reload check and the redacted view need to know of a field: its name in files,
// then "secret" (never shown), "reload" (may change at SIGHUP), "comma" (a list also accepted as one comma-separated
// string). A field without a tag is derived, not configured.

// Config is the whole configuration of one agent. It has one field a setting or block, hence its length.
// Start from DefaultConfig or DevConfig; the zero value does not pass Validate.
type Config struct {
	Region     string `cfg:"region"`
	Datacenter string `cfg:"datacenter"`
	// Name is the node's name, the host's name when empty (see Normalize).
	Name string `cfg:"name"`
	// DataDir holds everything the agent persists; absolute. Dev mode keeps its state in memory and needs none.
	DataDir  string `cfg:"data_dir"`
	LogLevel string `cfg:"log_level,reload"`
	LogJSON  bool   `cfg:"log_json"`
	// EnableDebug lets /v1/agent/pprof take profiles of this agent.
	EnableDebug bool `cfg:"enable_debug"`
	// BindAddr is the IP address, or template, that every listener without an entry in Addresses uses.
	BindAddr  string    `cfg:"bind_addr"`
	Ports     Ports     `cfg:"ports"`
	Addresses Addresses `cfg:"addresses"`
	// Advertise holds what others are told to connect to: IP or IP:port; empty means derived from the bind address.
	Advertise Addresses `cfg:"advertise"`
	// LeaveOnInterrupt and LeaveOnTerminate make SIGINT and SIGTERM leave the cluster for good instead of only stopping.
	LeaveOnInterrupt bool `cfg:"leave_on_interrupt"`
	LeaveOnTerminate bool `cfg:"leave_on_terminate"`

	Server    Server    `cfg:"server"`
	Client    Client    `cfg:"client"`
	TLS       TLS       `cfg:"tls"`
	Public    Public    `cfg:"public"`
	ACL       ACL       `cfg:"acl"`
	Telemetry Telemetry `cfg:"telemetry"`
	Limits    Limits    `cfg:"limits"`
	Autopilot Autopilot `cfg:"autopilot"`
	// Keyrings are the keyring blocks in the order of the files; none means one active aead provider (ActiveKeyring).
	Keyrings []Keyring

	// DevMode is the one-process form: server and client together, state in memory.
	DevMode bool
	// Files are the configuration files read so far, in order.
	Files []string
	// Listen and Published are filled by Normalize.
	Listen    Listen
	Published Published

	origin map[string]Pos // where each setting was given, by its dotted name
	notes  problems       // warnings found while reading
}

// Ports are the TCP (for Serf also UDP) ports to listen on; 0 lets the kernel choose one.
type Ports struct {
	HTTP int `cfg:"http"`
	RPC  int `cfg:"rpc"`
	Serf int `cfg:"serf"`
}

// Addresses are one address for each service, empty where not given.
type Addresses struct {
	HTTP string `cfg:"http"`
	RPC  string `cfg:"rpc"`
	Serf string `cfg:"serf"`
}

// Listen holds host:port values ready for net.Listen. RPC and Serf are empty unless the agent is a server, Public unless
// there is a public listener.
type Listen struct {
	HTTP   []string
	RPC    string
	Serf   string
	Public string
}

// Published holds the host:port values that others connect to. Where a port is 0, the one really bound is meant.
// RPC and Serf are empty unless the agent is a server.
type Published struct {
	HTTP string
	RPC  string
	Serf string
}

// Server is the server block: Raft, gossip, heartbeats, keys and what is issued. One field a setting.
type Server struct {
	Enabled bool `cfg:"enabled"`
	// BootstrapExpect is how many servers must see each other before the first election; 0 joins an existing cluster.
	BootstrapExpect int `cfg:"bootstrap_expect"`
	// DataDir is <data_dir>/server when empty.
	DataDir    string     `cfg:"data_dir"`
	ServerJoin ServerJoin `cfg:"server_join"`
	// Encrypt is the gossip key: 16, 24 or 32 bytes in standard base64.
	Encrypt             string `cfg:"encrypt,secret"`
	AuthoritativeRegion string `cfg:"authoritative_region"`
	NonVotingServer     bool   `cfg:"non_voting_server"`
	// StartTimeout bounds how long a start may take until the server takes part in Raft.
	StartTimeout time.Duration `cfg:"start_timeout"`

	// RaftMultiplier scales Raft's heartbeat, election and lease times.
	RaftMultiplier        int           `cfg:"raft_multiplier"`
	RaftTrailingLogs      int           `cfg:"raft_trailing_logs"`
	RaftSnapshotThreshold int           `cfg:"raft_snapshot_threshold"`
	RaftSnapshotInterval  time.Duration `cfg:"raft_snapshot_interval"`
	RaftLogStore          RaftLogStore  `cfg:"raft_logstore"`

	// IgnoreStateDigestChecks keeps a server going whose state is not the leader's, which is the way out when the
	// leader's was the wrong one.
	IgnoreStateDigestChecks bool `cfg:"ignore_state_digest_checks"`

	// EnableEventBroker keeps the latest changes for the event stream, EventBufferSize batches of them.
	EnableEventBroker bool `cfg:"enable_event_broker"`
	EventBufferSize   int  `cfg:"event_buffer_size"`

	MinHeartbeatTTL        time.Duration `cfg:"min_heartbeat_ttl,reload"`
	MaxHeartbeatsPerSecond float64       `cfg:"max_heartbeats_per_second,reload"`
	HeartbeatGrace         time.Duration `cfg:"heartbeat_grace,reload"`
	FailoverHeartbeatTTL   time.Duration `cfg:"failover_heartbeat_ttl,reload"`
	NodeGCThreshold        time.Duration `cfg:"node_gc_threshold"`

	RootKeyGCInterval        time.Duration `cfg:"root_key_gc_interval"`
	RootKeyGCThreshold       time.Duration `cfg:"root_key_gc_threshold"`
	RootKeyRotationThreshold time.Duration `cfg:"root_key_rotation_threshold"`
	// SigningAlgorithm is what new root keys sign with: ES256, EdDSA or RS256.
	SigningAlgorithm string `cfg:"signing_algorithm"`
	// OIDCIssuer becomes the iss claim exactly as written and switches on OIDC discovery; see IssuerURL.
	OIDCIssuer         string             `cfg:"oidc_issuer"`
	ClientIntroduction ClientIntroduction `cfg:"client_introduction"`
}

// ServerJoin says whom to join. After Normalize every address has a port.
type ServerJoin struct {
	RetryJoin     []string      `cfg:"retry_join"`
	StartJoin     []string      `cfg:"start_join"`
	RetryInterval time.Duration `cfg:"retry_interval"`
	// RetryMax is the number of attempts after which the agent gives up; 0 never gives up.
	RetryMax int `cfg:"retry_max"`
}

// RaftLogStore says how the Raft log is stored.
type RaftLogStore struct {
	// Backend is "boltdb", the only one there is.
	Backend         string `cfg:"backend"`
	BoltDB          BoltDB `cfg:"boltdb"`
	DisableLogCache bool   `cfg:"disable_log_cache"`
}

// BoltDB are the options of the log's file.
type BoltDB struct {
	NoFreelistSync bool `cfg:"no_freelist_sync"`
}

// ClientIntroduction says how unknown nodes are let in.
type ClientIntroduction struct {
	// Enforcement is "none", "warn" or "strict".
	Enforcement        string        `cfg:"enforcement"`
	DefaultIdentityTTL time.Duration `cfg:"default_identity_ttl"`
	MaxIdentityTTL     time.Duration `cfg:"max_identity_ttl"`
}

// Client is the client block: the node's own side.
type Client struct {
	Enabled bool `cfg:"enabled"`
	// Servers are RPC addresses; after Normalize every one has a port.
	Servers    []string          `cfg:"servers"`
	ServerJoin ServerJoin        `cfg:"server_join"`
	NodePool   string            `cfg:"node_pool"`
	NodeClass  string            `cfg:"node_class"`
	Meta       map[string]string `cfg:"meta"`
	// StateDir is <data_dir>/client when empty.
	StateDir string `cfg:"state_dir"`
}

// TLS is the tls block (wire.md §1.6). The files are PEM; what is in them is checked when they are loaded.
type TLS struct {
	HTTP bool `cfg:"http"`
	// RPC is for Raft too. Connections without TLS are then refused, except in upgrade mode.
	RPC bool `cfg:"rpc"`
	// VerifyServerHostname checks the role and region in certificates.
	VerifyServerHostname bool   `cfg:"verify_server_hostname"`
	CAFile               string `cfg:"ca_file,reload"`
	CertFile             string `cfg:"cert_file,reload"`
	KeyFile              string `cfg:"key_file,reload"`
	RPCUpgradeMode       bool   `cfg:"rpc_upgrade_mode"`
	// VerifyHTTPSClient demands a certificate of CAFile from HTTPS clients.
	VerifyHTTPSClient bool     `cfg:"verify_https_client"`
	CipherSuites      []string `cfg:"tls_cipher_suites,comma"`
	// MinVersion is tls12 or tls13.
	MinVersion string `cfg:"tls_min_version"`
}

// Public is the public block: a second HTTP listener, which serves only what verifiers of identities need.
type Public struct {
	Enabled bool `cfg:"enabled"`
	// Address is an IP address or template; BindAddr when empty. Port 0 lets the kernel choose.
	Address string `cfg:"address"`
	Port    int    `cfg:"port"`
	TLS     bool   `cfg:"tls"`
	// CertFile and KeyFile are those of the tls block when empty. Verifiers often want a certificate of a public authority.
	CertFile string `cfg:"cert_file,reload"`
	KeyFile  string `cfg:"key_file,reload"`
}

// ACL is the acl block.
type ACL struct {
	Enabled          bool          `cfg:"enabled"`
	TokenTTL         time.Duration `cfg:"token_ttl"`
	PolicyTTL        time.Duration `cfg:"policy_ttl"`
	RoleTTL          time.Duration `cfg:"role_ttl"`
	MinExpirationTTL time.Duration `cfg:"token_min_expiration_ttl"`
	MaxExpirationTTL time.Duration `cfg:"token_max_expiration_ttl"`
	ReplicationToken string        `cfg:"replication_token,secret"`
}

// Telemetry says where metrics go and how often gauges are taken.
type Telemetry struct {
	PrometheusMetrics  bool          `cfg:"prometheus_metrics"`
	CollectionInterval time.Duration `cfg:"collection_interval"`
	DisableHostname    bool          `cfg:"disable_hostname"`
	StatsdAddress      string        `cfg:"statsd_address"`
	StatsiteAddress    string        `cfg:"statsite_address"`
	// InMemoryCollectionInterval and InMemoryRetentionPeriod shape what GET /v1/metrics shows.
	InMemoryCollectionInterval time.Duration `cfg:"in_memory_collection_interval"`
	InMemoryRetentionPeriod    time.Duration `cfg:"in_memory_retention_period"`
}

// Limits bound what one client can hold open. For the counts 0 means no limit, for the timeouts no deadline.
type Limits struct {
	RPCHandshakeTimeout   time.Duration `cfg:"rpc_handshake_timeout"`
	RPCMaxConnsPerClient  int           `cfg:"rpc_max_conns_per_client"`
	HTTPSHandshakeTimeout time.Duration `cfg:"https_handshake_timeout"`
	HTTPMaxConnsPerClient int           `cfg:"http_max_conns_per_client"`

	// What one source address may have of an RPC port besides connections; 0 for no limit.
	RPCMaxStreamsPerClient  int `cfg:"rpc_max_streams_per_client"`
	RPCMaxRequestsPerClient int `cfg:"rpc_max_requests_per_client"`
	RPCMaxBytesPerClient    int `cfg:"rpc_max_bytes_per_client"`
	// What a server takes from all together.
	RPCMaxRequestBytes int           `cfg:"rpc_max_request_bytes"`
	RPCFrameTimeout    time.Duration `cfg:"rpc_frame_timeout"`
	RPCMaxInFlight     int           `cfg:"rpc_max_in_flight"`
	RPCMaxBlocking     int           `cfg:"rpc_max_blocking"`

	HTTPHeaderTimeout        time.Duration `cfg:"http_header_timeout"`
	HTTPBodyTimeout          time.Duration `cfg:"http_body_timeout"`
	HTTPMaxBodyBytes         int           `cfg:"http_max_body_bytes"`
	HTTPMaxRequestsPerClient int           `cfg:"http_max_requests_per_client"`
	HTTPMaxBytesPerClient    int           `cfg:"http_max_bytes_per_client"`

	// RetryAfter is the pause asked of callers that were refused.
	RetryAfter time.Duration `cfg:"retry_after"`
	// HostileLogRate is how many lines a second peers can provoke.
	HostileLogRate int `cfg:"hostile_log_rate"`
}

// Autopilot is what the first leader of a new cluster writes as its autopilot configuration; later the stored one counts.
type Autopilot struct {
	CleanupDeadServers      bool          `cfg:"cleanup_dead_servers"`
	LastContactThreshold    time.Duration `cfg:"last_contact_threshold"`
	MaxTrailingLogs         int           `cfg:"max_trailing_logs"`
	MinQuorum               int           `cfg:"min_quorum"`
	ServerStabilizationTime time.Duration `cfg:"server_stabilization_time"`
}
