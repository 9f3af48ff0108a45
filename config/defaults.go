package config

import "time"

// Default ports of the services.
const (
	DefaultHTTPPort = 4646
	DefaultRPCPort  = 4647
	DefaultSerfPort = 4648
	// DefaultPublicPort is that of the public listener, where there is one.
	DefaultPublicPort = 4649
)

// DefaultConfig returns the configuration of an agent whose files say nothing. It does not pass Validate as it is: neither
// server nor client is enabled and no data directory is given.
func DefaultConfig() *Config {
	return &Config{
		Region:     "global",
		Datacenter: "dc1",
		LogLevel:   "info",
		BindAddr:   "0.0.0.0",
		Ports:      Ports{HTTP: DefaultHTTPPort, RPC: DefaultRPCPort, Serf: DefaultSerfPort},
		Server: Server{
			ServerJoin:               ServerJoin{RetryInterval: 30 * time.Second},
			StartTimeout:             30 * time.Second,
			RaftMultiplier:           1,
			RaftTrailingLogs:         10240,
			EnableEventBroker:        true,
			EventBufferSize:          100,
			RaftSnapshotThreshold:    8192,
			RaftSnapshotInterval:     120 * time.Second,
			RaftLogStore:             RaftLogStore{Backend: "boltdb", BoltDB: BoltDB{NoFreelistSync: true}},
			MinHeartbeatTTL:          10 * time.Second,
			MaxHeartbeatsPerSecond:   50,
			HeartbeatGrace:           10 * time.Second,
			FailoverHeartbeatTTL:     300 * time.Second,
			NodeGCThreshold:          24 * time.Hour,
			RootKeyGCInterval:        10 * time.Minute,
			RootKeyGCThreshold:       time.Hour,
			RootKeyRotationThreshold: 720 * time.Hour,
			SigningAlgorithm:         "ES256",
			ClientIntroduction: ClientIntroduction{
				Enforcement:        "warn",
				DefaultIdentityTTL: 5 * time.Minute,
				MaxIdentityTTL:     30 * time.Minute,
			},
		},
		Client: Client{
			ServerJoin: ServerJoin{RetryInterval: 30 * time.Second},
		},
		TLS:    TLS{MinVersion: "tls12"},
		Public: Public{Port: DefaultPublicPort},
		ACL:    ACL{TokenTTL: 30 * time.Second, PolicyTTL: 30 * time.Second, RoleTTL: 30 * time.Second, MinExpirationTTL: time.Minute, MaxExpirationTTL: 24 * time.Hour},
		Telemetry: Telemetry{
			CollectionInterval:         time.Second,
			InMemoryCollectionInterval: 10 * time.Second,
			InMemoryRetentionPeriod:    time.Minute,
		},
		Limits: Limits{
			RPCHandshakeTimeout:   5 * time.Second,
			RPCMaxConnsPerClient:  100,
			HTTPSHandshakeTimeout: 5 * time.Second,
			HTTPMaxConnsPerClient: 100,

			RPCMaxStreamsPerClient:   2048,
			RPCMaxRequestsPerClient:  2048,
			RPCMaxBytesPerClient:     16 << 20,
			RPCMaxRequestBytes:       2 << 20,
			RPCFrameTimeout:          time.Minute,
			RPCMaxInFlight:           4096,
			RPCMaxBlocking:           200_000,
			HTTPHeaderTimeout:        10 * time.Second,
			HTTPBodyTimeout:          30 * time.Second,
			HTTPMaxBodyBytes:         1 << 20,
			HTTPMaxRequestsPerClient: 400,
			HTTPMaxBytesPerClient:    16 << 20,
			RetryAfter:               time.Second,
			HostileLogRate:           10,
		},
		Autopilot: Autopilot{
			CleanupDeadServers:      true,
			LastContactThreshold:    200 * time.Millisecond,
			MaxTrailingLogs:         250,
			ServerStabilizationTime: 10 * time.Second,
		},
	}
}

// DevConfig returns the configuration of `rollcall agent -dev`: one server and one client on loopback, state in memory.
func DevConfig() *Config {
	c := DefaultConfig()
	c.DevMode = true
	c.LogLevel = "debug"
	c.EnableDebug = true
	c.BindAddr = "127.0.0.1"
	c.Server.Enabled = true
	c.Server.BootstrapExpect = 1
	c.Client.Enabled = true
	c.Telemetry.PrometheusMetrics = true
	return c
}
