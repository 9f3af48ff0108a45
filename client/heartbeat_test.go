package client

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/structs"
)

func TestForcedRenewal(t *testing.T) {
	t.Run("is asked for at the next heartbeat, once", func(t *testing.T) {
		f := newFakeCluster("s1:4647")
		inBubble(t, f, new(memStore), nil, func(t *testing.T, c *Client) {
			advance(5 * time.Second)
			f.forgetHistory()
			c.Renew()
			c.Renew()
			synctest.Wait()
			if n := len(f.history("Node.UpdateStatus")); n != 0 {
				t.Errorf("%d heartbeats at once, want none before they are due", n)
			}
			advance(30 * time.Second)
			checkForced(t, f, true, false, false)
			if got := kind(c.cred.token()); got != "identity-2" {
				t.Errorf("presents %s, want identity-2", got)
			}
		})
	})
	t.Run("is asked for again until an identity arrives", func(t *testing.T) {
		f := newFakeCluster("s1:4647")
		inBubble(t, f, new(memStore), nil, func(t *testing.T, c *Client) {
			advance(5 * time.Second)
			f.do(func() { f.noMint = true })
			f.forgetHistory()
			c.Renew()
			advance(20 * time.Second)
			f.do(func() { f.noMint = false })
			advance(20 * time.Second)
			checkForced(t, f, true, true, true, false)
		})
	})
	t.Run("that comes while a heartbeat is under way is not lost", func(t *testing.T) {
		f := newFakeCluster("s1:4647")
		inBubble(t, f, new(memStore), nil, func(t *testing.T, c *Client) {
			advance(5 * time.Second)
			f.forgetHistory()
			c.Renew()
			f.do(func() {
				f.edit = func(string, *structs.NodeUpdateResponse) {
					f.edit = nil
					c.Renew()
				}
			})
			advance(30 * time.Second)
			checkForced(t, f, true, true, false)
		})
	})
}

func checkForced(t *testing.T, f *fakeCluster, want ...bool) {
	t.Helper()
	var got []bool
	for _, s := range f.history("Node.UpdateStatus") {
		got = append(got, s.forced)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("heartbeats that force a renewal, -want +got:\n%s", diff)
	}
}

func TestRepliesThatAreNotTaken(t *testing.T) {
	foreign := nodeToken("99999999-2222-4333-8444-555555555555", "foreign", time.Unix(1<<31, 0), time.Hour)
	introduction := makeToken(structs.NewIntroductionClaims("global", "default", "x", structs.Lifetime{}))
	for _, tc := range []struct {
		name  string
		edit  func(r *structs.NodeUpdateResponse)
		beats bool // heartbeats still count
	}{
		{"an identity of another node", func(r *structs.NodeUpdateResponse) { r.SignedIdentity = &foreign }, true},
		{"an introduction instead of an identity", func(r *structs.NodeUpdateResponse) { r.SignedIdentity = &introduction }, true},
		{"an identity that is none", func(r *structs.NodeUpdateResponse) { r.SignedIdentity = new("garbage") }, true},
		{"an empty identity", func(r *structs.NodeUpdateResponse) { r.SignedIdentity = new("") }, true},
		{"no servers", func(r *structs.NodeUpdateResponse) { r.Servers = nil }, false},
		{"servers without addresses", func(r *structs.NodeUpdateResponse) { r.Servers = []*structs.NodeServerInfo{nil, {}} }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakeCluster("s1:4647")
			st := new(memStore)
			inBubble(t, f, st, nil, func(t *testing.T, c *Client) {
				advance(5 * time.Second)
				f.do(func() {
					f.edit = func(method string, r *structs.NodeUpdateResponse) {
						if method == "Node.UpdateStatus" {
							tc.edit(r)
						}
					}
				})
				f.forgetHistory()
				advance(50 * time.Second)
				if p, _ := st.load(); kind(p.Identity) != "identity-1" || kind(c.cred.token()) != "identity-1" {
					t.Errorf("identity is %s in the store and %s in use, want identity-1", kind(p.Identity), kind(c.cred.token()))
				}
				if ok, msg := c.Health(); ok != tc.beats {
					t.Errorf("Health() = %t, %q", ok, msg)
				}
				f.do(func() { f.edit = nil })
				advance(retryMax)
				if ok, msg := c.Health(); !ok {
					t.Errorf("not healthy after the servers are right again: %s", msg)
				}
			})
		})
	}
}

// fullDisk is a store that can't write.
type fullDisk struct {
	memStore
	full atomic.Bool
}

func (s *fullDisk) save(p persisted) error {
	if s.full.Load() {
		return errors.New("no space left on device")
	}
	return s.memStore.save(p)
}

func TestIdentityThatCanNotBeStoredIsNotUsed(t *testing.T) {
	f := newFakeCluster("s1:4647")
	st := new(fullDisk)
	st.full.Store(true)
	inBubble(t, f, st, nil, func(t *testing.T, c *Client) {
		var used atomic.Int32
		c.OnIdentity(func(string) { used.Add(1) })
		advance(25 * time.Second)
		for _, s := range f.history("Node.UpdateStatus") {
			if kind(s.token) != "secret" {
				t.Errorf("a heartbeat presents %s, which is not on disk", kind(s.token))
			}
		}
		if used.Load() > 0 || isReady(c) {
			t.Errorf("handed on %d identities, ready %t", used.Load(), isReady(c))
		}
		if ok, msg := c.Health(); ok || !strings.Contains(msg, "no space left") {
			t.Errorf("Health() = %t, %q", ok, msg)
		}
		st.full.Store(false)
		advance(10 * time.Second)
		if used.Load() != 1 || !isReady(c) {
			t.Errorf("with space again: handed on %d identities, ready %t", used.Load(), isReady(c))
		}
	})
}

func TestRefusedIdentityIsNotPresentedAgain(t *testing.T) {
	f := newFakeCluster("s1:4647")
	inBubble(t, f, new(memStore), nil, func(t *testing.T, c *Client) {
		advance(5 * time.Second)
		f.do(func() { f.noMint, f.keyGone[c.cred.token()] = true, true })
		f.forgetHistory()
		advance(30 * time.Second)
		want := []string{"identity-1", "secret", "secret", "secret"}
		if diff := cmp.Diff(want, kinds(f.history("Node.UpdateStatus"))); diff != "" {
			t.Errorf("heartbeats, -want +got:\n%s", diff)
		}
		if ok, msg := c.Health(); ok || !strings.Contains(msg, "refuse the identity") {
			t.Errorf("Health() = %t, %q", ok, msg)
		}
	})
}

func TestServersSetThePaceWithinBounds(t *testing.T) {
	for _, tc := range []struct {
		name  string
		ttl   time.Duration
		watch time.Duration
		beats int // one more or less is fine
	}{
		{"a negative TTL", -time.Hour, time.Minute, 60},
		{"no TTL", 0, time.Minute, 60},
		{"an hour", time.Hour, 48 * time.Hour, 48},
		{"a year", 365 * 24 * time.Hour, 120 * time.Hour, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakeCluster("s1:4647")
			f.lifetime = 1000 * time.Hour
			inBubble(t, f, new(memStore), nil, func(t *testing.T, c *Client) {
				f.do(func() { f.ttl = tc.ttl })
				advance(tc.watch)
				if n := len(f.history("Node.UpdateStatus")); n < tc.beats-1 || n > tc.beats+1 {
					t.Errorf("%d heartbeats, want %d", n, tc.beats)
				}
			})
		})
	}
}

func TestReplyWithoutALeaderLeadsToAnotherServer(t *testing.T) {
	f := newFakeCluster("s1:4647", "s2:4647")
	inBubble(t, f, new(memStore), nil, func(t *testing.T, c *Client) {
		advance(5 * time.Second)
		before := c.servers.pick()
		f.do(func() {
			f.edit = func(_ string, r *structs.NodeUpdateResponse) { r.LeaderRPCAddr, f.edit = "", nil }
		})
		advance(10 * time.Second)
		if c.servers.pick() == before {
			t.Errorf("still talks to %s", before)
		}
	})
}

func TestMissedHeartbeatIsLogged(t *testing.T) {
	const message = "a heartbeat was missed"
	out := new(logBuffer)
	f := newFakeCluster("s1:4647")
	f.edit = func(_ string, r *structs.NodeUpdateResponse) { r.Index = 9 }
	inBubble(t, f, new(memStore), func(cfg *Config) { cfg.Logger = hclog.New(&hclog.LoggerOptions{Output: out}) }, func(t *testing.T, c *Client) {
		advance(5 * time.Second) // the first heartbeat makes the node ready, which is a write
		if strings.Contains(out.String(), message) {
			t.Errorf("the log speaks of it at the first heartbeat:\n%s", out)
		}
		advance(10 * time.Second)
		if !strings.Contains(out.String(), message) {
			t.Errorf("the log does not speak of it:\n%s", out)
		}
	})
}
