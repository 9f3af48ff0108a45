package agent

import (
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/config"
	"github.com/rollcall-id/rollcall/httpapi"
	"github.com/rollcall-id/rollcall/server"
)

const serverOnly = `
data_dir  = "/nonexistent/rollcall"
bind_addr = "127.0.0.1"
name      = "srv"
server { enabled = true }
`

// TestEverySettingReachesTheServer changes one setting at a time and looks where it arrives.
func TestEverySettingReachesTheServer(t *testing.T) {
	kek := []byte("0123456789abcdef0123456789abcdef")
	kekFile := filepath.Join(t.TempDir(), "kek")
	if err := os.WriteFile(kekFile, []byte(base64.StdEncoding.EncodeToString(kek)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in := func(block, line string) string { return fmt.Sprintf("%s {\n%s\n}\n", block, line) }
	tests := []struct {
		setting string
		text    string
		got     func(c server.Config) any
		want    any
	}{
		{"region", `region = "eu"`, func(c server.Config) any { return c.Region }, "eu"},
		{"datacenter", `datacenter = "ber1"`, func(c server.Config) any { return c.Datacenter }, "ber1"},
		{"name", `name = "other"`, func(c server.Config) any { return c.NodeName }, "other"},
		{"data_dir", `data_dir = "/elsewhere"`, func(c server.Config) any { return c.DataDir }, "/elsewhere/server"},
		{"server.data_dir", in("server", `data_dir = "/fast"`), func(c server.Config) any { return c.DataDir }, "/fast"},
		{"server.authoritative_region", in("server", `authoritative_region = "us"`), func(c server.Config) any { return c.AuthoritativeRegion }, "us"},
		{"server.bootstrap_expect", in("server", `bootstrap_expect = 5`), func(c server.Config) any { return c.BootstrapExpect }, 5},
		{"server.non_voting_server", in("server", "bootstrap_expect = 0\nnon_voting_server = true\nserver_join { retry_join = [\"127.0.0.1\"] }"),
			func(c server.Config) any { return c.NonVoter }, true},
		{"server.server_join", in("server", in("server_join", `start_join = ["10.0.0.1"]
			retry_join = ["10.0.0.2:7648"]
			retry_interval = "7s"
			retry_max = 9`)), func(c server.Config) any { return c.RetryJoin },
			server.RetryJoin{Addrs: []string{"10.0.0.1:4648", "10.0.0.2:7648"}, Interval: 7 * time.Second, MaxTries: 9}},
		{"server.encrypt", in("server", `encrypt = "`+base64.StdEncoding.EncodeToString(kek)+`"`), func(c server.Config) any { return string(c.Gossip.EncryptKey) }, string(kek)},
		{"server.start_timeout", in("server", `start_timeout = "3s"`), func(c server.Config) any { return c.Keys.StartLimit }, 3 * time.Second},
		{"server.raft_multiplier", in("server", `raft_multiplier = 4`), func(c server.Config) any { return c.Raft.Multiplier }, 4},
		{"server.raft_trailing_logs", in("server", `raft_trailing_logs = 77`), func(c server.Config) any { return c.Raft.TrailingLogs }, uint64(77)},
		{"server.raft_snapshot_threshold", in("server", `raft_snapshot_threshold = 78`), func(c server.Config) any { return c.Raft.SnapshotThreshold }, uint64(78)},
		{"server.raft_snapshot_interval", in("server", `raft_snapshot_interval = "79s"`), func(c server.Config) any { return c.Raft.SnapshotInterval }, 79 * time.Second},
		{"server.raft_logstore.boltdb.no_freelist_sync", in("server", in("raft_logstore", in("boltdb", `no_freelist_sync = false`))),
			func(c server.Config) any { return c.Raft.NoFreelistSync }, false},
		{"server.raft_logstore.disable_log_cache", in("server", in("raft_logstore", `disable_log_cache = true`)),
			func(c server.Config) any { return c.Raft.DisableLogCache }, true},
		{"server.min_heartbeat_ttl", in("server", `min_heartbeat_ttl = "21s"`), func(c server.Config) any { return c.Heartbeat.MinTTL }, 21 * time.Second},
		{"server.max_heartbeats_per_second", in("server", `max_heartbeats_per_second = 12.5`), func(c server.Config) any { return c.Heartbeat.MaxPerSecond }, 12.5},
		{"server.heartbeat_grace", in("server", `heartbeat_grace = "22s"`), func(c server.Config) any { return c.Heartbeat.Grace }, 22 * time.Second},
		{"server.failover_heartbeat_ttl", in("server", `failover_heartbeat_ttl = "6m"`), func(c server.Config) any { return c.Heartbeat.FailoverTTL }, 6 * time.Minute},
		{"server.ignore_state_digest_checks", in("server", `ignore_state_digest_checks = true`), func(c server.Config) any { return c.IgnoreDigestChecks }, true},
		{"server.event_buffer_size", in("server", `event_buffer_size = 321`), func(c server.Config) any { return c.EventBuffer }, 321},
		{"server.enable_event_broker", in("server", `enable_event_broker = false`), func(c server.Config) any { return c.EventBuffer }, 0},
		{"server.node_gc_threshold", in("server", `node_gc_threshold = "25h"`), func(c server.Config) any { return c.NodeGC.Threshold }, 25 * time.Hour},
		{"server.root_key_gc_interval", in("server", `root_key_gc_interval = "11m"`), func(c server.Config) any { return c.Keys.Interval }, 11 * time.Minute},
		{"server.root_key_gc_threshold", in("server", `root_key_gc_threshold = "2h"`), func(c server.Config) any { return c.Keys.Policy.GCThreshold }, 2 * time.Hour},
		{"server.root_key_rotation_threshold", in("server", `root_key_rotation_threshold = "800h"`), func(c server.Config) any { return c.Keys.Policy.RotationThreshold }, 800 * time.Hour},
		{"server.signing_algorithm", in("server", `signing_algorithm = "EdDSA"`), func(c server.Config) any { return c.Keys.Keyring.Algorithm }, "EdDSA"},
		{"server.oidc_issuer", in("server", `oidc_issuer = "https://id.example.net"`), func(c server.Config) any { return c.RPC.Issuer }, "https://id.example.net"},
		{"server.client_introduction", in("server", in("client_introduction", `enforcement = "strict"
			default_identity_ttl = "6m"
			max_identity_ttl = "31m"`)), func(c server.Config) any {
			return fmt.Sprint(c.RPC.Introduction)
		}, "{strict 6m0s 31m0s}"},
		{"keyring", fmt.Sprintf("keyring \"aead\" {\nactive = true\nname = \"disk\"\nkek_file = %q\n}", kekFile), func(c server.Config) any {
			w := c.Keys.Keyring.Wrappers
			if len(w) != 1 {
				return w
			}
			return fmt.Sprintf("%s %v %v", w[0].ID(), w[0].Active, string(w[0].KEK) == string(kek))
		}, "aead.disk true true"},
		{"keyring of another service", `keyring "transit" {
			active = true
			address = "https://kms.example"
			token = "t"
			mount_path = "transit"
			key_name = "k"
		}`, func(c server.Config) any {
			w := c.Keys.Keyring.Wrappers
			if len(w) != 1 || w[0].Wrapper == nil {
				return w
			}
			return w[0].String()
		}, "keyring provider transit (transit key transit/k at https://kms.example)"},
		{"limits.rpc_max_conns_per_client", in("limits", `rpc_max_conns_per_client = 31`), func(c server.Config) any { return c.ConnLimits.MaxPerIP }, 31},
		{"limits.rpc_handshake_timeout", in("limits", `rpc_handshake_timeout = "9s"`), func(c server.Config) any { return c.ConnLimits.HandshakeTimeout }, 9 * time.Second},
		{"limits.rpc_max_streams_per_client", in("limits", `rpc_max_streams_per_client = 32`), func(c server.Config) any { return c.ConnLimits.MaxStreamsPerIP }, 32},
		{"limits.rpc_max_requests_per_client", in("limits", `rpc_max_requests_per_client = 33`), func(c server.Config) any { return c.ConnLimits.MaxRequestsPerIP }, 33},
		{"limits.rpc_max_bytes_per_client", in("limits", `rpc_max_bytes_per_client = 4194304`), func(c server.Config) any { return c.ConnLimits.MaxBytesPerIP }, 4 << 20},
		{"limits.rpc_max_request_bytes", in("limits", `rpc_max_request_bytes = 65536`), func(c server.Config) any { return c.ConnLimits.MaxRequestBytes }, 64 << 10},
		{"limits.rpc_frame_timeout", in("limits", `rpc_frame_timeout = "11s"`), func(c server.Config) any { return c.ConnLimits.FrameTimeout }, 11 * time.Second},
		{"limits.rpc_max_in_flight", in("limits", `rpc_max_in_flight = 34`), func(c server.Config) any { return c.RPC.MaxInFlight }, 34},
		{"limits.rpc_max_blocking", in("limits", `rpc_max_blocking = 35`), func(c server.Config) any { return c.RPC.MaxBlocking }, 35},
		{"limits.retry_after", in("limits", `retry_after = "3s"`), func(c server.Config) any { return c.RPC.RetryAfter }, 3 * time.Second},
		{"limits.hostile_log_rate", in("limits", `hostile_log_rate = 7`), func(c server.Config) any { return []int{c.RPC.HostileLogRate, c.ConnLimits.LogRate} }, []int{7, 7}},
		{"autopilot.cleanup_dead_servers", in("autopilot", `cleanup_dead_servers = false`), func(c server.Config) any { return c.Autopilot.CleanupDeadServers }, false},
		{"autopilot.last_contact_threshold", in("autopilot", `last_contact_threshold = "300ms"`), func(c server.Config) any { return c.Autopilot.LastContactThreshold }, 300 * time.Millisecond},
		{"autopilot.max_trailing_logs", in("autopilot", `max_trailing_logs = 251`), func(c server.Config) any { return c.Autopilot.MaxTrailingLogs }, uint64(251)},
		{"autopilot.min_quorum", in("autopilot", `min_quorum = 3`), func(c server.Config) any { return c.Autopilot.MinQuorum }, uint64(3)},
		{"autopilot.server_stabilization_time", in("autopilot", `server_stabilization_time = "12s"`), func(c server.Config) any { return c.Autopilot.ServerStabilizationTime }, 12 * time.Second},
		{"ports.serf", in("ports", `serf = 7648`), func(c server.Config) any { return c.Gossip.BindPort }, 7648},
		{"addresses.serf", in("addresses", `serf = "127.0.0.2"`), func(c server.Config) any { return c.Gossip.BindAddr }, "127.0.0.2"},
		{"advertise.serf", in("advertise", `serf = "192.0.2.1:7649"`), func(c server.Config) any {
			return fmt.Sprint(c.Gossip.AdvertiseAddr, " ", c.Gossip.AdvertisePort, " ", c.Gossip.Local)
		}, "192.0.2.1 7649 false"},
	}
	base := parse(t, config.DefaultConfig(), serverOnly)
	before, err := serverConfig(base, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.setting, func(t *testing.T) {
			given, err := config.Parse(config.DefaultConfig(), "base.hcl", []byte(serverOnly))
			if err != nil {
				t.Fatal(err)
			}
			conf, err := serverConfig(parse(t, given, tt.text), hclog.NewNullLogger())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, tt.got(conf)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if cmp.Equal(tt.want, tt.got(before)) {
				t.Errorf("%v is what it would be without the setting", tt.want)
			}
		})
	}
}

// TestEveryLimitOfHTTPReachesTheAPI does the same for the limits of HTTP; together they have all that limits can hold.
func TestEveryLimitOfHTTPReachesTheAPI(t *testing.T) {
	tests := map[string]struct {
		value string
		got   func(c httpapi.Config) any
		want  any
	}{
		"https_handshake_timeout":      {`"4s"`, func(c httpapi.Config) any { return c.HandshakeTimeout }, 4 * time.Second},
		"http_max_conns_per_client":    {"41", func(c httpapi.Config) any { return c.MaxConnsPerClient }, 41},
		"http_header_timeout":          {`"6s"`, func(c httpapi.Config) any { return c.HeaderTimeout }, 6 * time.Second},
		"http_body_timeout":            {`"7s"`, func(c httpapi.Config) any { return c.BodyTimeout }, 7 * time.Second},
		"http_max_body_bytes":          {"65537", func(c httpapi.Config) any { return c.MaxBodyBytes }, 65537},
		"http_max_requests_per_client": {"42", func(c httpapi.Config) any { return c.MaxRequestsPerClient }, 42},
		"http_max_bytes_per_client":    {"8388608", func(c httpapi.Config) any { return c.MaxBytesPerClient }, 8 << 20},
		"retry_after":                  {`"8s"`, func(c httpapi.Config) any { return c.RetryAfter }, 8 * time.Second},
	}
	for name, tt := range tests {
		given, err := config.Parse(config.DefaultConfig(), "base.hcl", []byte(serverOnly))
		if err != nil {
			t.Fatal(err)
		}
		a := &agent{config: parse(t, given, fmt.Sprintf("limits {\n%s = %s\n}\n", name, tt.value)), tel: &telemetry{}, log: hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard})}
		if diff := cmp.Diff(tt.want, tt.got(a.httpConfig(nil))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	text, err := os.ReadFile("config_test.go")
	if err != nil {
		t.Fatal(err)
	}
	limits := reflect.TypeFor[config.Limits]()
	for i := range limits.NumField() {
		name := limits.Field(i).Tag.Get("cfg")
		if _, ok := tests[name]; !ok && !strings.Contains(string(text), `{"limits.`+name+`", `) {
			t.Errorf("nothing shows that limits.%s arrives", name)
		}
	}
}

func TestASettingThatCannotBeUsedIsAnErrorWithoutTheSecret(t *testing.T) {
	c := parse(t, config.DefaultConfig(), serverOnly)
	c.Server.Encrypt = "SECRET-MARKER-not-base64!"
	if _, err := serverConfig(c, hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), "server.encrypt") || strings.Contains(err.Error(), "MARKER") {
		t.Errorf("encrypt: %v", err)
	}
	c = parse(t, config.DefaultConfig(), serverOnly)
	c.Keyrings = []config.Keyring{{Provider: "aead", Active: true, KEKFile: "/nonexistent/kek"}}
	if _, err := serverConfig(c, hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), "/nonexistent/kek") {
		t.Errorf("kek_file: %v", err)
	}
}

func TestAServersListsAreNotTheConfigurations(t *testing.T) {
	c := parse(t, config.DefaultConfig(), serverOnly)
	starts := make([]string, 1, 4)
	starts[0] = "10.0.0.1:4648"
	c.Server.ServerJoin.StartJoin, c.Server.ServerJoin.RetryJoin = starts, []string{"10.0.0.2:4648"}
	conf, err := serverConfig(c, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	conf.RetryJoin.Addrs[0] = "changed"
	if c.Server.ServerJoin.StartJoin[0] != "10.0.0.1:4648" || starts[:2][1] != "" {
		t.Error("the server's list shares memory with the configuration's")
	}
}
