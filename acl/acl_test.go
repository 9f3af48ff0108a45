package acl

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPoliciesAreRead(t *testing.T) {
	got, err := Parse(`
# everything that a policy may have
node { policy = "read" }
agent { policy = "write" }
operator {
  policy       = "read"
  capabilities = ["snapshot-save", "keyring-read"]
}
node_pool "edge-*" { capabilities = ["read", "write"] }
node_pool "default" { policy = "deny" }
namespace "default" {
  policy       = "write"
  capabilities = ["a-capability-of-the-future"]
  variables {
    path "x" { capabilities = ["read"] }
  }
}
host_volume "prod-*" { policy = "write" }
quota { policy = "read" }
plugin { policy = "list" }
sentinel { policy = "deny" }
`)
	if err != nil {
		t.Fatal(err)
	}
	want := &Policy{
		Node: Rule{Policy: "read"}, Agent: Rule{Policy: "write"}, Quota: Rule{Policy: "read"}, Plugin: Rule{Policy: "list"}, Sentinel: Rule{Policy: "deny"},
		Operator:    Rule{Policy: "read", Capabilities: []string{"snapshot-save", "keyring-read"}},
		NodePools:   []NamedRule{{"edge-*", Rule{Capabilities: []string{"read", "write"}}}, {"default", Rule{Policy: "deny"}}},
		Namespaces:  []NamedRule{{"default", Rule{Policy: "write", Capabilities: []string{"a-capability-of-the-future"}}}},
		HostVolumes: []NamedRule{{"prod-*", Rule{Policy: "write"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestMistakesInPoliciesAreToldByLine(t *testing.T) {
	for name, tc := range map[string]struct{ rules, want string }{
		"a word that is none":          {"node {\n policy = \"admin\"\n}", `line 2: node.policy: "admin" is not known; want one of "read", "write", "deny"`},
		"a block that is none":         {"\n\nnodes { policy = \"read\" }", `line 3: block "nodes" is not known; want one of agent, host_volume, namespace, node,`},
		"a capability that is none":    {"operator {\n capabilities = [\"keyring-read\",\n \"keyring-rot\"]\n}", `line 3: operator.capabilities: "keyring-rot" is not known; want one of "deny", "keyring-delete",`},
		"capabilities where none are":  {"node {\n capabilities = [\"read\"]\n}", "line 2: node takes no capabilities; want policy = one of"},
		"a key that is none":           {"node_pool \"x\" {\n polcy = \"read\"\n}", "line 2: node_pool.polcy is not known; want policy or capabilities"},
		"a pool without a name":        {"node_pool {}", `line 1: node_pool wants one name or pattern: node_pool "*" { ... }`},
		"a name where none is":         {"node \"x\" {}", "line 1: node takes no name: want node { ... }"},
		"a block twice":                {"node {}\nnode {}", "line 2: node is there twice"},
		"a pool twice":                 {"node_pool \"a\" {}\nnode_pool \"b\" {}\nnode_pool \"a\" {}", "line 3: node_pool a is there twice"},
		"an attribute for a block":     {"node = \"read\"", `line 1: "node" is not a block: want node { ... }`},
		"a number for a text":          {"node { policy = 5 }", "line 1: node.policy: want a quoted text"},
		"a name for a text":            {"node { policy = read }", "line 1: node.policy: want a quoted text"},
		"a text for a list":            {"operator { capabilities = \"deny\" }", "line 1: operator.capabilities: want a list of quoted texts"},
		"a list of numbers":            {"operator { capabilities = [1] }", "line 1: operator.capabilities: want a quoted text"},
		"a block inside":               {"node {\n inner {}\n}", `line 2: block "inner" can't stand inside node`},
		"an expression":                {"node { policy = 1 + 2 }", `line 1: "+" can't stand here`},
		"a template":                   {"node { policy = \"${x}\" }", `line 1: "${" can't stand here`},
		"a block that does not end":    {"node {\n policy = \"read\"\n", "line"},
		"too deep":                     {"namespace \"a\" {\n" + strings.Repeat("variables {", 40), "line 2: nested more than 16 levels deep"},
		"too long":                     {strings.Repeat("#", MaxRules+1), "policy has 65537 bytes, more than 65536"},
		"a pattern that is too long":   {"node_pool \"" + strings.Repeat("a", 129) + "\" {}", "line 1: the name of node_pool has 129 bytes; want 1 to 128"},
		"a pattern that is empty":      {"node_pool \"\" {}", "line 1: the name of node_pool has 0 bytes"},
		"every mistake, not the first": {"node { policy = \"x\" }\nagent { policy = \"y\" }", "line 2: agent.policy"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Parse(tc.rules)
			if err == nil || p != nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, %v, want an error with %q", p, err, tc.want)
			}
		})
	}
	if _, err := Parse(strings.Repeat("x {}\n", 1000)); strings.Count(err.Error(), "\n") >= maxProblems {
		t.Error("a thousand mistakes are told")
	}
}

func compile(t testing.TB, rules ...string) *ACL {
	t.Helper()
	var sources []Source
	for i, r := range rules {
		sources = append(sources, Source{fmt.Sprint(i), r})
	}
	a, err := new(Cache).Compile(sources)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var plain = []Capability{NodeRead, NodeWrite, AgentRead, AgentWrite, OperatorRead, OperatorWrite, SnapshotSave, KeyringRead, KeyringRotate, KeyringDelete, Management}

func TestWhatPoliciesGrant(t *testing.T) {
	for name, tc := range map[string]struct {
		rules []string
		want  []Capability
	}{
		"nothing":                         {nil, nil},
		"an empty policy":                 {[]string{""}, nil},
		"node read":                       {[]string{`node { policy = "read" }`}, []Capability{NodeRead}},
		"node write has read":             {[]string{`node { policy = "write" }`}, []Capability{NodeRead, NodeWrite}},
		"agent write":                     {[]string{`agent { policy = "write" }`}, []Capability{AgentRead, AgentWrite}},
		"operator read has no keys":       {[]string{`operator { policy = "read" }`}, []Capability{OperatorRead}},
		"operator write has the keyring":  {[]string{`operator { policy = "write" }`}, []Capability{OperatorRead, OperatorWrite, KeyringRead, KeyringRotate, KeyringDelete}},
		"one capability":                  {[]string{`operator { capabilities = ["snapshot-save"] }`}, []Capability{SnapshotSave}},
		"two policies add up":             {[]string{`node { policy = "read" }`, `operator { capabilities = ["keyring-rotate"] }`}, []Capability{NodeRead, KeyringRotate}},
		"the larger word counts":          {[]string{`node { policy = "read" }`, `node { policy = "write" }`}, []Capability{NodeRead, NodeWrite}},
		"deny wins over another's write":  {[]string{`node { policy = "write" }`, `node { policy = "deny" }`}, nil},
		"deny as a capability":            {[]string{`operator { policy = "write" }`, `operator { capabilities = ["deny", "keyring-read"] }`}, nil},
		"deny of one block is not others": {[]string{`node { policy = "deny" }`, `agent { policy = "read" }`}, []Capability{AgentRead}},
		"blocks that mean nothing here":   {[]string{`namespace "*" { policy = "write" }` + "\n" + `quota { policy = "write" }`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := compile(t, tc.rules...)
			for _, c := range plain {
				if got, want := a.Allows(c), slices.Contains(tc.want, c); got != want {
					t.Errorf("%s: %v, want %v", c, got, want)
				}
				if !Everything.Allows(c) || Nothing.Allows(c) || (*ACL)(nil).Allows(c) {
					t.Errorf("%s of everything, nothing or no ACL", c)
				}
			}
		})
	}
}

func TestTheMostSpecificPatternCounts(t *testing.T) {
	a := compile(t, `
node_pool "*" { policy = "read" }
node_pool "edge-*" { policy = "write" }
node_pool "edge-secret" { policy = "deny" }
node_pool "*-lab" { capabilities = ["delete"] }
node_pool "gpu" { capabilities = ["write"] }`, `
node_pool "edge-x*" { capabilities = ["read", "deny"] }
node_pool "*-two" { policy = "write" }
node_pool "two-*" { policy = "deny" }
node_pool "on-*" { policy = "read" }
node_pool "*-on" { capabilities = ["write"] }`)
	for pool, want := range map[string]string{
		"default": "read", "all": "read", "edge-1": "read write delete", "edge-": "read write delete", "edge": "read", "edge-secret": "", "edge-xy": "",
		"a-lab": "delete", "edge-lab": "read write delete", "gpu": "write", "gpus": "read",
		"a-two": "read write delete", "two-two": "", "on-on": "read write", "": "read",
	} {
		var got []string
		for _, c := range []Capability{PoolRead, PoolWrite, PoolDelete} {
			if a.AllowsPool(c, pool) {
				got = append(got, strings.TrimPrefix(string(c), "node_pool:"))
			}
			if !Everything.AllowsPool(c, pool) || Nothing.AllowsPool(c, pool) || (*ACL)(nil).AllowsPool(c, pool) {
				t.Errorf("%s of everything, nothing or no ACL", c)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("pool %q: %v, want %q", pool, got, want)
		}
	}
	if some := compile(t, `node_pool "a" { policy = "deny" }`); some.AllowsSomePool(PoolRead) || !a.AllowsSomePool(PoolDelete) || !Everything.AllowsSomePool(PoolRead) || Nothing.AllowsSomePool(PoolRead) {
		t.Error("some pool")
	}
}

// naive is a matcher that is too simple to be wrong and too slow to be used.
func naive(pattern, name string) bool {
	switch {
	case pattern == "":
		return name == ""
	case pattern[0] == '*':
		return naive(pattern[1:], name) || name != "" && naive(pattern, name[1:])
	}
	return name != "" && pattern[0] == name[0] && naive(pattern[1:], name[1:])
}

func TestPatternsMatchAsTheNaiveMatcherSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*]{0,8}`).Draw(t, "pattern")
		name := rapid.StringMatching(`[ab]{0,8}`).Draw(t, "name")
		if got, want := matches(pattern, name), naive(pattern, name); got != want || matches(simplify(pattern), name) != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, name, got, want)
		}
	})
}

// More policies, whatever their order, never take away what is not denied, and a denial never goes.
func TestADenialIsNeverLost(t *testing.T) {
	words := rapid.SampledFrom([]string{"", "read", "write", "deny"})
	rapid.Check(t, func(t *rapid.T) {
		var policies []*Policy
		deniedNode := false
		for range rapid.IntRange(0, 5).Draw(t, "policies") {
			p := &Policy{Node: Rule{Policy: words.Draw(t, "node")}, NodePools: []NamedRule{
				{rapid.SampledFrom([]string{"a", "a*", "*", "*a"}).Draw(t, "pattern"), Rule{Policy: words.Draw(t, "pool")}}}}
			deniedNode = deniedNode || p.Node.Policy == "deny"
			policies = append(policies, p)
		}
		a := Compile(policies...)
		slices.Reverse(policies)
		b := Compile(policies...)
		for _, c := range []Capability{NodeRead, NodeWrite} {
			if deniedNode && a.Allows(c) || a.Allows(c) != b.Allows(c) {
				t.Errorf("%s: %v, in the other order %v", c, a.Allows(c), b.Allows(c))
			}
		}
		for _, pool := range []string{"a", "aa", "b", "ba"} {
			if a.AllowsPool(PoolWrite, pool) != b.AllowsPool(PoolWrite, pool) {
				t.Errorf("pool %s depends on the order", pool)
			}
		}
	})
}

func TestTheCacheKnowsPoliciesByTheirText(t *testing.T) {
	var c Cache
	get := func(sources ...Source) *ACL {
		t.Helper()
		a, err := c.Compile(sources)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	read, write := Source{"p", `node { policy = "read" }`}, Source{"p", `node { policy = "write" }`}
	a := get(read)
	if get(read) != a || get(read, read) != a || get(Source{"q", read.Rules}) != a {
		t.Error("the same text was compiled again")
	}
	if b := get(write); b == a || !b.Allows(NodeWrite) {
		t.Error("a policy that was changed is as it was")
	}
	if get(read, write) != get(write, read) {
		t.Error("the order of policies matters")
	}
	// Two texts are not one that has the border elsewhere.
	if get(Source{"1", "# a"}, Source{"2", "# b"}) == get(Source{"1", "# a# b"}) {
		t.Error("texts ran into each other")
	}
	if _, err := c.Compile([]Source{read, {"broken", "node {"}}); err == nil || !strings.Contains(err.Error(), `read policy "broken": line`) {
		t.Errorf("a policy that can't be read was left out: %v", err)
	}
	for i := range maxCached + 1 {
		get(Source{"p", fmt.Sprintf("# %d", i)})
	}
	if len(c.acls) > maxCached {
		t.Errorf("%d ACLs are kept", len(c.acls))
	}
}

func FuzzPolicy(f *testing.F) {
	for _, s := range []string{"", `node { policy = "read" }`, `node_pool "a*" { capabilities = ["read", "deny"] }`, `namespace "x" { variables { path "a" { capabilities = [] } } }`,
		"node {", "\x00", `operator { policy = "${x}" }`, "{}", strings.Repeat("[", 100), `x = <<E` + "\n" + `E`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, rules string) {
		p, err := Parse(rules)
		if (p == nil) == (err == nil) {
			t.Fatalf("%v, %v", p, err)
		}
		if err != nil {
			return
		}
		a := Compile(p)
		if a.Allows(Management) || a.IsManagement() {
			t.Fatal("a policy gives management")
		}
		if p.Node.Policy == "deny" && a.Allows(NodeRead) {
			t.Fatal("a denial is lost")
		}
	})
}

func BenchmarkCachedACL(b *testing.B) {
	var c Cache
	sources := []Source{{"a", strings.Repeat("# a comment\n", 100) + `node { policy = "read" }`}, {"b", `node_pool "edge-*" { policy = "write" }`}}
	for b.Loop() {
		if _, err := c.Compile(sources); err != nil {
			b.Fatal(err)
		}
	}
}
