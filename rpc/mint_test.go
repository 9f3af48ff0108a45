package rpc

import (
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// The first table of wire.md §3.3, row by row.
func TestRegisterMintsByItsTable(t *testing.T) {
	cases := []struct {
		name    string
		token   func(w *world) string
		change  func(w *world, n *structs.Node)
		unknown bool // the node is not registered yet
		mints   bool
	}{
		{"row 1: an expired identity", func(w *world) string { return w.expiredIdentity(1) }, nil, false, true},
		{"row 1: an expired identity of an agent that is too old", func(w *world) string { return w.expiredIdentity(1) }, agentOf(tooOld), false, true},
		{"row 1: an expired introduction", func(w *world) string {
			return w.sign(structs.NewIntroductionClaims(region, "default", "", w.lifetime(t0.Add(-time.Hour), time.Minute)))
		}, nil, false, true},
		{"row 2: an agent that is too old, anonymous", none, agentOf(tooOld), false, false},
		{"row 2: an agent that is too old, by its secret", bySecret, agentOf(tooOld), false, false},
		{"row 2: an agent that is too old, by an introduction", introduced, agentOf(tooOld), true, false},
		{"row 2: an agent that is too old, in the last third", aged(20 * time.Hour), agentOf(tooOld), false, false},
		{"row 3: anonymous, not known", none, nil, true, true},
		{"row 3: anonymous, known", none, nil, false, true},
		{"row 3: by its secret", bySecret, nil, false, true},
		{"row 4: by an introduction, not known", introduced, nil, true, true},
		{"row 4: by an introduction, known", introduced, nil, false, true},
		{"row 5: the pool has changed", aged(0), func(_ *world, n *structs.Node) { n.NodePool = "gpu" }, false, true},
		{"row 5: the class has changed", aged(0), func(_ *world, n *structs.Node) { n.NodeClass = "small" }, false, true},
		{"row 5: the datacenter has changed", aged(0), func(_ *world, n *structs.Node) { n.Datacenter = "dc2" }, false, true},
		{"row 5: the default pool by no name has not changed", aged(0), func(_ *world, n *structs.Node) { n.NodePool = "" }, false, false},
		{"row 6: fresh", aged(0), nil, false, false},
		{"row 6: exactly a third left", aged(16 * time.Hour), nil, false, false},
		{"row 6: a nanosecond less than a third left", aged(16*time.Hour + 1), nil, false, true},
		{"a node that is not known, with a fresh identity whose key no record names", aged(0), nil, true, true},
		{"no server may be too old: anonymous", none, cannotMint, false, false},
		{"no server may be too old: expired", func(w *world) string { return w.expiredIdentity(1) }, cannotMint, false, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if !c.unknown {
				w.join(1)
			}
			token := c.token(w)
			n := testNode(1)
			if c.change != nil {
				c.change(w, n)
			}
			checkMint(t, w, must(w.register(n, token))(t), c.mints)
		})
	}
}

// The second table of wire.md §3.3, row by row.
func TestUpdateStatusMintsByItsTable(t *testing.T) {
	cases := []struct {
		name   string
		token  func(w *world) string
		change func(w *world, n *structs.Node)
		forced bool
		mints  bool
	}{
		{"row 1: an agent that is too old, by its secret", bySecret, agentOf(tooOld), false, false},
		{"row 1: an agent that is too old, forced", aged(0), agentOf(tooOld), true, false},
		{"row 1: an agent that is too old, in the last third", aged(20 * time.Hour), agentOf(tooOld), false, false},
		{"row 2: by its secret", bySecret, nil, false, true},
		{"row 3: forced", aged(0), nil, true, true},
		{"row 4: fresh", aged(0), nil, false, false},
		{"row 4: exactly a third left", aged(16 * time.Hour), nil, false, false},
		{"row 4: a nanosecond less than a third left", aged(16*time.Hour + 1), nil, false, true},
		{"row 4: fresh, though what it claims has changed", aged(0), func(_ *world, n *structs.Node) { n.NodeClass = "small" }, false, false},
		{"no server may be too old: by its secret", bySecret, cannotMint, false, false},
		{"no server may be too old: forced", aged(0), cannotMint, true, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			n := testNode(1)
			if c.change != nil {
				c.change(w, n)
			}
			must(w.register(n, ""))(t)
			reply := must(w.heartbeat(1, c.token(w), func(r *structs.NodeUpdateStatusRequest) { r.ForceIdentityRenewal = c.forced }))(t)
			checkMint(t, w, reply, c.mints)
		})
	}
	for name, token := range map[string]func(*world) string{"anonymous": none, "an introduction": introduced, "a workload": (*world).workload} {
		t.Run("row 5: "+name, func(t *testing.T) {
			w := newWorld(t)
			w.join(1)
			_, err := w.heartbeat(1, token(w), renewal)
			wantError(t, err, structs.ErrPermissionDenied)
		})
	}
}

func TestANodeThatReportsItselfDownGetsNoIdentity(t *testing.T) {
	w := newWorld(t)
	must(w.register(testNode(1), ""))(t)
	token := w.identity(1, w.clock.Now(), defaultTTL)
	reply := must(w.heartbeat(1, token, func(r *structs.NodeUpdateStatusRequest) {
		r.Status, r.ForceIdentityRenewal = structs.NodeStatusDown, true
	}))(t)
	checkMint(t, w, reply, false)
}

func none(*world) string                   { return "" }
func bySecret(*world) string               { return secretOf(1) }
func introduced(w *world) string           { return w.introduction("default", "") }
func cannotMint(w *world, _ *structs.Node) { w.cluster.cannotMint = true }

// aged is an identity of 24 hours that has that age.
func aged(age time.Duration) func(*world) string {
	return func(w *world) string {
		token := w.identity(1, w.clock.Now(), defaultTTL)
		w.clock.advance(age)
		return token
	}
}

func agentOf(v string) func(*world, *structs.Node) {
	return func(_ *world, n *structs.Node) { n.Attributes = n.Attributes.With(structs.AttrNomadVersion, v) }
}

// checkMint checks that a reply has an identity, and one that says what it must.
func checkMint(t *testing.T, w *world, reply *structs.NodeUpdateResponse, mints bool) {
	t.Helper()
	if !mints {
		if reply.SignedIdentity != nil {
			t.Fatal("an identity was minted")
		}
		return
	}
	if reply.SignedIdentity == nil {
		t.Fatal("no identity was minted")
	}
	claims, err := w.kr.Verify(*reply.SignedIdentity, w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	n := w.node(1)
	want := structs.NodeClaims{NodeID: n.ID, Pool: n.NodePool, Class: n.NodeClass, Datacenter: n.Datacenter}
	if claims.Kind() != structs.IdentityNode || *claims.Node != want {
		t.Errorf("claims %+v, want %+v", claims.Node, want)
	}
	if got, want := claims.Expiry, w.clock.Now().Add(defaultTTL).Unix(); got != want {
		t.Errorf("it expires at %d, want %d", got, want)
	}
	if n.IdentitySigningKeyID == "" || !strings.Contains(claims.Subject, "node:global:"+n.NodePool+":"+n.ID+":default") {
		t.Errorf("node has signing key %q, subject is %q", n.IdentitySigningKeyID, claims.Subject)
	}
}

func TestWhoTakesIdentities(t *testing.T) {
	cases := []struct {
		nomad, own string
		takes      bool
	}{
		{"", "", false},
		{"1.11.0", "", true},
		{"1.11.0-beta.1", "", true},
		{"1.11.0-alpha.1", "", true},
		{"1.11.0-dev", "", true},
		{"1.11.0+ent", "", true},
		{"v1.11.0", "", true},
		{"1.11.1-beta.1", "", true},
		{"2.0.5", "", true},
		{"2.0.0-dev", "", true},
		{"1.10.99", "", false},
		{"1.10.5+ent", "", false},
		{"0.8.0-rc1", "", false},
		{"garbage", "", false},
		{"1.11.0.x", "", false},
		{"-1", "", false},
		{"1.11.0" + strings.Repeat("0", 1000), "", false},
		{"", "0.1.0", true},
		{"", "0.1.0-dev", true},
		{"1.10.0", "0.1.0", true},
		{"2.0.0", "garbage", false},
		{"rollcall 0.1.0", "", false},
	}
	var cache versionCache
	for range 2 { // the second time from the cache
		for _, c := range cases {
			n := &structs.Node{Attributes: structs.NewStringMap(map[string]string{})}
			if c.nomad != "" {
				n.Attributes = n.Attributes.With(structs.AttrNomadVersion, c.nomad)
			}
			if c.own != "" {
				n.Attributes = n.Attributes.With(structs.AttrRollcallVersion, c.own)
			}
			if got := cache.takesIdentity(n); got != c.takes {
				t.Errorf("nomad.version %.20q, rollcall.version %q: takes identities is %v", c.nomad, c.own, got)
			}
		}
	}
}

func TestVersionsOfHostileNodesCostBoundedMemory(t *testing.T) {
	var cache versionCache
	for i := range 3 * maxVersions {
		n := &structs.Node{Attributes: structs.NewStringMap(map[string]string{structs.AttrNomadVersion: "1.11." + strings.Repeat("1", i%100) + uuid(i)})}
		cache.takesIdentity(n)
		n.Attributes = n.Attributes.With(structs.AttrNomadVersion, n.Attributes.Get(structs.AttrNomadVersion)+strings.Repeat("x", 1<<10))
		cache.takesIdentity(n)
	}
	if len(cache.takes) > maxVersions {
		t.Errorf("%d versions are remembered", len(cache.takes))
	}
	for v := range cache.takes {
		if len(v.text) > maxVersionLength {
			t.Fatalf("a version of %d bytes is remembered", len(v.text))
		}
	}
}

func TestTTLOfThePoolDecidesWhenToRenew(t *testing.T) {
	w := newWorld(t)
	w.setPool("gpu", 24*time.Hour)
	n := testNode(1)
	n.NodePool = "gpu"
	token := *must(w.register(n, ""))(t).SignedIdentity
	w.clock.advance(10 * time.Hour)
	if must(w.heartbeat(1, token))(t).SignedIdentity != nil {
		t.Fatal("renewed with 14 of 24 hours left")
	}
	w.setPool("gpu", 60*time.Hour) // a third of it are 20 hours
	reply := must(w.heartbeat(1, token))(t)
	if reply.SignedIdentity == nil {
		t.Fatal("not renewed though less than a third of the new TTL is left")
	}
	claims, err := w.kr.Verify(*reply.SignedIdentity, w.clock.Now())
	if err != nil || claims.Expiry != w.clock.Now().Add(60*time.Hour).Unix() {
		t.Errorf("claims %+v, %v: not of the new TTL", claims, err)
	}
	w.setPool("gpu", 3*time.Hour)
	if must(w.heartbeat(1, *reply.SignedIdentity))(t).SignedIdentity != nil {
		t.Error("renewed with 60 hours left of 3")
	}
}

func TestNodeWithoutItsPoolGetsTheDefaultTTL(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AuthoritativeRegion = "eu" })
	n := testNode(1)
	n.NodePool = "elsewhere"
	checkMint(t, w, must(w.register(n, ""))(t), true)
	if p, _ := w.fsm.State().NodePoolByName(nil, "elsewhere"); p != nil {
		t.Error("the pool was created outside of the authoritative region")
	}
}

func TestIdentitiesNameTheConfiguredIssuer(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Issuer = "https://id.example" })
	claims, err := w.kr.Verify(w.join(1), t0)
	if err != nil || claims.Issuer != "https://id.example" {
		t.Errorf("claims %+v, %v", claims, err)
	}
}
