package client

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/structs"
)

func TestFirstBootRegistersAnonymouslyAndHeartbeatsWithItsIdentity(t *testing.T) {
	f := newFakeCluster("s1:4647")
	st := new(memStore)
	inBubble(t, f, st, nil, func(t *testing.T, c *Client) {
		if isReady(c) {
			t.Error("ready before the first heartbeat")
		}
		began := time.Now()
		advance(firstHeartbeatMax)
		if !isReady(c) {
			t.Fatal("not ready a second after registration")
		}
		advance(30 * time.Second)
		if diff := cmp.Diff([]string{"none"}, kinds(f.history("Node.Register"))); diff != "" {
			t.Errorf("registrations, -want +got:\n%s", diff)
		}
		beats := f.history("Node.UpdateStatus")
		if diff := cmp.Diff([]string{"identity-1", "identity-1", "identity-1", "identity-1"}, kinds(beats)); diff != "" {
			t.Errorf("heartbeats, -want +got:\n%s", diff)
		}
		if d := beats[0].at.Sub(began); d > firstHeartbeatMax {
			t.Errorf("first heartbeat after %s", d)
		}
		for i := 1; i < len(beats); i++ {
			if d := beats[i].at.Sub(beats[i-1].at); d != f.ttl {
				t.Errorf("heartbeat %d came %s after the one before, want the TTL %s", i, d, f.ttl)
			}
		}
		if p, _ := st.load(); !p.HasRegistered || kind(p.Identity) != "identity-1" {
			t.Errorf("stored has-registered %t and identity %s", p.HasRegistered, kind(p.Identity))
		}
		if ok, msg := c.Health(); !ok || !strings.Contains(msg, "valid until") {
			t.Errorf("Health() = %t, %q", ok, msg)
		}
		claims, err := c.IdentityClaims()
		if err != nil || claims["nomad_node_id"] != testNode || claims["aud"] != structs.IdentityAudience {
			t.Errorf("IdentityClaims() = %v, %v", claims, err)
		}
		if _, isFloat := claims["exp"].(float64); !isFloat {
			t.Errorf("exp is a %T, want float64", claims["exp"])
		}
	})
}

func TestIdentityIsRenewedAsItNearsItsEnd(t *testing.T) {
	f := newFakeCluster("s1:4647")
	f.lifetime = 90 * time.Second
	inBubble(t, f, new(memStore), nil, func(t *testing.T, c *Client) {
		advance(5 * time.Minute)
		tokens := slices.Compact(kinds(f.history("Node.UpdateStatus")))
		want := []string{"identity-1", "identity-2", "identity-3", "identity-4", "identity-5"}
		if diff := cmp.Diff(want, tokens); diff != "" {
			t.Errorf("identities in use, -want +got:\n%s", diff)
		}
		if n := len(f.history("Node.Register")); n != 1 {
			t.Errorf("%d registrations, want 1", n)
		}
	})
}

// TestHeals lets something go wrong with a node that is up and checks that it is ready again by itself, in time and
// with what it still has.
func TestHeals(t *testing.T) {
	for _, tc := range []struct {
		name      string
		breaks    func(f *fakeCluster)
		lifetime  time.Duration        // of identities; 0: an hour
		away      time.Duration        // between breaks and mend; 0: a minute
		mend      func(f *fakeCluster) // nil: nothing
		within    time.Duration        // of mend, or of breaks
		registers []string             // tokens of registrations that follow, repetitions removed
		identity  string               // in the end
	}{
		{
			name:     "a vanished key is healed with the secret ID, without a registration",
			breaks:   func(f *fakeCluster) { f.keyGone[identity(f, 1)] = true },
			within:   11 * time.Second,
			identity: "identity-2",
		},
		{
			name:      "a collected node registers with its identity",
			breaks:    func(f *fakeCluster) { clear(f.nodes) },
			within:    12 * time.Second,
			registers: []string{"identity-1"},
			identity:  "identity-1",
		},
		{
			name: "a collected node whose key is gone registers without any token",
			breaks: func(f *fakeCluster) {
				clear(f.nodes)
				f.keyGone[identity(f, 1)] = true
			},
			within:    12 * time.Second,
			registers: []string{"identity-1", "secret", "none"},
			identity:  "identity-2",
		},
		{
			name:     "servers that are all away for longer than the identity lives",
			lifetime: time.Minute,
			breaks:   func(f *fakeCluster) { f.down["s1:4647"], f.down["s2:4647"] = true, true },
			away:     10 * time.Minute,
			mend:     func(f *fakeCluster) { clear(f.down); f.lifetime = time.Hour },
			within:   retryMax + 2*time.Second,
			identity: "identity-2",
		},
		{
			name:     "servers without a leader",
			breaks:   func(f *fakeCluster) { f.noLeader = true },
			mend:     func(f *fakeCluster) { f.noLeader = false },
			within:   retryMax + 2*time.Second,
			identity: "identity-1",
		},
		{
			name:     "servers that hang",
			breaks:   func(f *fakeCluster) { f.hung["s1:4647"], f.hung["s2:4647"] = true, true },
			mend:     func(f *fakeCluster) { clear(f.hung) },
			within:   retryMax + 3*heartbeatTimeout,
			identity: "identity-1",
		},
		{
			name:      "the node was collected while no server could be reached",
			breaks:    func(f *fakeCluster) { f.down["s1:4647"], f.down["s2:4647"] = true, true },
			mend:      func(f *fakeCluster) { clear(f.down); clear(f.nodes) },
			within:    retryMax + 2*time.Second,
			registers: []string{"identity-1"},
			identity:  "identity-1",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakeCluster("s1:4647", "s2:4647")
			if tc.lifetime > 0 {
				f.lifetime = tc.lifetime
			}
			inBubble(t, f, new(memStore), nil, func(t *testing.T, c *Client) {
				advance(5 * time.Second)
				f.do(func() { tc.breaks(f) })
				if tc.mend != nil {
					advance(max(tc.away, time.Minute))
					if ok, msg := c.Health(); ok {
						t.Errorf("healthy (%s) while it can't be", msg)
					}
					f.do(func() { tc.mend(f) })
				}
				f.forgetHistory()
				advance(tc.within)
				if ok, msg := c.Health(); !ok {
					t.Errorf("not healthy: %s", msg)
				}
				if diff := cmp.Diff(tc.registers, slices.Compact(kinds(f.history("Node.Register")))); diff != "" {
					t.Errorf("registrations, -want +got:\n%s", diff)
				}
				if got := kind(c.cred.token()); got != tc.identity {
					t.Errorf("presents %s, want %s", got, tc.identity)
				}
				f.forgetHistory()
				advance(time.Minute)
				beats := f.history("Node.UpdateStatus")
				if len(beats) != 6 {
					t.Errorf("%d heartbeats in the minute after, want 6", len(beats))
				}
				if diff := cmp.Diff([]string{tc.identity}, slices.Compact(kinds(beats))); diff != "" {
					t.Errorf("they present, -want +got:\n%s", diff)
				}
				f.do(func() {
					if f.nodes[testNode] != testSecret {
						t.Error("the servers don't know the node")
					}
				})
			})
		})
	}
}

// identity returns the n-th token that f issued; the clock is the bubble's, so the token is found, not made.
func identity(f *fakeCluster, n int) string {
	for _, s := range f.calls {
		if kind(s.token) == "identity-"+string(rune('0'+n)) {
			return s.token
		}
	}
	return ""
}

func TestRestartHeals(t *testing.T) {
	for _, tc := range []struct {
		name       string
		stored     func(now time.Time) persisted
		cluster    func(f *fakeCluster)
		intro      string
		registers  []string
		registered bool // afterwards
	}{
		{
			name:       "with a valid identity it presents that",
			stored:     func(now time.Time) persisted { return persisted{nodeToken(testNode, "stored", now, time.Hour), true} },
			cluster:    func(f *fakeCluster) { f.nodes[testNode] = testSecret },
			registers:  []string{"stored"},
			registered: true,
		},
		{
			name: "with an identity that expired while it was off it gets a new one for it",
			stored: func(now time.Time) persisted {
				return persisted{nodeToken(testNode, "stored", now.Add(-2*time.Hour), time.Hour), true}
			},
			cluster:    func(f *fakeCluster) { f.nodes[testNode] = testSecret },
			registers:  []string{"stored"},
			registered: true,
		},
		{
			name: "with an expired identity and forgotten by the servers it falls back to no token",
			stored: func(now time.Time) persisted {
				return persisted{nodeToken(testNode, "stored", now.Add(-2*time.Hour), time.Hour), true}
			},
			registers:  []string{"stored", "secret", "none"},
			registered: true,
		},
		{
			name:       "registered but without an identity it presents its secret ID",
			stored:     func(time.Time) persisted { return persisted{"", true} },
			cluster:    func(f *fakeCluster) { f.nodes[testNode] = testSecret },
			registers:  []string{"secret"},
			registered: true,
		},
		{
			name:       "killed between the servers' acceptance and its own note it starts like a new node",
			stored:     func(time.Time) persisted { return persisted{} },
			cluster:    func(f *fakeCluster) { f.nodes[testNode] = testSecret; f.strict = true },
			registers:  []string{"none"},
			registered: true,
		},
		{
			name:       "a new node is introduced under strict enforcement",
			stored:     func(time.Time) persisted { return persisted{} },
			cluster:    func(f *fakeCluster) { f.strict = true; f.intros["intro-1"] = true },
			intro:      "intro-1",
			registers:  []string{"intro"},
			registered: true,
		},
		{
			name: "a forgotten node is introduced again",
			stored: func(now time.Time) persisted {
				return persisted{nodeToken(testNode, "stored", now.Add(-2*time.Hour), time.Hour), true}
			},
			cluster:    func(f *fakeCluster) { f.strict = true; f.intros["intro-1"] = true },
			intro:      "intro-1",
			registers:  []string{"stored", "secret", "intro"},
			registered: true,
		},
		{
			name:      "a new node with an introduction that nobody knows insists on it",
			stored:    func(time.Time) persisted { return persisted{} },
			intro:     "intro-1",
			registers: []string{"intro"},
		},
		{
			name:      "a node that nobody introduces is not let in under strict enforcement",
			stored:    func(time.Time) persisted { return persisted{} },
			cluster:   func(f *fakeCluster) { f.strict = true },
			registers: []string{"none"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster("s1:4647")
				if tc.cluster != nil {
					tc.cluster(f)
				}
				st := &memStore{p: tc.stored(time.Now())}
				c := newTestClient(t, f, st, func(cfg *Config) { cfg.IntroToken = tc.intro })
				go c.Run(t.Context())
				advance(2 * time.Second)
				if diff := cmp.Diff(tc.registers, slices.Compact(kinds(f.history("Node.Register")))); diff != "" {
					t.Errorf("registrations, -want +got:\n%s", diff)
				}
				if isReady(c) != tc.registered {
					t.Errorf("ready: %t, want %t", isReady(c), tc.registered)
				}
				if p, _ := st.load(); p.HasRegistered != tc.registered {
					t.Errorf("stored has-registered: %t, want %t", p.HasRegistered, tc.registered)
				}
				c.Shutdown()
			})
		})
	}
}

func TestFallingBackToNoTokenIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster("s1:4647")
		f.strict = true
		st := &memStore{p: persisted{nodeToken(testNode, "stored", time.Now().Add(-2*time.Hour), time.Hour), true}}
		c := newTestClient(t, f, st, nil)
		go c.Run(t.Context())
		synctest.Wait()
		if diff := cmp.Diff([]string{"stored", "secret", "none"}, kinds(f.history("Node.Register"))); diff != "" {
			t.Errorf("registrations, -want +got:\n%s", diff)
		}
		if p, _ := st.load(); p.HasRegistered || kind(p.Identity) != "stored" {
			t.Errorf("stored has-registered %t and identity %s", p.HasRegistered, kind(p.Identity))
		}
		c.Shutdown()
	})
}

func TestIntroductionFileIsFoundWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	f := newFakeCluster("s1:4647")
	f.strict, f.intros["intro-1"] = true, true
	inBubble(t, f, new(memStore), func(cfg *Config) { cfg.StateDir = dir }, func(t *testing.T, c *Client) {
		advance(5 * time.Minute)
		if isReady(c) {
			t.Fatal("ready without an introduction")
		}
		if err := os.WriteFile(filepath.Join(dir, introTokenFile), []byte("intro-1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		advance(retryMax + firstHeartbeatMax)
		if !isReady(c) {
			t.Error("not ready though the introduction is there")
		}
	})
}

func TestFailoverIsStickyAndQuick(t *testing.T) {
	f := newFakeCluster("s1:4647", "s2:4647", "s3:4647")
	inBubble(t, f, new(memStore), nil, func(t *testing.T, c *Client) {
		advance(time.Minute)
		first := c.servers.pick()
		for _, s := range f.history("") {
			if s.addr != first {
				t.Errorf("%s went to %s, everything else to %s", s.method, s.addr, first)
			}
		}
		for _, trouble := range []struct {
			name string
			set  map[string]bool
			late time.Duration
		}{
			{"refuses connections", f.down, 0},
			{"is about to stop", f.stopping, 0},
			{"hangs", f.hung, heartbeatTimeout},
			{"has no leader", f.cutOff, heartbeatGrace / 2},
		} {
			before := c.servers.pick()
			f.do(func() { trouble.set[before] = true })
			f.forgetHistory()
			advance(f.ttl + trouble.late)
			elsewhere := 0
			for _, s := range f.history("Node.UpdateStatus") {
				if s.addr != before {
					elsewhere++
				}
			}
			f.do(func() { clear(trouble.set) })
			if elsewhere == 0 || c.servers.pick() == before {
				t.Errorf("when the server %s: %d heartbeats reached another one within %s, and the node is with %s", trouble.name, elsewhere, f.ttl+trouble.late, c.servers.pick())
			}
			if ok, msg := c.Health(); !ok {
				t.Errorf("when the server %s: %s", trouble.name, msg)
			}
		}
	})
}

func TestHeartbeatIsTriedSeveralTimesWithinTheGrace(t *testing.T) {
	f := newFakeCluster("s1:4647")
	inBubble(t, f, new(memStore), nil, func(t *testing.T, c *Client) {
		advance(5 * time.Second)
		f.do(func() { f.noLeader = true })
		last := f.history("Node.UpdateStatus")[0].at
		f.forgetHistory()
		advance(10 * time.Minute)
		inTime, late := 0, 0
		for _, s := range f.history("Node.UpdateStatus") {
			if s.at.Sub(last) < f.ttl+heartbeatGrace {
				inTime++
			} else {
				late++
			}
		}
		if inTime < 4 || inTime > 12 {
			t.Errorf("%d attempts before the servers mark the node down, want 4 to 12", inTime)
		}
		if late < 18 || late > 60 {
			t.Errorf("%d attempts in the ten minutes after, want 18 to 60", late)
		}
	})
}

func TestRefusedHeartbeatsAfterAcceptedRegistrationsDoNotSpin(t *testing.T) {
	f := newFakeCluster("s1:4647")
	f.edit = func(method string, r *structs.NodeUpdateResponse) {
		if method == "Node.Register" {
			f.nodes[testNode] = "00000000-0000-4000-8000-000000000000" // another secret: nothing it has is taken
		}
	}
	inBubble(t, f, new(memStore), nil, func(t *testing.T, c *Client) {
		f.do(func() { f.edit = func(string, *structs.NodeUpdateResponse) { delete(f.nodes, testNode) } })
		advance(10 * time.Minute)
		if n := len(f.history("Node.Register")); n < 10 || n > 80 {
			t.Errorf("%d registrations in ten minutes", n)
		}
	})
}

func TestAllocationQueryWaitsAtTheServerAndDoesNotSpin(t *testing.T) {
	for _, tc := range []struct {
		name     string
		change   func(f *fakeCluster)
		min, max int // queries in ten minutes
	}{
		{"servers that hold it", func(*fakeCluster) {}, 3, 4},
		{"servers that answer at once", func(f *fakeCluster) { f.hasty = true }, 500, 601},
		{"servers that refuse it", func(f *fakeCluster) {
			f.edit = func(string, *structs.NodeUpdateResponse) { f.nodes[testNode] = testNode }
		}, 0, 80},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakeCluster("s1:4647")
			tc.change(f)
			inBubble(t, f, new(memStore), nil, func(t *testing.T, c *Client) {
				advance(10 * time.Minute)
				if n := len(f.history("Node.GetClientAllocs")); n < tc.min || n > tc.max {
					t.Errorf("%d queries, want %d to %d", n, tc.min, tc.max)
				}
			})
		})
	}
}

func TestSetMetaRegistersAgain(t *testing.T) {
	f := newFakeCluster("s1:4647")
	inBubble(t, f, new(memStore), nil, func(t *testing.T, c *Client) {
		advance(5 * time.Second)
		c.SetMeta(map[string]string{"rack": "r2"})
		c.SetMeta(map[string]string{"rack": "r2"})
		advance(5 * time.Second)
		got := f.history("Node.Register")
		if len(got) != 2 || got[1].meta["rack"] != "r2" || kind(got[1].token) != "identity-1" {
			t.Errorf("%d registrations, the last with %v", len(got), got[len(got)-1].meta)
		}
		if n := c.Node(); n.Meta.Get("rack") != "r2" || n.SecretID != "" {
			t.Errorf("Node() has meta %v and a secret of %d bytes", n.Meta, len(n.SecretID))
		}
	})
}

func TestSetServersEndsTheWait(t *testing.T) {
	f := newFakeCluster("s1:4647")
	inBubble(t, f, new(memStore), func(cfg *Config) { cfg.Servers = nil }, func(t *testing.T, c *Client) {
		advance(5 * time.Minute)
		if ok, msg := c.Health(); ok || !strings.Contains(msg, ErrNoServers.Error()) {
			t.Errorf("Health() = %t, %q", ok, msg)
		}
		if err := c.SetServers([]string{"s1:nonsense"}); err == nil {
			t.Error("a bad address is taken")
		}
		if err := c.SetServers([]string{"s1"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(f.history("Node.Register")); n != 1 {
			t.Errorf("%d registrations at once, want 1", n)
		}
		if diff := cmp.Diff([]string{"s1:4647"}, c.Servers()); diff != "" {
			t.Errorf("servers, -want +got:\n%s", diff)
		}
	})
}

func TestHealthTellsOfAnOverdueRenewal(t *testing.T) {
	f := newFakeCluster("s1:4647")
	inBubble(t, f, new(memStore), nil, func(t *testing.T, c *Client) {
		f.do(func() { f.noMint = true })
		for _, step := range []struct {
			wait time.Duration
			ok   bool
			want string
		}{
			{30 * time.Minute, true, "identity is valid until"},
			{22 * time.Minute, true, "renewal is overdue"},
			{9 * time.Minute, false, "identity expired at"},
		} {
			advance(step.wait)
			if ok, msg := c.Health(); ok != step.ok || !strings.Contains(msg, step.want) {
				t.Errorf("Health() = %t, %q, want %t, %q", ok, msg, step.ok, step.want)
			}
		}
	})
}

func TestNothingSecretIsLogged(t *testing.T) {
	out := new(logBuffer)
	f := newFakeCluster("s1:4647", "s2:4647")
	f.intros["intro-marker"] = true
	inBubble(t, f, new(memStore), func(cfg *Config) {
		cfg.IntroToken = "intro-marker"
		cfg.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: out, JSONFormat: true})
	}, func(t *testing.T, c *Client) {
		for _, trouble := range []func(){
			func() {},
			func() { clear(f.nodes) },
			func() { f.keyGone[c.cred.token()] = true },
			func() { f.keyGone[c.cred.token()] = true; clear(f.nodes) },
			func() { f.down["s1:4647"] = true },
			func() { f.down["s2:4647"] = true },
			func() { clear(f.down); f.noLeader = true },
			func() {
				f.noLeader = false
				f.edit = func(_ string, r *structs.NodeUpdateResponse) { r.SignedIdentity = new("bad." + signature + ".x") }
			},
		} {
			f.do(trouble)
			c.Renew()
			advance(time.Minute)
			_, msg := c.Health()
			out.Write([]byte(msg)) // goes the same ways
		}
	})
	text := out.String()
	for _, want := range []string{"new identity", "presenting the secret ID", "registering again", "heartbeat failed", "not used"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log does not mention %q: the test does not reach it", want)
		}
	}
	for _, secret := range []string{testSecret, signature, "intro-marker", "eyJ"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log contains %q", secret)
		}
	}
}

func TestRunOnceOnly(t *testing.T) {
	f := newFakeCluster("s1:4647")
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, f, new(memStore), nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		advance(time.Second)
		if err := c.Run(ctx); !errors.Is(err, errRunning) {
			t.Errorf("second Run: %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run after its context ended: %v", err)
		}
		c.Shutdown()
		c.Shutdown()
	})
}
