package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func exampleConfig() *Config {
	c := DefaultConfig()
	c.Region, c.Datacenter, c.Name = "eu", "ber1", "srv-1"
	c.DataDir, c.LogLevel, c.LogJSON = "/var/lib/rollcall", "warn", true
	c.BindAddr = "10.1.0.11"
	c.LeaveOnInterrupt = true
	c.Ports = Ports{HTTP: 5646, RPC: 5647, Serf: 5648}
	c.Addresses.HTTP = "127.0.0.1 10.1.0.11"
	c.Advertise = Addresses{RPC: "192.0.2.11", Serf: "192.0.2.11:7648"}
	s := &c.Server
	s.Enabled, s.BootstrapExpect, s.Encrypt, s.RaftMultiplier = true, 3, "AAECAwQFBgcICQoLDA0ODw==", 2
	s.ServerJoin.RetryJoin = []string{"10.1.0.12", "srv-3.example.net:7648", "[2001:db8::3]"}
	s.ServerJoin.RetryInterval = 15 * time.Second
	s.RaftLogStore.BoltDB.NoFreelistSync = false
	s.MinHeartbeatTTL, s.MaxHeartbeatsPerSecond = 20*time.Second, 12.5
	s.HeartbeatGrace, s.FailoverHeartbeatTTL = 30*time.Second, 10*time.Minute
	s.SigningAlgorithm, s.OIDCIssuer = "EdDSA", "https://id.example.net/fleet"
	s.ClientIntroduction = ClientIntroduction{Enforcement: "strict", DefaultIdentityTTL: 10 * time.Minute, MaxIdentityTTL: time.Hour}
	c.Client.Enabled = true
	c.Client.Servers = []string{"10.1.0.12", "10.1.0.13:5647"}
	c.Client.NodePool, c.Client.NodeClass = "edge", "small"
	c.Client.Meta = map[string]string{"rack": "r7", "unit.pos": "12"}
	c.Keyrings = []Keyring{{Provider: "aead", Active: true, Name: "disk", KEKFile: "/etc/rollcall.d/kek"}, {Provider: "aead"}}
	c.ACL.TokenTTL = time.Minute
	c.Telemetry.PrometheusMetrics = true
	c.Telemetry.CollectionInterval = 5 * time.Second
	c.Telemetry.StatsdAddress = "127.0.0.1:8125"
	c.Limits.RPCMaxConnsPerClient, c.Limits.HTTPMaxConnsPerClient = 0, 50
	c.Autopilot.CleanupDeadServers, c.Autopilot.MinQuorum = false, 3
	return c
}

func TestExampleFilesInBothSyntaxesGiveTheSameConfiguration(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"testdata/example.hcl", "testdata/example.json"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			got, err := Load(DefaultConfig(), file)
			if err != nil {
				t.Fatal(err)
			}
			want := exampleConfig()
			want.Files = []string{file}
			if diff := cmp.Diff(want, got, plain); diff != "" {
				t.Errorf("configuration differs (-want +got):\n%s", diff)
			}
			if err := got.check(lone("")).errs.err(); err != nil {
				t.Errorf("the example is not valid: %v", err)
			}
			if warns := got.Warnings(); len(warns) != 0 {
				t.Errorf("the example has warnings: %v", lines(warns))
			}
		})
	}
}

func TestShapeErrorsNameFileAndLine(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		file string // a.hcl unless given
		src  string
		want []string
	}{
		{name: "an unknown setting gets a suggestion", src: "\nregoin = \"eu\"",
			want: []string{`a.hcl:2: unknown setting or block "regoin" in the top level; did you mean "region"?`}},
		{name: "an unknown setting like nothing gets none", src: "frobnicate = 1",
			want: []string{`a.hcl:1: unknown setting or block "frobnicate" in the top level`}},
		{name: "an unknown block gets a suggestion", src: "region = \"x\"\nserver {}\nclinet {\n enabled = true\n}",
			want: []string{`a.hcl:3: unknown setting or block "clinet" in the top level; did you mean "client"?`}},
		{name: "a misspelt keyring block gets a suggestion", src: "keyrng \"aead\" {}",
			want: []string{`a.hcl:1: unknown setting or block "keyrng" in the top level; did you mean "keyring"?`}},
		{name: "an unknown nested setting names its block", src: "server {\n  server_join {\n    retry_jion = []\n  }\n}",
			want: []string{`a.hcl:3: unknown setting or block "retry_jion" in server.server_join; did you mean "retry_join"?`}},
		{name: "an unknown setting in JSON has its line", file: "a.json", src: "{\n \"server\": {\n  \"enbled\": true}}",
			want: []string{`a.json:3: unknown setting or block "enbled" in server; did you mean "enabled"?`}},
		{name: "every problem of a file is told", src: "region = 1\nlog_json = \"yes\"\nports {\n  http = \"x\"\n  rpc = 1.5\n}",
			want: []string{
				"a.hcl:1: region: must be a string, got a number",
				"a.hcl:2: log_json: must be true or false without quotes, got a string",
				"a.hcl:4: ports.http: must be a whole number, got a string",
				"a.hcl:5: ports.rpc: must be a whole number, got a number"}},
		{name: "a duration without quotes is refused", src: "server {\n  heartbeat_grace = 10\n}",
			want: []string{`a.hcl:2: server.heartbeat_grace: must be a duration in quotes such as "10s", got a number`}},
		{name: "a duration without unit is refused", src: "server {\n  heartbeat_grace = \"10\"\n}",
			want: []string{`a.hcl:2: server.heartbeat_grace: must be a duration such as "10s" or "1h30m", got "10"`}},
		{name: "a number in quotes is refused", src: "server {\n  max_heartbeats_per_second = \"50\"\n}",
			want: []string{"a.hcl:2: server.max_heartbeats_per_second: must be a number, got a string"}},
		{name: "a list must be one", src: "client {\n  servers = \"10.0.0.1\"\n}",
			want: []string{"a.hcl:2: client.servers: must be a list of strings, got a string"}},
		{name: "a list holds strings", src: "client {\n  servers = [\"a\", 2]\n}",
			want: []string{"a.hcl:2: client.servers: must be a list of strings, item 2 is a number"}},
		{name: "meta must be a block", src: "client {\n  meta = \"x\"\n}",
			want: []string{"a.hcl:2: client.meta: must be a block of names and strings, got a string"}},
		{name: "meta values are scalars", src: "client {\n  meta {\n    a = []\n  }\n}",
			want: []string{`a.hcl:2: client.meta: "a" must be a string, got a list`}},
		{name: "a number beyond measure is refused at once", src: "client {\n  meta = { a = 1e9999999 }\n}",
			want: []string{`a.hcl:2: client.meta: "a" is a number too large`}},
		{name: "a name twice in a JSON map is refused", file: "a.json", src: `{"client": {"meta": {"a": "1", "a": "2"}}}`,
			want: []string{`a.json:1: client.meta: "a" is given twice`}},
		{name: "null is no value", file: "a.json", src: `{"region": null}`,
			want: []string{"a.json:1: region: must be a string, got a null"}},
		{name: "a block must be one", src: "server = true",
			want: []string{"a.hcl:1: server: must be a block, got a boolean"}},
		{name: "a block twice in one file is refused", src: "server {}\n\nserver {}",
			want: []string{"a.hcl:3: server: given twice in this file, first at a.hcl:1"}},
		{name: "a block twice in a JSON list is refused", file: "a.json", src: "{\"server\": [{},\n{}]}",
			want: []string{"a.json:2: server: given twice in this file, first at a.json:1"}},
		{name: "a setting twice in JSON is refused", file: "a.json", src: "{\"region\": \"a\",\n\"region\": \"b\"}",
			want: []string{"a.json:2: region: given twice in this file, first at a.json:1"}},
		{name: "an older name beside the current one is refused",
			src:  "server {\n  retry_join = [\"a\"]\n  server_join {\n    retry_join = [\"b\"]\n  }\n}",
			want: []string{"a.hcl:4: server.server_join.retry_join: given twice in this file, first at a.hcl:2"}},
		{name: "a keyring needs a provider", src: "keyring {\n  active = true\n}",
			want: []string{`a.hcl:2: keyring: must be a block with a provider, as in keyring "aead" {}`}},
		{name: "a keyring is an object in JSON", file: "a.json", src: `{"keyring": "aead"}`,
			want: []string{`a.json:1: keyring: must be a block with a provider, as in keyring "aead" {}`}},
		{name: "a keyring option twice in JSON is refused", file: "a.json", src: `{"keyring": {"aead": {"name": "a", "name": "b"}}}`,
			want: []string{"a.json:1: keyring.aead.name: given twice in this block"}},
		{name: "a key that is no literal is refused", src: "client {\n  meta = { [] = 1 }\n}",
			want: []string{"a.hcl:2: a key must be a name or a quoted string"}},
		{name: "a very long name is cut", src: strings.Repeat("x", 70) + " = 1",
			want: []string{`a.hcl:1: unknown setting or block "` + strings.Repeat("x", 64) + `..." in the top level`}},
		{name: "a keyring's active is a boolean", src: "keyring \"aead\" {\n  active = \"true\"\n}",
			want: []string{"a.hcl:2: keyring.aead.active: must be true or false without quotes, got a string"}},
		{name: "keyring options are strings", src: "keyring \"awskms\" {\n  region = 1\n}",
			want: []string{"a.hcl:2: keyring.awskms.region: must be a string, got a number"}},
		{name: "aead has no other options", src: "keyring \"aead\" {\n  kekfile = \"/x\"\n}",
			want: []string{`a.hcl:2: unknown setting or block "kekfile" in keyring.aead; did you mean "kek_file"?`}},
		{name: "two keyring blocks of one identity are refused", src: "keyring \"aead\" {}\nkeyring \"aead\" {}",
			want: []string{"a.hcl:2: keyring.aead: given twice, first at a.hcl:1; give each block of a provider its own name"}},
		{name: "a bare word is no value", src: "\nregion = eu",
			want: []string{"a.hcl:2: a value must be a quoted string, a number, true, false, a list or an object"}},
		{name: "templates are refused", src: "region = \"${upper(1)}\"",
			want: []string{"a.hcl:1: values are literals; ${...} and %{...} are not supported in strings (write $${ or %%{ for the characters)"}},
		{name: "operators are refused", src: "ports {\n  http = 1 + 2\n}",
			want: []string{"a.hcl:2: values are literals; operators and function calls are not supported"}},
		{name: "repeated minus is refused", src: "ports {\n  http = --2\n}",
			want: []string{"a.hcl:2: values are literals; arithmetic is not supported"}},
		{name: "an index is no value", src: `region = "abc"[0]`,
			want: []string{"a.hcl:1: a value must be a quoted string, a number, true, false, a list or an object"}},
		{name: "deep nesting in HCL is refused", src: "region = " + strings.Repeat("[", 40),
			want: []string{"a.hcl:1: nested more than 32 levels deep"}},
		{name: "deep nesting in JSON is refused", file: "a.json", src: "{\n\"region\": " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}",
			want: []string{"a.json:2: nested more than 32 levels deep"}},
		{name: "JSON that is no object is refused", file: "a.json", src: "[]",
			want: []string{"a.json:1: a JSON configuration must be one object"}},
		{name: "broken JSON has its line", file: "a.json", src: "{\n\"region\": \"a\",\n}",
			want: []string{"a.json:3: invalid JSON: invalid character '}' looking for beginning of object key string"}},
		{name: "an empty JSON file is refused", file: "a.json", src: "",
			want: []string{"a.json:1: invalid JSON: unexpected end of JSON input"}},
		{name: "another extension with a brace is JSON", file: "agent.conf", src: " {\"regin\": \"a\"}",
			want: []string{`agent.conf:1: unknown setting or block "regin" in the top level; did you mean "region"?`}},
		{name: "another extension without one is HCL", file: "agent.conf", src: "regin = \"a\"",
			want: []string{`agent.conf:1: unknown setting or block "regin" in the top level; did you mean "region"?`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			file := tc.file
			if file == "" {
				file = "a.hcl"
			}
			c, err := Parse(DefaultConfig(), file, []byte(tc.src))
			if c != nil {
				t.Error("a configuration came back beside the error")
			}
			if diff := cmp.Diff(tc.want, errorLines(err)); diff != "" {
				t.Errorf("errors differ (-want +got):\n%s", diff)
			}
			var p *Problem
			if !errors.As(err, &p) || p.Pos.File != file {
				t.Errorf("no *Problem with the file in %v", err)
			}
		})
	}
}

func TestSyntaxErrorInHCLNamesItsLine(t *testing.T) {
	t.Parallel()
	_, err := Parse(DefaultConfig(), "a.hcl", []byte("region = \"a\"\nserver {\n  enabled = \n}\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "a.hcl:3: ") {
		t.Errorf("got %v, want an error at a.hcl:3", err)
	}
}

func TestProblemsOfOneFileAreBounded(t *testing.T) {
	t.Parallel()
	var src strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&src, "zz%d = 1\n", i)
	}
	_, err := Parse(DefaultConfig(), "a.hcl", []byte(src.String()))
	got := errorLines(err)
	if len(got) != maxProblems+1 || got[maxProblems] != "a.hcl: more than 100 problems, the rest is not shown" {
		t.Errorf("got %d problems, the last %q", len(got), got[len(got)-1])
	}
	var ignoredOnly strings.Builder
	for range 5000 {
		ignoredOnly.WriteString("plugin \"x\" {}\n")
	}
	c := mustParse(t, DefaultConfig(), "a.hcl", ignoredOnly.String())
	if len(c.notes) != maxProblems {
		t.Errorf("got %d warnings, want %d", len(c.notes), maxProblems)
	}
}

func TestLargeHostileFilesAreDealtWith(t *testing.T) {
	t.Parallel()
	fill := func(format string) string {
		var sb strings.Builder
		for i := 0; sb.Len() < maxFileSize/4; i++ {
			if strings.Contains(format, "%") {
				fmt.Fprintf(&sb, format, i)
			} else {
				sb.WriteString(format)
			}
		}
		return sb.String()
	}
	for _, tc := range []struct{ name, file, src, want string }{
		{"brackets", "a.hcl", "a = " + fill("["), "nested more than 32 levels deep"},
		{"indexes", "a.hcl", `region = "a"` + fill("[0]"), "a value must be a quoted string"},
		{"negations", "a.hcl", "a = " + fill("!"), "operators"},
		{"a sum", "a.hcl", "a = 1" + fill("+1"), "operators"},
		{"dots", "a.hcl", "a = a" + fill(".a"), "a value must be"},
		{"keyrings", "a.hcl", fill("keyring \"p%d\" {}\n"), "more than 32 keyring blocks"},
		{"labels", "a.hcl", "keyring " + fill(`"x" `) + "{}", "must be a string"},
		{"unknown names", "a.json", "{" + fill("\"regiom%d\":1,") + "\"a\":1}", "more than 100 problems"},
		{"brackets in JSON", "a.json", fill("["), "invalid JSON"},
		{"brackets hidden in a broken string", "a.json", "{\"a\n\": " + fill("["), "invalid JSON"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := Parse(DefaultConfig(), tc.file, []byte(tc.src)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %.200v, want ...%s...", err, tc.want)
			}
		})
	}
}

func TestNoErrorRepeatsAValue(t *testing.T) {
	t.Parallel()
	const secret = "Sup3rS3cret"
	for _, src := range []string{
		`server { encrypt = "` + secret + `" }`,
		`server { encrypt = ["` + secret + `"] }`,
		`acl { replication_token = { a = "` + secret + `" } }`,
		`server { encrypt = ` + secret + ` }`,
		`keyring "transit" { token = "` + secret + `" }`,
		`keyring "aead" { token = "` + secret + `" }`,
		`server { server_join { retry_join = ["provider=aws secret_access_key=` + secret + `"] } }`,
		`client { servers = ["https://u:` + secret + `@h/"] }`,
		`server { oidc_issuer = "https://u:` + secret + `@h" }`,
		`telemetry { circonus_api_token = "` + secret + `" }`,
	} {
		c, err := Parse(DevConfig(), "a.hcl", []byte(src))
		if err == nil {
			err = c.Validate()
			if strings.Contains(strings.Join(lines(c.Warnings()), "\n"), secret) {
				t.Errorf("%s: a warning holds the value", src)
			}
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error holds the value: %v", src, err)
		}
	}
}

func TestBlocksOfTheWiderProductAreIgnoredWithAWarning(t *testing.T) {
	t.Parallel()
	src := `consul {
  address = "127.0.0.1:8500"
}
vault { enabled = true }
plugin "docker" {
  config { allow_privileged = true }
}
ui { enabled = true }
server {
  num_schedulers = 2
  default_scheduler_config {
    scheduler_algorithm = "spread"
  }
  raft_boltdb { no_freelist_sync = false }
  retry_join = ["10.0.0.1"]
}
client {
  options = { "driver.allowlist" = "docker" }
  host_volume "x" { path = "/x" }
}
telemetry { publish_node_metrics = true }
autopilot { enable_redundancy_zones = true }
`
	c := mustParse(t, DefaultConfig(), "n.hcl", src)
	want := []string{
		"n.hcl:1: consul: has no meaning here and is ignored",
		"n.hcl:4: vault: has no meaning here and is ignored",
		"n.hcl:5: plugin: has no meaning here and is ignored",
		"n.hcl:8: ui: has no meaning here and is ignored",
		"n.hcl:10: server.num_schedulers: has no meaning here and is ignored",
		"n.hcl:14: server.raft_boltdb: is an older name of server.raft_logstore.boltdb, which is preferred",
		"n.hcl:15: server.retry_join: is an older name of server.server_join.retry_join, which is preferred",
		"n.hcl:11: server.default_scheduler_config: has no meaning here and is ignored",
		"n.hcl:18: client.options: has no meaning here and is ignored",
		"n.hcl:19: client.host_volume: has no meaning here and is ignored",
		"n.hcl:21: telemetry.publish_node_metrics: has no meaning here and is ignored",
		"n.hcl:22: autopilot.enable_redundancy_zones: has no meaning here and is ignored",
	}
	// In the order of the file.
	want[5], want[6], want[7] = want[7], want[5], want[6]
	if diff := cmp.Diff(want, lines(c.notes)); diff != "" {
		t.Errorf("warnings differ (-want +got):\n%s", diff)
	}
	if c.Server.RaftLogStore.BoltDB.NoFreelistSync {
		t.Error("raft_boltdb did not reach raft_logstore.boltdb")
	}
	if diff := cmp.Diff([]string{"10.0.0.1"}, c.Server.ServerJoin.RetryJoin); diff != "" {
		t.Errorf("retry_join did not reach server_join: %s", diff)
	}
}

func TestIgnoredAndOlderNamesDoNotHideSettings(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	for block, names := range ignored {
		for name := range names {
			if _, ok := c.lookup(join(block, name)); ok {
				t.Errorf("%s is a setting and ignored at once", join(block, name))
			}
		}
	}
	for old, current := range older {
		if _, ok := c.lookup(current); !ok {
			t.Errorf("%s stands for %s, which does not exist", old, current)
		}
		if _, ok := c.lookup(old); ok {
			t.Errorf("%s is a setting and an older name at once", old)
		}
	}
}

func TestOverrideSetsFromText(t *testing.T) {
	t.Parallel()
	c := mustParse(t, DefaultConfig(), "a.hcl", `client { servers = ["a:1"] }`)
	for _, o := range [][2]string{
		{"region", "eu"}, {"server.enabled", "true"}, {"server.bootstrap_expect", "3"},
		{"server.max_heartbeats_per_second", "2.5"}, {"server.heartbeat_grace", "7s"},
		{"client.servers", "b:2, a:1"}, {"client.meta", "rack=r1=x"}, {"client.meta", "unit=7"},
		{"server.server_join.retry_join", "x"},
	} {
		if err := c.Override(o[0], o[1], "-flag"); err != nil {
			t.Fatalf("override %v: %v", o, err)
		}
	}
	want := DefaultConfig()
	want.Region, want.Server.Enabled, want.Server.BootstrapExpect = "eu", true, 3
	want.Server.MaxHeartbeatsPerSecond, want.Server.HeartbeatGrace = 2.5, 7*time.Second
	want.Client.Servers = []string{"a:1", "b:2"}
	want.Client.Meta = map[string]string{"rack": "r1=x", "unit": "7"}
	want.Server.ServerJoin.RetryJoin = []string{"x"}
	want.Files = []string{"a.hcl"}
	if diff := cmp.Diff(want, c, plain); diff != "" {
		t.Errorf("configuration differs (-want +got):\n%s", diff)
	}
	for _, tc := range []struct{ key, value, want string }{
		{"server", "x", "-flag: server: is not a setting"},
		{"regionx", "x", "-flag: regionx: is not a setting"},
		{"region.x", "x", "-flag: region.x: is not a setting"},
		{"server.enabled", "maybe", "-flag: server.enabled: must be true or false without quotes, got a string"},
		{"ports.http", "x", "-flag: ports.http: must be a whole number, got a string"},
		{"ports.http", "1.5", "-flag: ports.http: must be a whole number, got a number"},
		{"client.meta", "novalue", "-flag: client.meta: must be a block of names and strings, got a string"},
	} {
		if err := c.Override(tc.key, tc.value, "-flag"); err == nil || err.Error() != tc.want {
			t.Errorf("override %s: got %v, want %s", tc.key, err, tc.want)
		}
	}
	if err := c.Override("ports.http", "70000", "-http-port"); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "-http-port: ports.http: must be from 0 to 65535, got 70000") {
		t.Errorf("validation does not name the flag: %v", err)
	}
}

func TestOverrideWorksOnAConfigurationWithoutFiles(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	if err := c.Override("region", "eu", "-region"); err != nil || c.Region != "eu" {
		t.Errorf("region %q, error %v", c.Region, err)
	}
}

func TestMetaValuesBecomeText(t *testing.T) {
	t.Parallel()
	c := mustParse(t, DefaultConfig(), "a.hcl", `client {
  meta {
    a = "x"
    b = 12
    c = -1.5
    d = true
    e = 1e30
    f = <<EOT
two
lines
EOT
    g = ""
    h = "$${literal}"
  }
}`)
	want := map[string]string{"a": "x", "b": "12", "c": "-1.5", "d": "true", "e": "1e+30", "f": "two\nlines\n", "g": "", "h": "${literal}"}
	if diff := cmp.Diff(want, c.Client.Meta); diff != "" {
		t.Errorf("meta differs (-want +got):\n%s", diff)
	}
}

func TestNearestFindsTypingMistakesOnly(t *testing.T) {
	t.Parallel()
	names := []string{"region", "server", "datacenter", "rpc"}
	for name, want := range map[string]string{
		"regoin": "region", "Region": "region", "servers": "server", "data_center": "datacenter", "rcp": "",
		"zzz": "", "": "", strings.Repeat("region", 100): "",
	} {
		if got := nearest(name, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", clip(name), got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/example.hcl", "testdata/example.json"} {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Add([]byte("a = [[[[\nb \"c\" {\n x = <<E\n text\nE\n}"))
	f.Add([]byte(`{"keyring": [{"aead": [{}, {"active": 1e999999999}]}], "ports": {"http": -1e400}}`))
	f.Add([]byte(`{"client": {"meta": {"a": 1e99999999, "b": -1.5, "c": true}}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, name := range []string{"f.hcl", "f.json"} {
			c, err := Parse(DefaultConfig(), name, src)
			if err != nil {
				if c != nil || len(errorLines(err)) == 0 {
					t.Fatalf("%s: configuration %v beside error %v", name, c, err)
				}
				continue
			}
			if _, err := json.Marshal(c.Redacted()); err != nil {
				t.Fatalf("%s: redacted view: %v", name, err)
			}
			// Templates run code of their own; the machine of lone does not evaluate them.
			before := c.Copy()
			v := c.check(lone("10.0.0.1"))
			if len(v.errs) == 0 {
				if err := c.normalize(lone("10.0.0.1")); err != nil {
					t.Fatalf("%s: valid, but: %v", name, err)
				}
			} else if diff := cmp.Diff(before, c, plain); diff != "" {
				t.Fatalf("%s: validation changed the configuration: %s", name, diff)
			}
		}
	})
}
