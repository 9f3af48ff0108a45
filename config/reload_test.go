package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReloadableNamesWhatChangedAndWhatNeedsARestart(t *testing.T) {
	t.Parallel()
	base := `
log_level = "info"
client { meta = { a = "1" } }
keyring "aead" { active = true }
`
	for _, tc := range []struct {
		name             string
		src              string
		changes, refused []string
	}{
		{name: "nothing changed, only the lines", src: "\n\n" + base},
		{name: "the log level and heartbeats may change",
			src: `
log_level = "debug"
client { meta = { a = "1" } }
keyring "aead" { active = true }
server {
  min_heartbeat_ttl = "11s"
  max_heartbeats_per_second = 51
  heartbeat_grace = "11s"
  failover_heartbeat_ttl = "301s"
}`,
			changes: []string{"log_level", "server.min_heartbeat_ttl", "server.max_heartbeats_per_second", "server.heartbeat_grace", "server.failover_heartbeat_ttl"}},
		{name: "everything else needs a restart",
			src: `
log_level = "info"
region = "eu"
ports { http = 1 }
server { bootstrap_expect = 3 }
client {
  servers = ["x"]
  meta = { a = "2" }
}
limits { rpc_handshake_timeout = "9s" }
keyring "aead" {
  active = true
  kek_file = "/k"
}`,
			refused: []string{"region", "ports.http", "server.bootstrap_expect", "client.servers", "client.meta", "limits.rpc_handshake_timeout", "keyring"}},
		{name: "another keyring needs a restart", src: base + "keyring \"aead\" { name = \"b\" }", refused: []string{"keyring"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			running := mustParse(t, DefaultConfig(), "a.hcl", base)
			next := mustParse(t, DefaultConfig(), "a.hcl", tc.src)
			changes, refused := Reloadable(running, next)
			if diff := cmp.Diff(tc.changes, changes); diff != "" {
				t.Errorf("changes differ (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.refused, refused); diff != "" {
				t.Errorf("refused differ (-want +got):\n%s", diff)
			}
			merged := running.Reloaded(next)
			if still, _ := Reloadable(merged, next); still != nil {
				t.Errorf("not taken over: %v", still)
			}
			if changed, refusedNow := Reloadable(running, merged); refusedNow != nil {
				t.Errorf("taken over against the rules: %v", refusedNow)
			} else if diff := cmp.Diff(tc.changes, changed); diff != "" {
				t.Errorf("taken over differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReloadedSettingsRememberWhereTheyWereGiven(t *testing.T) {
	t.Parallel()
	running := mustParse(t, DevConfig(), "old.hcl", "log_level = \"info\"\nserver {\n heartbeat_grace = \"1s\"\n}")
	next := mustParse(t, DevConfig(), "new.hcl", "\n\nlog_level = \"loud\"")
	merged := running.Reloaded(next)
	if merged.LogLevel != "loud" || merged.Server.HeartbeatGrace != 10*time.Second {
		t.Fatalf("merged to %q, %s", merged.LogLevel, merged.Server.HeartbeatGrace)
	}
	want := []string{"new.hcl:3: log_level: must be one of trace, debug, info, warn, error, off"}
	if diff := cmp.Diff(want, errorLines(merged.Validate())); diff != "" {
		t.Errorf("errors differ (-want +got):\n%s", diff)
	}
	if running.LogLevel != "info" {
		t.Error("the running configuration was changed")
	}
}

func TestAnEmptyListEqualsAMissingOne(t *testing.T) {
	t.Parallel()
	a, b := DefaultConfig(), DefaultConfig()
	b.Client.Servers, b.Client.Meta = []string{}, map[string]string{}
	if changes, refused := Reloadable(a, b); changes != nil || refused != nil {
		t.Errorf("changes %v, refused %v", changes, refused)
	}
}
