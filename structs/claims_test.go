package structs

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestClaimsAsJSON(t *testing.T) {
	base := IdentityClaims{ID: "jti", Subject: "s", Audience: []string{IdentityAudience}, IssuedAt: 1, NotBefore: 2, Expiry: 3}
	with := func(f func(*IdentityClaims)) IdentityClaims { c := base; f(&c); return c }
	for _, c := range []struct {
		name   string
		claims IdentityClaims
		kind   IdentityKind
		json   string
	}{
		{"a node", with(func(c *IdentityClaims) {
			c.Node = &NodeClaims{NodeID: "n", Pool: "p", Class: "c", Datacenter: "d"}
		}), IdentityNode, `{"aud":"nomadproject.io","exp":3,"iat":1,"jti":"jti","nbf":2,"sub":"s","nomad_node_id":"n","nomad_node_pool":"p","nomad_node_class":"c","nomad_node_datacenter":"d"}`},
		{"a node without a class, with an issuer", with(func(c *IdentityClaims) {
			c.Issuer, c.Node = "https://i", &NodeClaims{NodeID: "n", Pool: "p", Datacenter: "d"}
		}), IdentityNode, `{"aud":"nomadproject.io","exp":3,"iat":1,"iss":"https://i","jti":"jti","nbf":2,"sub":"s","nomad_node_id":"n","nomad_node_pool":"p","nomad_node_datacenter":"d"}`},
		{"an introduction without a name", with(func(c *IdentityClaims) {
			c.Introduction = &IntroductionClaims{Pool: "p"}
		}), IdentityIntroduction, `{"aud":"nomadproject.io","exp":3,"iat":1,"jti":"jti","nbf":2,"sub":"s","nomad_node_name":"","nomad_node_pool":"p"}`},
		{"an introduction that names everything", with(func(c *IdentityClaims) {
			c.Introduction = &IntroductionClaims{Name: "n", Pool: "p", Class: "c", Datacenter: "d"}
		}), IdentityIntroduction, `{"aud":"nomadproject.io","exp":3,"iat":1,"jti":"jti","nbf":2,"sub":"s","nomad_node_name":"n","nomad_node_pool":"p","rollcall_node_class":"c","rollcall_node_datacenter":"d"}`},
		{"a workload with two audiences", with(func(c *IdentityClaims) {
			c.Audience = []string{"a", "b"}
			c.Workload = &WorkloadClaims{Namespace: "ns", JobID: "j", AllocationID: "a", Task: "t"}
		}), IdentityWorkload, `{"aud":["a","b"],"exp":3,"iat":1,"jti":"jti","nbf":2,"sub":"s","nomad_namespace":"ns","nomad_job_id":"j","nomad_allocation_id":"a","nomad_task":"t"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := json.Marshal(&c.claims)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.json {
				t.Errorf("got  %s\nwant %s", got, c.json)
			}
			var back IdentityClaims
			if err := json.Unmarshal(got, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.claims, back); diff != "" || back.Kind() != c.kind {
				t.Errorf("read back as %s (-want +got):\n%s", back.Kind(), diff)
			}
		})
	}
}

func TestClaimsThatNameNobody(t *testing.T) {
	for _, in := range []string{`{}`, `{"nomad_node_pool":"p"}`, `{"sub":"s","exp":1}`} {
		var c IdentityClaims
		if err := json.Unmarshal([]byte(in), &c); !errors.Is(err, ErrUnknownClaims) {
			t.Errorf("%s: got %v", in, err)
		}
	}
	for _, in := range []string{`[]`, `{"nomad_node_id":1}`, `{"aud":1,"nomad_node_id":"n"}`} {
		var c IdentityClaims
		if err := json.Unmarshal([]byte(in), &c); err == nil {
			t.Errorf("%s was taken", in)
		}
	}
	if _, err := json.Marshal(&IdentityClaims{Subject: "s"}); !errors.Is(err, ErrUnknownClaims) {
		t.Errorf("claims of nobody: got %v", err)
	}
}

func TestWorkloadKeysWinOverNodeKeys(t *testing.T) {
	var c IdentityClaims
	in := `{"nomad_namespace":"ns","nomad_node_id":"n","nomad_node_name":"x"}`
	if err := json.Unmarshal([]byte(in), &c); err != nil || c.Kind() != IdentityWorkload || c.Node != nil || c.Introduction != nil {
		t.Errorf("%s: %v, %+v", in, err, c)
	}
}

func TestNewClaims(t *testing.T) {
	l := Lifetime{ID: "jti", Issuer: "https://i", Now: time.Unix(1000, 0), TTL: time.Hour}
	n := &Node{ID: "n", NodePool: "p", NodeClass: "c", Datacenter: "d"}
	node, intro := NewNodeClaims("global", n, l), NewIntroductionClaims("global", "p", "", l)
	if node.Subject != "node:global:p:n:default" || node.Kind() != IdentityNode || node.Expiry != 4600 || node.IssuedAt != 1000 {
		t.Errorf("node: %+v", node)
	}
	if intro.Subject != "node-introduction:global:p::default" || intro.Kind() != IdentityIntroduction || intro.Expiry == 0 {
		t.Errorf("introduction: %+v", intro)
	}
}

func TestIsExpiring(t *testing.T) {
	c := &IdentityClaims{Expiry: 9000}
	for _, x := range []struct {
		name   string
		claims *IdentityClaims
		now    int64
		want   bool
	}{
		{"more than a third of the TTL is left", c, 7999, false},
		{"exactly a third is left", c, 8000, false},
		{"less than a third is left", c, 8001, true},
		{"nothing is left", c, 9001, true},
		{"it never expires", &IdentityClaims{}, 8001, false},
		{"there is none", nil, 8001, false},
	} {
		if got := x.claims.IsExpiring(time.Unix(x.now, 0), 3000*time.Second); got != x.want {
			t.Errorf("%s: got %v", x.name, got)
		}
		if got := x.claims.ExpiresWithin(time.Unix(x.now, 0), 1000*time.Second); got != x.want {
			t.Errorf("%s: within the third: got %v", x.name, got)
		}
	}
}
