package config

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// good is the least that passes, at the lines before the snippet of a test case.
const good = `data_dir = "/d"
bind_addr = "10.0.0.1"
server {
  enabled = true
  bootstrap_expect = 3
  @
}
client {
  enabled = true
  #
}
`

func TestValidationTellsEveryProblemWithItsLine(t *testing.T) {
	t.Parallel()
	const aZ = "must be 1 to 63 letters, digits, - or _ and begin and end with a letter or digit"
	for _, tc := range []struct {
		name string
		// One of these is put into good: after it, into its server block or into its client block.
		top, server, client string
		want                []string
		warn                []string
	}{
		{name: "the least that is needed passes"},

		{name: "a region with a dot is refused", top: `region = "a.b"`, want: []string{"f:12: region: " + aZ}},
		{name: "an empty region is refused", top: `region = ""`, want: []string{"f:12: region: " + aZ}},
		{name: "a region too long for a host name is refused", top: `region = "` + strings.Repeat("a", 64) + `"`,
			want: []string{"f:12: region: " + aZ}},
		{name: "a region of 63 letters passes", top: `region = "` + strings.Repeat("a", 63) + `"`},
		{name: "a datacenter with a colon is refused", top: `datacenter = "a:b"`,
			want: []string{"f:12: datacenter: must be 1 to 63 letters, digits, dots, - or _ and begin and end with a letter or digit"}},
		{name: "a name with a space is refused", top: `name = "a b"`,
			want: []string{"f:12: name: must be 1 to 63 letters, digits, dots, - or _ and begin and end with a letter or digit"}},
		{name: "a name with dots passes", top: `name = "a.b-c_1"`},
		{name: "a log level must exist", top: `log_level = "loud"`,
			want: []string{"f:12: log_level: must be one of trace, debug, info, warn, error, off"}},
		{name: "a log level in capitals passes", top: `log_level = "WARN"`},

		{name: "a port too large is refused", top: "ports {\n http = 65536\n}", want: []string{"f:13: ports.http: must be from 0 to 65535, got 65536"}},
		{name: "a negative port is refused", top: "ports {\n rpc = -1\n}", want: []string{"f:13: ports.rpc: must be from 0 to 65535, got -1"}},
		{name: "two equal ports are refused", top: "ports {\n serf = 4647\n}", want: []string{"f:13: ports.serf: is 4647, the same as ports.rpc"}},
		{name: "ports left to the kernel may repeat", top: "ports {\n serf = 0\n rpc = 0\n http = 0\n}"},

		{name: "a relative server data_dir is refused", server: `data_dir = "d"`, want: []string{"f:6: server.data_dir: must be an absolute path"}},
		{name: "a relative state_dir is refused", client: `state_dir = "d"`, want: []string{"f:10: client.state_dir: must be an absolute path"}},
		{name: "a non-voting server can't bootstrap", server: "non_voting_server = true",
			want: []string{"f:5: server.bootstrap_expect: a non-voting server can't take part in the first election; leave bootstrap_expect out"}},
		{name: "encrypt must be base64", server: `encrypt = "%%%"`,
			want: []string{"f:6: server.encrypt: must be 16, 24 or 32 bytes in standard base64 (make one with: openssl rand -base64 32)"}},
		{name: "encrypt must have a length AES knows", server: `encrypt = "AAECAwQFBgcICQoLDA0O"`,
			want: []string{"f:6: server.encrypt: must be 16, 24 or 32 bytes in standard base64 (make one with: openssl rand -base64 32)"}},
		{name: "an encrypt key of 32 bytes passes", server: `encrypt = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="`},
		{name: "raft_multiplier is bounded", server: "raft_multiplier = 11", want: []string{"f:6: server.raft_multiplier: must be from 1 to 10, got 11"}},
		{name: "raft_trailing_logs is positive", server: "raft_trailing_logs = 0",
			want: []string{"f:6: server.raft_trailing_logs: must be from 1 to 2147483647, got 0"}},
		{name: "raft_snapshot_threshold is positive", server: "raft_snapshot_threshold = -1",
			want: []string{"f:6: server.raft_snapshot_threshold: must be from 1 to 2147483647, got -1"}},
		{name: "raft_snapshot_interval has a least value", server: `raft_snapshot_interval = "1ms"`,
			want: []string{"f:6: server.raft_snapshot_interval: must be at least 5ms, got 1ms"}},
		{name: "the WAL log store is refused", server: "raft_logstore {\n backend = \"wal\"\n}",
			want: []string{`f:7: server.raft_logstore.backend: must be "boltdb", the only log store of this version`}},
		{name: "min_heartbeat_ttl has a least value", server: `min_heartbeat_ttl = "999ms"`,
			want: []string{"f:6: server.min_heartbeat_ttl: must be from 1s to 1h, got 999ms"}},
		{name: "min_heartbeat_ttl has a greatest value", server: "min_heartbeat_ttl = \"61m\"\nfailover_heartbeat_ttl = \"61m\"",
			want: []string{"f:6: server.min_heartbeat_ttl: must be from 1s to 1h, got 1h1m0s"}},
		{name: "max_heartbeats_per_second is positive", server: "max_heartbeats_per_second = 0",
			want: []string{"f:6: server.max_heartbeats_per_second: must be more than 0, got 0"}},
		{name: "max_heartbeats_per_second is finite", server: "max_heartbeats_per_second = 1e999",
			want: []string{"f:6: server.max_heartbeats_per_second: must be more than 0, got +Inf"}},
		{name: "heartbeat_grace is not negative", server: `heartbeat_grace = "-1s"`,
			want: []string{"f:6: server.heartbeat_grace: must be 0s or more, got -1s"}},
		{name: "no heartbeat_grace passes", server: `heartbeat_grace = "0s"`},
		{name: "failover_heartbeat_ttl is not below the least TTL", server: `failover_heartbeat_ttl = "9s"`,
			want: []string{"f:6: server.failover_heartbeat_ttl: must not be shorter than min_heartbeat_ttl (10s), got 9s"}},
		{name: "node_gc_threshold is positive", server: `node_gc_threshold = "0s"`,
			want: []string{"f:6: server.node_gc_threshold: must be more than 0s, got 0s"}},
		{name: "start_timeout is positive", server: `start_timeout = "-1s"`, want: []string{"f:6: server.start_timeout: must be more than 0s, got -1s"}},
		{name: "key times are positive",
			server: "root_key_gc_interval = \"0s\"\nroot_key_gc_threshold = \"0s\"\nroot_key_rotation_threshold = \"0s\"",
			want: []string{
				"f:6: server.root_key_gc_interval: must be more than 0s, got 0s",
				"f:7: server.root_key_gc_threshold: must be more than 0s, got 0s",
				"f:8: server.root_key_rotation_threshold: must be more than 0s, got 0s"}},
		{name: "a rotation checked too seldom is warned about", server: `root_key_rotation_threshold = "5m"`,
			warn: []string{"f:3: server.root_key_gc_interval: keys are rotated only every 10m0s, later than root_key_rotation_threshold (5m0s) asks"}},
		{name: "the signing algorithm must exist", server: `signing_algorithm = "HS256"`,
			want: []string{"f:6: server.signing_algorithm: must be one of ES256, EdDSA, RS256"}},
		{name: "an authoritative region is a region", server: `authoritative_region = "a b"`,
			want: []string{"f:6: server.authoritative_region: must be a region's name: 1 to 63 letters, digits, - or _"}},

		{name: "an issuer is absolute", server: `oidc_issuer = "id.example.net"`,
			want: []string{"f:6: server.oidc_issuer: must be an absolute https:// or http:// URL"}},
		{name: "an issuer has a host", server: `oidc_issuer = "https:///x"`,
			want: []string{"f:6: server.oidc_issuer: must be an absolute https:// or http:// URL"}},
		{name: "an issuer of another scheme is refused", server: `oidc_issuer = "ftp://x"`,
			want: []string{"f:6: server.oidc_issuer: must be an absolute https:// or http:// URL"}},
		{name: "an issuer has no query", server: `oidc_issuer = "https://x/?"`,
			want: []string{"f:6: server.oidc_issuer: must have no query and no fragment"}},
		{name: "an issuer has no fragment", server: `oidc_issuer = "https://x/#a"`,
			want: []string{"f:6: server.oidc_issuer: must have no query and no fragment"}},
		{name: "an issuer has no password", server: `oidc_issuer = "https://u:p@x"`,
			want: []string{"f:6: server.oidc_issuer: must not hold a user name or password: every token carries it"}},
		{name: "an issuer with a slash at the end or without TLS is warned about", server: `oidc_issuer = "http://x/"`,
			warn: []string{
				"f:6: server.oidc_issuer: is not https; most verifiers refuse it, and whoever is on the path can forge keys",
				"f:6: server.oidc_issuer: ends in a slash; tokens carry it as written, and verifiers compare it letter by letter"}},

		{name: "the introduction's enforcement must exist", server: "client_introduction {\n enforcement = \"lax\"\n}",
			want: []string{"f:7: server.client_introduction.enforcement: must be one of none, warn, strict"}},
		{name: "introduction TTLs are positive", server: "client_introduction {\n default_identity_ttl = \"0s\"\n max_identity_ttl = \"-1s\"\n}",
			want: []string{
				"f:7: server.client_introduction.default_identity_ttl: must be more than 0s, got 0s",
				"f:8: server.client_introduction.max_identity_ttl: must be more than 0s, got -1s"}},
		{name: "the greatest introduction TTL is not below the default", server: "client_introduction {\n max_identity_ttl = \"4m\"\n}",
			want: []string{"f:7: server.client_introduction.max_identity_ttl: must not be shorter than default_identity_ttl (5m0s), got 4m0s"}},

		{name: "join settings are sane", server: "server_join {\n retry_max = -1\n retry_interval = \"0s\"\n}",
			want: []string{
				"f:7: server.server_join.retry_max: must be 0 or more, got -1",
				"f:8: server.server_join.retry_interval: must be more than 0s, got 0s"}},

		{name: "a node pool has its letters", client: `node_pool = "a b"`, want: []string{"f:10: client.node_pool: must be 1 to 128 letters, digits, - or _"}},
		{name: "a node pool is not too long", client: `node_pool = "` + strings.Repeat("a", 129) + `"`,
			want: []string{"f:10: client.node_pool: must be 1 to 128 letters, digits, - or _"}},
		{name: "the pool of all nodes is refused", client: `node_pool = "all"`,
			want: []string{`f:10: client.node_pool: must not be "all", the built-in pool of every node`}},
		{name: "a node class has no control characters", client: `node_class = "a\nb"`,
			want: []string{"f:10: client.node_class: must be at most 128 bytes without control characters"}},
		{name: "meta names have no control characters", client: `meta = { "a\nb" = "c" }`,
			want: []string{"f:10: client.meta: names must be 1 to 128 bytes without control characters"}},

		{name: "a keyring of the field is not built in", top: "keyring \"awskms\" {\n active = true\n}",
			want: []string{"f:12: keyring.awskms: provider awskms is not built in; use aead or transit"}},
		{name: "an unknown keyring is told apart", top: "keyring \"vault\" {\n active = true\n}",
			want: []string{"f:12: keyring.vault: unknown provider; use aead or transit"}},
		{name: "two active keyrings are refused", top: "keyring \"aead\" {\n active = true\n}\nkeyring \"aead\" {\n active = true\n name = \"b\"\n}",
			want: []string{"f:15: keyring.aead.b: only one keyring block may be active"}},
		{name: "no active keyring among several is refused", top: "keyring \"aead\" {\n name = \"a\"\n}",
			want: []string{"f:12: keyring: none of the keyring blocks is active; set active = true in one"}},
		{name: "a keyring's name and path are checked", top: "keyring \"aead\" {\n active = true\n name = \"a b\"\n kek_file = \"k\"\n}",
			want: []string{
				"f:12: keyring.aead.a b: name must be 1 to 128 letters, digits, - or _",
				"f:12: keyring.aead.a b: kek_file must be an absolute path"}},
		{name: "a key-encryption key has one source", top: "keyring \"aead\" {\n active = true\n kek_file = \"/k\"\n kek_credential = \"k\"\n}",
			want: []string{"f:12: keyring.aead: give one of kek_file and kek_credential"}},
		{name: "a credential is a name and no path", top: "keyring \"aead\" {\n active = true\n kek_credential = \"../k\"\n}",
			want: []string{"f:12: keyring.aead: kek_credential must be the name of a systemd credential: 1 to 128 letters, digits, -, _ or ."}},
		{name: "transit says what it lacks", top: "keyring \"transit\" {\n active = true\n}",
			want: []string{"f:12: keyring.transit: mount_path is missing", "f:12: keyring.transit: key_name is missing",
				"f:12: keyring.transit: address is missing, in the block and in VAULT_ADDR"}},
		{name: "transit's settings are checked", top: `keyring "transit" {
 active = true
 mount_path = "transit"
 key_name = "k"
 address = "ldap://kms"
 tls_skip_verify = "maybe"
 tls_ca_cert = "ca.pem"
 tls_client_cert = "/c"
}`,
			want: []string{"f:12: keyring.transit: address must be an https:// or http:// URL",
				`f:12: keyring.transit: tls_skip_verify must be "true" or "false"`, "f:12: keyring.transit: tls_ca_cert must be an absolute path",
				"f:12: keyring.transit: tls_client_cert and tls_client_key go together"}},
		{name: "transit's address holds no password", top: `keyring "transit" {
 active = true
 mount_path = "transit"
 key_name = "k"
 address = "https://user:hunter2@kms"
}`,
			want: []string{"f:12: keyring.transit: address must have no user name, query or fragment"}},

		{name: "TLS with its files passes",
			top: "tls {\n rpc = true\n http = true\n verify_server_hostname = true\n ca_file = \"/a\"\n cert_file = \"/b\"\n key_file = \"/c\"\n}"},
		{name: "TLS that lets anyone in is warned about",
			top: "tls {\n rpc = true\n rpc_upgrade_mode = true\n ca_file = \"/a\"\n cert_file = \"/b\"\n key_file = \"/c\"\n}",
			warn: []string{
				"f:14: tls.rpc_upgrade_mode: lets in connections without TLS; remove it once every agent uses TLS",
				"f:12: tls.verify_server_hostname: is false: every certificate of the authority, a client's too, may act as a server"}},
		{name: "TLS needs its files", top: "tls {\n http = true\n ca_file = \"/a\"\n}",
			want: []string{
				"f:12: tls.cert_file: is required when tls.rpc or tls.http is true",
				"f:12: tls.key_file: is required when tls.rpc or tls.http is true"}},
		{name: "TLS checks without TLS are refused", top: "tls {\n verify_server_hostname = true\n verify_https_client = true\n}",
			want: []string{
				"f:13: tls.verify_server_hostname: has no effect while tls.rpc is false; it would promise a protection that is not there",
				"f:14: tls.verify_https_client: has no effect while tls.http is false; it would promise a protection that is not there"}},
		{name: "TLS leftovers are warned about", top: "tls {\n key_file = \"/c\"\n rpc_upgrade_mode = true\n}",
			warn: []string{
				"f:13: tls.key_file: has no effect while tls.rpc and tls.http are false",
				"f:14: tls.rpc_upgrade_mode: has no effect while tls.rpc is false"}},
		{name: "TLS versions and suites must exist",
			top: "tls {\n tls_min_version = \"ssl3\"\n tls_cipher_suites = \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, RC4\"\n}",
			want: []string{
				"f:13: tls.tls_min_version: must be one of tls12, tls13",
				`f:14: tls.tls_cipher_suites: "RC4" is not a secure cipher suite known here`}},
		{name: "TLS before 1.2 is refused", top: "tls {\n tls_min_version = \"tls11\"\n}",
			want: []string{"f:13: tls.tls_min_version: tls11 is refused, it is not secure any more; set tls12 or tls13"}},
		{name: "a public listener passes", top: "public {\n enabled = true\n}"},
		{name: "a public listener has a port of its own", top: "public {\n enabled = true\n port = 4646\n}",
			want: []string{"f:14: public.port: is 4646, the same as ports.http"}},
		{name: "a public listener has one address", top: "public {\n enabled = true\n address = \"10.0.0.1 10.0.0.2\"\n}",
			want: []string{"f:14: public.address: must be one address, got 2; only addresses.http may have several"}},
		{name: "HTTPS on the public listener needs a certificate", top: "public {\n enabled = true\n tls = true\n}",
			want: []string{"f:14: public.tls: needs public.cert_file and public.key_file, or those of the tls block"}},
		{name: "HTTPS on the public listener may use that of the agent",
			top: "public {\n enabled = true\n tls = true\n}\ntls {\n cert_file = \"/b\"\n key_file = \"/c\"\n}"},
		{name: "the public listener's certificate has a key", top: "public {\n enabled = true\n tls = true\n cert_file = \"/b\"\n}",
			want: []string{"f:15: public.cert_file: and public.key_file must be given together"}},
		{name: "leftovers of a public listener are warned about", top: "public {\n tls = true\n cert_file = \"/b\"\n}",
			warn: []string{"f:13: public.tls: has no effect while public.enabled is false"}},
		{name: "ACLs on", top: "acl {\n enabled = true\n token_min_expiration_ttl = \"1h\"\n token_max_expiration_ttl = \"48h\"\n}"},
		{name: "a longest life that is shorter than the shortest", top: "acl {\n token_min_expiration_ttl = \"2h\"\n token_max_expiration_ttl = \"1h\"\n}",
			want: []string{"f:14: acl.token_max_expiration_ttl: must not be less than acl.token_min_expiration_ttl (2h0m0s), got 1h0m0s"}},
		{name: "ACL times are positive", top: "acl {\n token_ttl = \"0s\"\n policy_ttl = \"0s\"\n role_ttl = \"0s\"\n}",
			want: []string{
				"f:13: acl.token_ttl: must be more than 0s, got 0s",
				"f:14: acl.policy_ttl: must be more than 0s, got 0s",
				"f:15: acl.role_ttl: must be more than 0s, got 0s"}},
		{name: "a replication token is warned about", top: "acl {\n replication_token = \"x\"\n}",
			warn: []string{"f:13: acl.replication_token: has no effect: tokens are not replicated between regions"}},

		{name: "telemetry is checked",
			top: "telemetry {\n collection_interval = \"0s\"\n in_memory_collection_interval = \"0s\"\n in_memory_retention_period = \"-1s\"\n" +
				" statsd_address = \"x\"\n statsite_address = \"x:0\"\n}",
			want: []string{
				"f:13: telemetry.collection_interval: must be more than 0s, got 0s",
				"f:14: telemetry.in_memory_collection_interval: must be more than 0s, got 0s",
				"f:15: telemetry.in_memory_retention_period: must not be shorter than in_memory_collection_interval (0s), got -1s",
				"f:16: telemetry.statsd_address: must be HOST:PORT",
				"f:17: telemetry.statsite_address: must be HOST:PORT"}},
		{name: "limits are checked",
			top: "limits {\n rpc_handshake_timeout = \"-1s\"\n https_handshake_timeout = \"-1s\"\n http_max_conns_per_client = -1\n rpc_max_conns_per_client = 20\n}",
			want: []string{
				"f:13: limits.rpc_handshake_timeout: must be 0s or more, got -1s",
				"f:14: limits.https_handshake_timeout: must be 0s or more, got -1s",
				"f:15: limits.http_max_conns_per_client: must be 0 or more, got -1",
				"f:16: limits.rpc_max_conns_per_client: must be 0 for no limit, or more than the 20 kept free of streams, got 20"}},
		{name: "the limits of our own are checked",
			top: "limits {\n rpc_max_streams_per_client = 5\n rpc_max_bytes_per_client = 1000\n rpc_max_request_bytes = 1\n http_body_timeout = \"0s\"\n" +
				" retry_after = \"2m\"\n hostile_log_rate = 0\n}",
			want: []string{
				"f:16: limits.http_body_timeout: must be more than 0s, got 0s",
				"f:17: limits.retry_after: must be from 1ms to 1m, got 2m0s",
				"f:18: limits.hostile_log_rate: must be from 1 to 1000, got 0",
				"f:15: limits.rpc_max_request_bytes: must be from 65536 to 67108864, got 1",
				"f:13: limits.rpc_max_streams_per_client: must be 0 for no limit, or 16 or more, got 5",
				"f:14: limits.rpc_max_bytes_per_client: must be 0 for no limit, or 65536 or more, got 1000"}},
		{name: "limits of nothing pass", top: "limits {\n rpc_handshake_timeout = \"0s\"\n http_max_conns_per_client = 0\n rpc_max_conns_per_client = 21\n}"},
		{name: "autopilot is checked",
			top: "autopilot {\n last_contact_threshold = \"0s\"\n server_stabilization_time = \"0s\"\n max_trailing_logs = -1\n min_quorum = -1\n}",
			want: []string{
				"f:13: autopilot.last_contact_threshold: must be more than 0s, got 0s",
				"f:14: autopilot.server_stabilization_time: must be more than 0s, got 0s",
				"f:15: autopilot.max_trailing_logs: must be 0 or more, got -1",
				"f:16: autopilot.min_quorum: must be 0 or more, got -1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			src := strings.Replace(good, "  @", tc.server, 1)
			src = strings.Replace(src, "  #", tc.client, 1) + tc.top
			v := mustParse(t, DefaultConfig(), "f", src).check(lone("10.0.0.1"))
			if diff := cmp.Diff(tc.want, errorLines(v.errs.err())); diff != "" {
				t.Errorf("errors differ (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.warn, append([]string(nil), lines(v.warns)...)); diff != "" {
				t.Errorf("warnings differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValidationOfTheWholeAgent(t *testing.T) {
	t.Parallel()
	const needsServers = "client.servers: a client without a server of its own needs client.servers or client.server_join.retry_join"
	for _, tc := range []struct {
		name string
		base func() *Config
		src  string
		want []string
		warn []string
	}{
		{name: "the defaults alone have nothing to run and nowhere to store", base: DefaultConfig,
			want: []string{
				"neither server.enabled nor client.enabled is true, so there is nothing to run",
				"data_dir: is required: give an absolute path for what the agent persists"}},
		{name: "dev mode passes as it is", base: DevConfig},
		{name: "dev mode is one server", base: DevConfig, src: "server {\n bootstrap_expect = 3\n}",
			want: []string{"f:2: server.bootstrap_expect: must be 1 in dev mode, got 3"}},
		{name: "a relative data_dir is refused", base: DevConfig, src: `data_dir = "x"`,
			want: []string{"f:1: data_dir: must be an absolute path"}},
		{name: "an even number of servers is warned about", base: DefaultConfig,
			src:  "data_dir = \"/d\"\nserver {\n enabled = true\n bootstrap_expect = 4\n}",
			warn: []string{"f:4: server.bootstrap_expect: 4 servers survive the loss of no more servers than 3 do; an odd number is better"}},
		{name: "a negative number of servers is refused", base: DefaultConfig,
			src:  "data_dir = \"/d\"\nserver {\n enabled = true\n bootstrap_expect = -3\n}",
			want: []string{"f:4: server.bootstrap_expect: must be 0 or more, got -3"}},
		{name: "a server that neither bootstraps nor joins is warned about", base: DefaultConfig,
			src:  "data_dir = \"/d\"\nserver {\n enabled = true\n}",
			warn: []string{"f:2: server.bootstrap_expect: without bootstrap_expect and without server_join the server waits to be joined by others"}},
		{name: "a client needs servers", base: DefaultConfig, src: "data_dir = \"/d\"\nclient {\n enabled = true\n}",
			want: []string{"f:2: " + needsServers}},
		{name: "a client with servers passes", base: DefaultConfig,
			src: "data_dir = \"/d\"\nclient {\n enabled = true\n servers = [\"10.0.0.1\"]\n}"},
		{name: "a client that joins passes", base: DefaultConfig,
			src: "data_dir = \"/d\"\nclient {\n enabled = true\n server_join {\n  retry_join = [\"10.0.0.1\"]\n }\n}"},
		{name: "settings of a part that is off are not checked", base: DefaultConfig,
			src: "data_dir = \"/d\"\nclient {\n enabled = true\n servers = [\"10.0.0.1\"]\n}\nserver {\n raft_multiplier = 99\n}"},
		{name: "several servers on loopback are warned about", base: DefaultConfig,
			src:  "data_dir = \"/d\"\nbind_addr = \"127.0.0.1\"\nserver {\n enabled = true\n bootstrap_expect = 3\n}",
			warn: []string{"advertise.rpc: publishes 127.0.0.1:4647, which only programs on this machine can reach"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			v := mustParse(t, tc.base(), "f", tc.src).check(lone(""))
			if diff := cmp.Diff(tc.want, errorLines(v.errs.err())); diff != "" {
				t.Errorf("errors differ (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.warn, append([]string(nil), lines(v.warns)...)); diff != "" {
				t.Errorf("warnings differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValidationOfAConfigurationMadeInCode(t *testing.T) {
	t.Parallel()
	c := DevConfig()
	if err := c.Validate(); err != nil {
		t.Errorf("dev mode is not valid on this machine: %v", err)
	}
	if w := c.Warnings(); len(w) != 0 {
		t.Errorf("dev mode has warnings: %v", lines(w))
	}
	c.Server.MaxHeartbeatsPerSecond = math.NaN()
	c.Client.NodePool = "all"
	err := c.Validate()
	want := []string{
		"server.max_heartbeats_per_second: must be more than 0, got NaN",
		`client.node_pool: must not be "all", the built-in pool of every node`,
	}
	if diff := cmp.Diff(want, errorLines(err)); diff != "" {
		t.Errorf("errors differ (-want +got):\n%s", diff)
	}
	var p *Problem
	if !errors.As(err, &p) || p.Key != "server.max_heartbeats_per_second" {
		t.Errorf("errors.As found %+v", p)
	}
}

func TestWarningsHoldThoseOfReadingAndOfChecking(t *testing.T) {
	t.Parallel()
	c := mustParse(t, DevConfig(), "f.hcl", "consul {}\nserver {\n oidc_issuer = \"https://x/\"\n}")
	want := []string{
		"f.hcl:1: consul: has no meaning here and is ignored",
		"f.hcl:3: server.oidc_issuer: ends in a slash; tokens carry it as written, and verifiers compare it letter by letter",
	}
	for range 2 { // asking twice gives the same
		if diff := cmp.Diff(want, lines(c.Warnings())); diff != "" {
			t.Errorf("warnings differ (-want +got):\n%s", diff)
		}
	}
}

func TestIssuerURLHasOneSlash(t *testing.T) {
	t.Parallel()
	for issuer, want := range map[string]string{
		"": "", "https://x": "https://x/.well-known/jwks.json", "https://x/": "https://x/.well-known/jwks.json",
		"https://x/a": "https://x/a/.well-known/jwks.json",
	} {
		if got := (Server{OIDCIssuer: issuer}).IssuerURL("/.well-known/jwks.json"); got != want {
			t.Errorf("issuer %q gives %q, want %q", issuer, got, want)
		}
	}
}
