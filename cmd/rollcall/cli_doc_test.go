package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// What is between the two lines of docs/cli.md is made from what the commands print.
const (
	jsonTable    = "<!-- Made from what the commands print: go test ./cmd/rollcall -run JSONOutput -update -->\n"
	jsonTableEnd = "<!-- End of what is made from the code. -->\n"
)

// documentedJSON are the commands whose -json is an interface, with arguments that make them print all they can.
var documentedJSON = []struct{ command, args string }{
	{"acl bootstrap", ""},
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
	{"acl token update", "-policy ops " + node1},
	{"agent-info", ""},
	{"config validate", "testdata/agent.hcl"},
	{"node config -servers", ""},
	{"node drain", "-enable -detach -yes " + node1},
	{"node eligibility", "-enable " + node1},
	{"node identity get", node1},
	{"node identity renew", node1},
	{"node intro create", ""},
	{"node meta apply", "-node-id " + node1 + " a=b"},
	{"node meta read", "-node-id " + node1},
	{"node pool delete", "edge"},
	{"node pool info", "edge"},
	{"node pool jobs", "edge"},
	{"node pool list", ""},
	{"node pool nodes", "edge"},
	{"node status", "-os"},
	{"node status ID", ""},
	{"operator autopilot get-config", ""},
	{"operator autopilot health", ""},
	{"operator autopilot set-config", "-min-quorum 3"},
	{"operator metrics", ""},
	{"operator raft list-peers", ""},
	{"operator raft remove-peer", "-peer-id bbbb"},
	{"operator raft transfer-leadership", "-peer-id bbbb"},
	{"operator root keyring list", ""},
	{"operator root keyring remove", key1},
	{"operator root keyring rotate", "-now"},
	{"operator root keyring status", ""},
	{"operator scheduler get-config", ""},
	{"operator scheduler set-config", "-scheduler-algorithm spread"},
	{"server force-leave", "s2"},
	{"server join", "10.0.0.2"},
	{"server members", ""},
	{"status PREFIX", ""},
	{"system gc", ""},
	{"version", ""},
}

// freeMaps are objects whose keys are data.
var freeMaps = []string{
	"Attributes", "Claims", "Details", "Drivers", "Dynamic", "HostVolumes", "HostNetworks", "CSIControllerPlugins", "CSINodePlugins", "Labels",
	"Links", "Matches", "Meta", "NodeResources", "ReservedResources", "Static", "Tags", "Truncations", "config", "stats",
}

// TestTheJSONOutputIsThatOfTheDocuments keeps the keys of -json from changing unseen.
func TestTheJSONOutputIsThatOfTheDocuments(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n| Command | `-json` prints |\n|---|---|\n")
	for _, tc := range documentedJSON {
		c := newCluster()
		c.serveNode(t)
		line := strings.TrimSpace(tc.command + " " + tc.args)
		line = strings.NewReplacer("status ID", "status "+node1, "status PREFIX", "status 4d0").Replace(line)
		got := rollcall(t, "", append(strings.Fields(line), "-json")...)
		var v any
		if err := json.Unmarshal([]byte(got.out), &v); err != nil || got.code != exitOK {
			t.Errorf("rollcall %s -json: exit %d, %v: %s%s", line, got.code, err, got.out, got.err)
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", tc.command, shape(v))
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
