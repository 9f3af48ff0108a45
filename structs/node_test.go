package structs

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	testNodeID = "0bd0a5c2-1111-4222-8333-444455556666"
	testSecret = "5ec2e700-1111-4222-8333-444455556666"
)

func TestCanonicalizeNode(t *testing.T) {
	for _, c := range []struct {
		name string
		in   Node
		want Node
	}{
		{"a bare node is eligible in the default pool", Node{}, Node{NodePool: "default", SchedulingEligibility: "eligible"}},
		{"an ineligible node stays so", Node{NodePool: "edge", SchedulingEligibility: "ineligible"}, Node{NodePool: "edge", SchedulingEligibility: "ineligible"}},
		{
			"a draining node is ineligible whatever it says", Node{DrainStrategy: &DrainStrategy{}, SchedulingEligibility: "eligible"},
			Node{NodePool: "default", DrainStrategy: &DrainStrategy{}, SchedulingEligibility: "ineligible"},
		},
		{
			"a secret becomes its hash", Node{SecretID: testSecret, SecretHash: []byte("old")},
			Node{NodePool: "default", SchedulingEligibility: "eligible", SecretHash: HashSecret(testSecret)},
		},
		{
			"a hash without a secret is kept", Node{SecretHash: []byte("old")},
			Node{NodePool: "default", SchedulingEligibility: "eligible", SecretHash: []byte("old")},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.in.Canonicalize()
			if diff := cmp.Diff(c.want, c.in); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestSecretMatches(t *testing.T) {
	n := &Node{SecretHash: HashSecret(testSecret)}
	for _, c := range []struct {
		name   string
		node   *Node
		secret string
		want   bool
	}{
		{"the node's secret", n, testSecret, true},
		{"another secret", n, testNodeID, false},
		{"no secret", n, "", false},
		{"no secret for a node without one", &Node{}, "", false},
		{"any secret for a node without one", &Node{}, testSecret, false},
		{"a hash that is cut off", &Node{SecretHash: HashSecret(testSecret)[:16]}, testSecret, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.node.SecretMatches(c.secret); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if HashSecret("") != nil {
		t.Error("an empty secret has a hash")
	}
}

func TestValidateRegistration(t *testing.T) {
	good := func() *Node {
		return &Node{
			ID: testNodeID, SecretID: testSecret, Datacenter: "dc1", Name: "n", Attributes: NewStringMap(map[string]string{"a": "b"}), Status: "ready",
		}
	}
	for _, c := range []struct {
		name   string
		change func(*Node)
		want   []string // none: valid
	}{
		{"a full node", func(*Node) {}, nil},
		{"no status", func(n *Node) { n.Status = "" }, nil},
		{"an empty node has all its faults named", func(n *Node) { *n = Node{} }, []string{
			"missing node ID", "missing node secret ID", "missing datacenter", "missing node name", "missing attributes",
		}},
		{"an ID that is no UUID", func(n *Node) { n.ID = "n1" }, []string{`"n1" is not a UUID`}},
		{"a secret that is no UUID", func(n *Node) { n.SecretID = "hunter2" }, []string{"secret ID is not a UUID"}},
		{"an unknown status", func(n *Node) { n.Status = "fine" }, []string{`invalid status for node: "fine"`}},
		{"the pool of all nodes", func(n *Node) { n.NodePool = "all" }, []string{`not allowed to register in node pool "all"`}},
		{"a bad pool name", func(n *Node) { n.NodePool = "a b" }, []string{`invalid node pool name "a b"`}},
		{"a null character", func(n *Node) { n.Name = "a\x00b" }, []string{"control character"}},
		{"an endless name", func(n *Node) { n.NodeClass = strings.Repeat("c", 1025) }, []string{"longer than 1024"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := good()
			c.change(n)
			err := n.ValidateRegistration()
			if (err == nil) != (len(c.want) == 0) {
				t.Fatalf("got %v", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v does not say %q", err, w)
				}
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error has the secret in it: %v", err)
			}
		})
	}
	if (*Node)(nil).ValidateRegistration() == nil {
		t.Error("no node is valid")
	}
}

func TestUsesKey(t *testing.T) {
	node := func(status string, ttl time.Duration) *Node {
		return &Node{IdentitySigningKeyID: "k", Status: status, IdentityTTL: ttl, StatusUpdatedAt: 1000}
	}
	for _, c := range []struct {
		name string
		node *Node
		key  string
		now  int64
		want bool
	}{
		{"a ready node uses its key for ever", node("ready", time.Second), "k", 1 << 40, true},
		{"a disconnected one too", node("disconnected", time.Second), "k", 1 << 40, true},
		{"nobody uses another key", node("ready", time.Second), "other", 0, false},
		{"a node that is down uses it until its identity and the leeway are over", node("down", 100*time.Second), "k", 1160, true},
		{"and not a second longer", node("down", 100*time.Second), "k", 1161, false},
		{"a TTL that is not known never ends", node("down", 0), "k", 1 << 40, true},
		{"nor does a negative one", node("down", -1), "k", 1 << 40, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.node.UsesKey(c.key, c.now); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestAddEventLeavesTheOldSlice(t *testing.T) {
	n := &Node{}
	for i := range 15 {
		old, before := n.Events, len(n.Events)
		c := n.ShallowCopy()
		c.AddEvent(&NodeEvent{CreateIndex: uint64(i)})
		d := n.ShallowCopy()
		d.AddEvent(&NodeEvent{CreateIndex: 99}) // would show in c if they shared an array
		if len(old) != before || c.Events[len(c.Events)-1].CreateIndex != uint64(i) {
			t.Fatalf("event %d: the slices share memory", i)
		}
		n = c
	}
	if len(n.Events) != MaxNodeEvents || n.Events[0].CreateIndex != 5 || n.Events[9].CreateIndex != 14 {
		t.Errorf("kept %d events from %d", len(n.Events), n.Events[0].CreateIndex)
	}
}

func TestComputeClass(t *testing.T) {
	base := Node{ID: "a", Name: "a", Datacenter: "dc1", NodePool: "p", Attributes: NewStringMap(map[string]string{"x": "1", "unique.ip": "1"})}
	for _, c := range []struct {
		name   string
		change func(*Node)
		same   bool
	}{
		{"a node's name", func(n *Node) { n.ID, n.Name = "b", "b" }, true},
		{"a unique attribute", func(n *Node) { n.Attributes = NewStringMap(map[string]string{"x": "1", "unique.ip": "2"}) }, true},
		{"an attribute", func(n *Node) { n.Attributes = NewStringMap(map[string]string{"x": "2"}) }, false},
		{"metadata of the same content", func(n *Node) { n.Attributes, n.Meta = StringMap{}, NewStringMap(map[string]string{"x": "1"}) }, false},
		{"the datacenter", func(n *Node) { n.Datacenter = "dc2" }, false},
		{"the pool", func(n *Node) { n.NodePool = "q" }, false},
		{"the class", func(n *Node) { n.NodeClass = "c" }, false},
	} {
		a, b := base, base
		c.change(&b)
		a.ComputeClass()
		b.ComputeClass()
		if (a.ComputedClass == b.ComputedClass) != c.same || !strings.HasPrefix(a.ComputedClass, "v1:") {
			t.Errorf("%s: %s and %s, same should be %v", c.name, a.ComputedClass, b.ComputedClass, c.same)
		}
	}
}

func TestStubAddress(t *testing.T) {
	for in, want := range map[string]string{"10.0.0.1:4646": "10.0.0.1", "[::1]:4646": "::1", "host": "host", "": ""} {
		if got := (&Node{HTTPAddr: in}).Stub(nil).Address; got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestSanitizedHasNoSecret(t *testing.T) {
	n := &Node{ID: "a", SecretID: testSecret, SecretHash: HashSecret(testSecret)}
	if s := n.Sanitized(); s.SecretID != "" || s.SecretHash != nil || s.ID != "a" || n.SecretID == "" {
		t.Errorf("got %+v of %+v", s, n)
	}
}

func TestIsUUID(t *testing.T) {
	for in, want := range map[string]bool{
		testNodeID: true, strings.ToUpper(testNodeID): true, "": false, testNodeID[:35]: false, testNodeID + "0": false,
		strings.ReplaceAll(testNodeID, "-", "0"): false, "g" + testNodeID[1:]: false, testNodeID[:35] + "-": false,
	} {
		if IsUUID(in) != want {
			t.Errorf("%q: want %v", in, want)
		}
	}
}
