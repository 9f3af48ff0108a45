package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// What is between the two lines of docs/cli.md is made from what the commands print.
const (
	jsonTable    = "<!-- Made from what the commands print: go test ./cmd/rollcall -run JSONOutput -update -->\n"
	jsonTableEnd = "<!-- End of what is made from the code. -->\n"
)

// documentedJSON are the commands whose -json is an interface, with arguments that make them print all they can.
var documentedJSON = []struct{ command, args string }{
	{"acl bootstrap", ""},
	{"acl policy apply", "read policy.hcl"},
	{"acl policy delete", "read"},
	{"acl policy info", "read"},
	{"acl policy list", ""},
	{"acl policy self", ""},
	{"acl role create", "-name viewer -policy read"},
	{"acl role delete", node2},
	{"acl role info", node2},
	{"acl role list", ""},
	{"acl role update", "-policy keys " + node2},
	{"acl token create", "-name ci -policy read"},
	{"acl token delete", node1},
	{"acl token info", node1},
	{"acl token list", ""},
	{"acl token self", "-token " + node3},
	{"acl token update", "-policy ops " + node1},
	{"agent-info", ""},
	{"config validate", "agent.hcl"},
	{"node config -servers", ""},
	{"node config -update-servers", "10.0.0.21:4647"},
	{"node drain", "-enable -detach -yes " + node1},
	{"node eligibility", "-enable " + node1},
	{"node identity get", node1},
	{"node identity renew", node1},
	{"node intro create", ""},
	{"node meta apply", "-node-id " + node1 + " a=b"},
	{"node meta read", "-node-id " + node1},
	{"node pool delete", "edge"},
	{"node pool info", "edge"},
	{"node pool init", ""},
	{"node pool jobs", "edge"},
	{"node pool list", ""},
	{"node pool nodes", "edge"},
	{"node status", "-os"},
	{"node status ID", ""},
	{"operator autopilot get-config", ""},
	{"operator autopilot health", ""},
	{"operator autopilot set-config", "-min-quorum 3"},
	{"operator debug", "-duration 1s -interval 1s -output new.tar.gz"},
	{"operator gossip keyring install", gossipKey},
	{"operator gossip keyring list", ""},
	{"operator gossip keyring remove", otherGossipKey},
	{"operator gossip keyring use", gossipKey},
	{"operator metrics", ""},
	{"operator raft info", "data"},
	{"operator raft list-peers", ""},
	{"operator raft logs", "data"},
	{"operator raft remove-peer", "-peer-id bbbb"},
	{"operator raft replay", "-to-snapshot new.snap data"},
	{"operator raft transfer-leadership", "-peer-id bbbb"},
	{"operator root keyring kek generate", "new.kek"},
	{"operator root keyring list", ""},
	{"operator root keyring remove", key1},
	{"operator root keyring rewrap", ""},
	{"operator root keyring rotate", "-now"},
	{"operator root keyring status", ""},
	{"operator scheduler get-config", ""},
	{"operator scheduler set-config", "-scheduler-algorithm spread"},
	{"operator snapshot agent", "-once -dir ."},
	{"operator snapshot convert", "-out new.snap a.snap"},
	{"operator snapshot diff", "a.snap b.snap"},
	{"operator snapshot inspect", "a.snap"},
	{"operator snapshot redact", "-out new.snap a.snap"},
	{"operator snapshot restore", "a.snap"},
	{"operator snapshot save", "-compatible new.snap"},
	{"operator snapshot verify", "a.snap"},
	{"server force-leave", "s2"},
	{"server join", "10.0.0.2"},
	{"server members", ""},
	{"status PREFIX", ""},
	{"system gc", ""},
	{"tls ca create", ""},
	{"tls ca info", "tls/nomad-agent-ca.pem"},
	{"tls cert create", "-server -ca tls/nomad-agent-ca.pem -key tls/nomad-agent-ca-key.pem"},
	{"tls cert info", "tls/global-server-nomad.pem"},
	{"version", ""},
}

// otherJSON are the commands whose -json is something else, with what the table says of them.
var otherJSON = map[string]string{
	"event stream":         "the lines of [`/v1/event/stream`](compatibility.md#events)",
	"monitor":              "the lines of the log, an object each; `@level`, `@message`, `@module` and `@timestamp` are in all of them",
	"node pool apply":      "nothing: it says that the file is JSON, as `node pool info -json` prints it",
	"operator utilization": "nothing: the command only says that there is nothing to print",
}

// freeMaps are objects whose keys are data.
var freeMaps = []string{
	"Attributes", "Body", "ByPool", "ByStatus", "Claims", "Details", "Drivers", "Dynamic", "HostVolumes", "HostNetworks", "CSIControllerPlugins", "CSINodePlugins", "Labels",
	"Links", "Matches", "Meta", "NodeResources", "ReservedResources", "Static", "Tags", "Truncations", "config", "stats",
}

// TestTheJSONOutputIsThatOfTheDocuments keeps the keys of -json from changing unseen.
func TestTheJSONOutputIsThatOfTheDocuments(t *testing.T) {
	rows := maps.Clone(otherJSON)
	template := jsonDir(t)
	for _, tc := range documentedJSON {
		t.Run(tc.command, func(t *testing.T) { rows[tc.command] = jsonOf(t, template, tc.command, tc.args) })
	}
	var b strings.Builder
	b.WriteString("\n| Command | `-json` prints |\n|---|---|\n")
	for _, command := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", command, rows[command])
	}
	b.WriteString("\n")
	const file = "../../docs/cli.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), jsonTable)
	_, after, ok2 := strings.Cut(rest, jsonTableEnd)
	if !ok || !ok2 {
		t.Fatal("docs/cli.md has lost the lines between which the table stands")
	}
	want := before + jsonTable + b.String() + jsonTableEnd + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Error("docs/cli.md differs from what the commands print. Scripts depend on it: keys are added, never renamed or removed. " +
			"To add: go test ./cmd/rollcall -run JSONOutput -update")
	}
}

// jsonDir has the files that the commands are about.
func jsonDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	agent, err := os.ReadFile("testdata/agent.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"agent.hcl": agent, "policy.hcl": []byte(`node { policy = "read" }`), "a.snap": testArchive(t, 77, nil), "b.snap": otherArchive(t),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(stoppedServer(t))); err != nil {
		t.Fatal(err)
	}
	certs := filepath.Join(dir, "tls")
	if err := os.Mkdir(certs, 0o700); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(certs)
	mustRun(t, "tls", "ca", "create")
	mustRun(t, "tls", "cert", "create", "-server")
	t.Chdir(here)
	return dir
}

// jsonOf describes what a command prints in a copy of the folder.
func jsonOf(t *testing.T, template, command, args string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(template)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if command == "operator debug" {
		d := &debugCluster{log: make(chan struct{})}
		close(d.log)
		d.serve(t)
	} else {
		c := newCluster()
		(&snapshotServer{archive: testArchive(t, 77, nil)}).attach(c)
		c.serveNode(t)
	}
	line := strings.NewReplacer("status ID", "status "+node1, "status PREFIX", "status 4d0").Replace(command + " " + args)
	got := rollcall(t, "", append(strings.Fields(line), "-json")...)
	if got.code != exitOK && got.code != exitDiffers {
		t.Fatalf("exit %d: %s%s", got.code, got.out, got.err)
	}
	var values []any
	for dec := json.NewDecoder(strings.NewReader(got.out)); dec.More(); {
		var v any
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%v: %s", err, got.out)
		}
		values = append(values, v)
	}
	switch len(values) {
	case 0:
		t.Fatal("it prints nothing")
	case 1:
		return shape(values[0])
	}
	return "lines, each " + shape(merge(values))
}

// Every command that takes -json is in the table, and what is there takes it.
func TestEveryCommandWithJSONIsInTheDocuments(t *testing.T) {
	documented := map[string]bool{}
	for command := range otherJSON {
		documented[command] = true
	}
	for _, tc := range documentedJSON {
		command, _, _ := strings.Cut(tc.command, " -")
		documented[strings.TrimSuffix(strings.TrimSuffix(command, " ID"), " PREFIX")] = true
	}
	takers := 0
	everyCommand(func(name string, c *cli.Command) {
		takes := slices.Contains(flagsOf(c), "json")
		if takes {
			takers++
		}
		if takes != documented[name] {
			t.Errorf("rollcall %s takes -json: %v; it is in the table of docs/cli.md: %v", name, takes, documented[name])
		}
		delete(documented, name)
	})
	for name := range documented {
		t.Errorf("the table of docs/cli.md has rollcall %s, which there is not", name)
	}
	if takers < 70 {
		t.Errorf("%d commands take -json", takers)
	}
}

// shape describes a JSON value by its keys.
func shape(v any) string {
	switch t := v.(type) {
	case []any:
		if len(t) == 0 {
			return "a list"
		}
		return "a list of " + strings.TrimPrefix(shape(merge(t)), "an object: ")
	case map[string]any:
		if len(t) == 0 {
			return "an empty object"
		}
		return "an object: " + strings.Join(keys(t), ", ")
	case string:
		return "text"
	case float64:
		return "a number"
	case bool:
		return "`true` or `false`"
	}
	return "null"
}

// keys lists the keys of an object; those of an object in it follow in parentheses.
func keys(m map[string]any) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		text := "`" + k + "`"
		if !slices.Contains(freeMaps, k) {
			inner, _ := m[k].(map[string]any)
			if k == "Keys" { // those of gossip, each with how many servers have it; in a list they are objects
				inner = nil
			}
			if list, ok := m[k].([]any); ok && len(list) > 0 {
				inner, _ = merge(list).(map[string]any)
			}
			if len(inner) > 0 {
				text += " (" + strings.Join(keys(inner), ", ") + ")"
			}
		}
		out = append(out, text)
	}
	return out
}

// merge is an object with the keys of all objects of a list; the first element of a list of anything else.
func merge(list []any) any {
	out := map[string]any{}
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return list[0]
		}
		for k, v := range m {
			if out[k] == nil {
				out[k] = v
			}
		}
	}
	return out
}
