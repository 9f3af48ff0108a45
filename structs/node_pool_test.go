package structs

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/blake2b"
)

// TestNodePoolHash pins the hash's input. The first value was computed by a server without identity TTLs.
func TestNodePoolHash(t *testing.T) {
	const withoutTTL = "aL/Cg9NQVHQ4sNI4ZsY6WR7sRVdivtTb3+u1MEmOpfc="
	sum := func(s string) string {
		h := blake2b.Sum256([]byte(s))
		return base64.StdEncoding.EncodeToString(h[:])
	}
	if got := sum("edge" + "edge boxes" + "site" + "lisbon"); got != withoutTTL {
		t.Fatalf("the order name, description, metadata gives %s, want %s", got, withoutTTL)
	}
	p := &NodePool{Name: "edge", Description: "edge boxes", Meta: map[string]string{"site": "lisbon"}}
	if !p.Canonicalize() {
		t.Error("the TTL was not filled in")
	}
	if got, want := base64.StdEncoding.EncodeToString(p.Hash), sum("edge"+"edge boxes"+"24h0m0s"+"site"+"lisbon"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	const pinned = "ZJ3pvklQkM6z7+pKenIYqKZfIMqr6jHegCB5skcJ3OI="
	if got := base64.StdEncoding.EncodeToString(p.Hash); got != pinned {
		t.Errorf("got %s, want %s", got, pinned)
	}
	yes, no := true, false
	for _, c := range []struct {
		over *bool
		text string
	}{{nil, ""}, {&yes, "memory_oversubscription_enabled"}, {&no, "memory_oversubscription_disabled"}} {
		p.SchedulerConfiguration = &NodePoolSchedulerConfiguration{SchedulerAlgorithm: "spread", MemoryOversubscriptionEnabled: c.over}
		p.Meta = map[string]string{"b": "2", "a": "1"}
		p.SetHash()
		if got, want := base64.StdEncoding.EncodeToString(p.Hash), sum("edgeedge boxes24h0m0sspread"+c.text+"a1b2"); got != want {
			t.Errorf("with %q: got %s, want %s", c.text, got, want)
		}
	}
}

func TestCanonicalizeKeepsAGivenTTL(t *testing.T) {
	p := &NodePool{Name: "edge", NodeIdentityTTL: time.Hour}
	if p.Canonicalize() || p.NodeIdentityTTL != time.Hour || len(p.Hash) != 32 {
		t.Errorf("got %+v", p)
	}
}

func TestValidateNodePool(t *testing.T) {
	for _, c := range []struct {
		name string
		pool *NodePool
		want []string // none: valid
	}{
		{"a name is enough", &NodePool{Name: "edge-1_A"}, nil},
		{"a TTL of ten years", &NodePool{Name: "edge", NodeIdentityTTL: MaxNodeIdentityTTL}, nil},
		{"a TTL of a second", &NodePool{Name: "edge", NodeIdentityTTL: time.Second}, nil},
		{"all faults are named", &NodePool{Name: "a b", Description: strings.Repeat("d", 257), NodeIdentityTTL: -1, SchedulerConfiguration: &NodePoolSchedulerConfiguration{}},
			[]string{"invalid node pool name", "257 bytes", "negative", "scheduler configuration"}},
		{"no name", &NodePool{}, []string{"invalid node pool name"}},
		{"a name of 129 letters", &NodePool{Name: strings.Repeat("a", 129)}, []string{"invalid node pool name"}},
		{"a name with a line break after it", &NodePool{Name: "edge\n"}, []string{"invalid node pool name"}},
		{"a TTL under a second", &NodePool{Name: "edge", NodeIdentityTTL: time.Second - 1}, []string{"under one second"}},
		{"a TTL over ten years", &NodePool{Name: "edge", NodeIdentityTTL: MaxNodeIdentityTTL + 1}, []string{"ten years"}},
		{"no pool", nil, []string{"missing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.pool.Validate()
			if (err == nil) != (len(c.want) == 0) {
				t.Fatalf("got %v", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v does not say %q", err, w)
				}
			}
		})
	}
}

func TestBuiltinNodePools(t *testing.T) {
	a, b := BuiltinNodePools(), BuiltinNodePools()
	for i, p := range a {
		if !p.IsBuiltin() || p.NodeIdentityTTL != 24*time.Hour || p == b[i] {
			t.Errorf("got %+v", p)
		}
	}
	if len(a) != 2 || (&NodePool{Name: "edge"}).IsBuiltin() {
		t.Errorf("got %d built-in pools", len(a))
	}
}
