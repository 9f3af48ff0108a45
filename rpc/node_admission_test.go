package rpc

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

// introductionOf signs an introduction that names everything.
func (w *world) introductionOf(in structs.IntroductionClaims) string {
	claims := structs.NewIntroductionClaims(region, in.Pool, in.Name, w.lifetime(w.clock.Now(), time.Minute))
	*claims.Introduction = in
	return w.sign(claims)
}

// What a node is, of the three things that its identity says.
type kind struct{ pool, class, dc string }

func (w *world) kindOf(i int) kind {
	n := w.node(i)
	return kind{n.NodePool, n.NodeClass, n.Datacenter}
}

func TestWhatAnIntroductionNamesIsWhatTheNodeGets(t *testing.T) {
	full := structs.IntroductionClaims{Pool: "gpu", Class: "metal", Datacenter: "dc9"}
	for _, c := range []struct {
		name        string
		level       string
		intro       structs.IntroductionClaims
		pool        string // that the node names, first and at its later registration
		laterPool   string
		want, later kind
	}{
		{"all of it, for good where introductions are required", EnforceStrict, full, "gpu", "web",
			kind{"gpu", "metal", "dc9"}, kind{"gpu", "metal", "dc9"}},
		{"the pool of a node that names none", EnforceStrict, full, "", "", kind{"gpu", "metal", "dc9"}, kind{"gpu", "metal", "dc9"}},
		{"all but the pool, for good where introductions are only missed", EnforceWarn, full, "gpu", "web",
			kind{"gpu", "metal", "dc9"}, kind{"web", "metal", "dc9"}},
		{"the same where nobody looks", EnforceNone, full, "", "web", kind{"gpu", "metal", "dc9"}, kind{"web", "metal", "dc9"}},
		{"the pool alone, where it names no more", EnforceStrict, structs.IntroductionClaims{Pool: "gpu"}, "gpu", "web",
			kind{"gpu", "large", "dc1"}, kind{"gpu", "large", "dc1"}},
		{"nothing for good, where it names a pool alone and it is not required", EnforceWarn, structs.IntroductionClaims{Pool: "gpu"}, "", "web",
			kind{"gpu", "large", "dc1"}, kind{"web", "large", "dc1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(cfg *Config) { cfg.Introduction.Enforcement = c.level })
			n := testNode(1)
			n.NodePool = c.pool
			n.Admission = &structs.NodeAdmission{Pool: "admin", Class: "own word"} // which nobody is to believe
			token := must(w.register(n, w.introductionOf(c.intro)))(t).SignedIdentity
			if d := cmp.Diff(c.want, w.kindOf(1), cmp.AllowUnexported(kind{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			claims, err := w.kr.Verify(*token, w.clock.Now())
			if err != nil {
				t.Fatal(err)
			}
			if got := (kind{claims.Node.Pool, claims.Node.Class, claims.Node.Datacenter}); got != c.want {
				t.Errorf("the identity says %v", got)
			}
			again := testNode(1)
			again.NodePool = c.laterPool
			must(w.register(again, *token))(t)
			if d := cmp.Diff(c.later, w.kindOf(1), cmp.AllowUnexported(kind{})); d != "" {
				t.Errorf("registered again (-want +got):\n%s", d)
			}
		})
	}
}

func TestANewIntroductionReplacesWhatTheFirstSaid(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Introduction.Enforcement = EnforceStrict })
	must(w.register(testNode(1), w.introductionOf(structs.IntroductionClaims{Pool: "default", Class: "metal"})))(t)
	again := testNode(1)
	again.NodePool = ""
	must(w.register(again, w.introductionOf(structs.IntroductionClaims{Pool: "web", Class: "vm"})))(t)
	if got := w.kindOf(1); got != (kind{"web", "vm", "dc1"}) {
		t.Errorf("node is %v", got)
	}
	// One that is for another node changes nothing, and refuses nothing: the node is known.
	must(w.register(testNode(1), w.introductionOf(structs.IntroductionClaims{Pool: "gpu", Class: "metal", Name: "node-2"})))(t)
	if got := w.kindOf(1); got != (kind{"web", "vm", "dc1"}) {
		t.Errorf("node is %v", got)
	}
}

func TestACollectedNodeComesBackAsWhatItsIdentitySays(t *testing.T) {
	for level, want := range map[string]kind{EnforceStrict: {"default", "large", "dc1"}, EnforceWarn: {"web", "small", "dc2"}} {
		t.Run(level, func(t *testing.T) {
			w := newWorld(t, func(cfg *Config) { cfg.Introduction.Enforcement = level })
			n := testNode(1)
			n.NodePool, n.NodeClass, n.Datacenter = "web", "small", "dc2"
			must(w.register(n, w.identity(1, t0, time.Hour)))(t)
			if got := w.kindOf(1); got != want {
				t.Errorf("node is %v, want %v", got, want)
			}
		})
	}
}

func TestAnIntroductionThatNobodyCanUseIsRefused(t *testing.T) {
	for name, req := range map[string]structs.ClientIntroductionRequest{
		`no node can be introduced to node pool "all"`: {NodePool: structs.NodePoolAll, WriteRequest: write("")},
		"node name contains a control character":       {NodeName: "a\nb", WriteRequest: write("")},
		"node class is not UTF-8":                      {NodeClass: "\xff", WriteRequest: write("")},
		"node datacenter is longer than 1024 bytes":    {NodeDatacenter: strings.Repeat("x", 1025), WriteRequest: write("")},
	} {
		_, err := call[structs.ClientIntroductionResponse](newWorld(t), "ACL.CreateClientIntroductionToken", &req)
		wantError(t, err, nil, name)
		wantCode(t, err, 400)
	}
}

func TestStrictAdmissionOfAThousandNodes(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Introduction.Enforcement = EnforceStrict })
	const count = 1000
	intros := make([]string, count+1)
	for i := 1; i <= count; i++ {
		req := structs.ClientIntroductionRequest{NodeName: testNode(i).Name, WriteRequest: write("")}
		intros[i] = must(call[structs.ClientIntroductionResponse](w, "ACL.CreateClientIntroductionToken", &req))(t).JWT
	}
	before := w.raft.count()
	for i := 1; i <= count; i++ {
		for _, token := range []string{"", intros[i%count+1]} { // none, and that of the next node
			_, err := w.register(testNode(i), token)
			wantError(t, err, structs.ErrPermissionDenied)
		}
	}
	if w.raft.count() != before || w.metrics.count("client.introduction_violation_num") != 2*count {
		t.Fatalf("%d writes, %d violations counted", w.raft.count()-before, w.metrics.count("client.introduction_violation_num"))
	}
	for i := 1; i <= count; i++ {
		if must(w.register(testNode(i), intros[i]))(t).SignedIdentity == nil {
			t.Fatalf("node %d got no identity", i)
		}
	}
	if n := strings.Count(w.logs.String(), "without a matching introduction"); n == 0 || n > 500 {
		t.Errorf("%d log lines for %d violations", n, 2*count)
	}
}
