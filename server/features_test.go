package server

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/serf/serf"

	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/structs"
)

func TestAFeatureWaitsUntilEveryServerKnowsIt(t *testing.T) {
	old := map[string]string{"build": "1.10.5"}
	tests := []struct {
		name string
		pool []serf.Member
		want bool
	}{
		{"all are new", []serf.Member{member("s1", serf.StatusAlive, nil), member("s2", serf.StatusAlive, nil)}, true},
		{"the first release that knows them", []serf.Member{member("s1", serf.StatusAlive, map[string]string{"build": "1.11.0"})}, true},
		{"a pre-release of it", []serf.Member{member("s1", serf.StatusAlive, map[string]string{"build": "1.11.0-beta.1"})}, true},
		{"the last that does not", []serf.Member{member("s1", serf.StatusAlive, map[string]string{"build": "1.10.99"})}, false},
		{"an old one is alive", []serf.Member{member("s1", serf.StatusAlive, nil), member("s2", serf.StatusAlive, old)}, false},
		{"an old one has failed and may come back", []serf.Member{member("s1", serf.StatusAlive, nil), member("s2", serf.StatusFailed, old)}, false},
		{"an old one is leaving", []serf.Member{member("s1", serf.StatusAlive, nil), member("s2", serf.StatusLeaving, old)}, false},
		{"an old one has left", []serf.Member{member("s1", serf.StatusAlive, nil), member("s2", serf.StatusLeft, old)}, true},
		{"an old one is in another region", []serf.Member{member("s1", serf.StatusAlive, nil),
			member("s2", serf.StatusAlive, map[string]string{"build": "1.10.5", "region": "eu"})}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			gate := &structs.FeatureGate{Name: structs.FeatureNodeIdentity, MinBuild: "1.11.0"}
			if err := testGossip().view(tt.pool).know(gate); (err == nil) != tt.want {
				t.Errorf("got %v, want all to know it: %v", err, tt.want)
			}
		})
	}
}

func TestWhatAGateAsksOfAServer(t *testing.T) {
	tests := []struct {
		name string
		tags map[string]string
		gate structs.FeatureGate
		want string // in the error
	}{
		{"nothing", nil, structs.FeatureGate{}, ""},
		{"this very release", map[string]string{"rollcall": "0.2.0"}, structs.FeatureGate{MinVersion: "0.2.0"}, ""},
		{"a build on the way to it", map[string]string{"rollcall": "0.2.0-dev"}, structs.FeatureGate{MinVersion: "0.2.0"}, ""},
		{"a later one", map[string]string{"rollcall": "1.0.0"}, structs.FeatureGate{MinVersion: "0.2.0"}, ""},
		{"an earlier one is too old", map[string]string{"rollcall": "0.1.9"}, structs.FeatureGate{MinVersion: "0.2.0"}, "has Rollcall version 0.1.9"},
		{"another system's server is none", nil, structs.FeatureGate{MinVersion: "0.2.0"}, "does not say its Rollcall version"},
		{"both must be met", map[string]string{"rollcall": "0.2.0", "build": "1.9.0"}, structs.FeatureGate{MinBuild: "1.10.0", MinVersion: "0.2.0"}, "has build 1.9.0"},
		{"a requirement that can't be read is not met", map[string]string{"rollcall": "0.2.0"}, structs.FeatureGate{MinVersion: "later"}, "can't read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := parsePeer(member("s1", serf.StatusAlive, tt.tags))
			if err != nil {
				t.Fatal(err)
			}
			err = p.knows(&tt.gate)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "s1.global")) {
				t.Errorf("got %v, want %q and the server's name", err, tt.want)
			}
		})
	}
}

// openOn waits until the features in use on the server are those.
func openOn(t *testing.T, s *Server, want string) {
	t.Helper()
	eventually(t, "features in use on "+s.cfg.NodeName, func() error {
		if got := s.openFeatureNames(); got != want {
			return fmt.Errorf("%q, want %q", got, want)
		}
		return nil
	})
}

func TestANewClusterUsesEverythingFromTheStart(t *testing.T) {
	servers := cluster(t, 3, nil)
	leader := waitLeader(t, servers...)
	// Open before the leader is ready, so that the first registration gets an identity.
	if got := leader.openFeatureNames(); got != "node_identity,state_digest" {
		t.Errorf("features in use: %q", got)
	}
	for _, s := range servers {
		openOn(t, s, "node_identity,state_digest")
	}
	if got := leader.Stats()["rollcall"]["features"]; got != "node_identity,state_digest" {
		t.Errorf("the server says of itself: %q", got)
	}
}

// upgrade stops the server and starts it as c on its files.
func upgrade(t *testing.T, s *Server, edit func(*Config)) *Server {
	t.Helper()
	c := s.cfg
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	var err error
	eventually(t, "the server's port", func() error {
		c.RPCListener, err = listenAt(c.RPCAdvertise)
		return err
	})
	edit(&c)
	return start(t, c)
}

func TestFeaturesAreUsedOnceTheLastServerIsUpgradedAndFromThenOn(t *testing.T) {
	old := func(c *Config) { c.Build, c.Version = "1.10.5", "" }
	servers := cluster(t, 3, func(c *Config) {
		c.DataDir = t.TempDir()
		old(c)
	})
	pool := newPool(t)
	n := testNode()
	if reply := register(t, pool, servers[0].RPCAddr(), n, ""); reply.SignedIdentity != nil {
		t.Fatal("an identity although no server is said to know them")
	}
	for i := range servers {
		for _, s := range servers {
			openOn(t, s, "")
		}
		servers[i] = upgrade(t, servers[i], func(c *Config) {
			c.Build = "2.0.5"
			if i != 1 { // the second is another system's, as it seems
				c.Version = "0.1.0"
			}
		})
		waitLeader(t, servers...)
	}
	for _, s := range servers {
		openOn(t, s, "node_identity")
	}
	reply, err := heartbeat(pool, t, servers[0].RPCAddr(), n.ID, n.SecretID, false)
	if err != nil || reply.SignedIdentity == nil {
		t.Fatalf("no identity at the first heartbeat after the upgrade: %v", err)
	}
	servers[1] = upgrade(t, servers[1], func(c *Config) { c.Version = "0.1.0" })
	for _, s := range servers {
		openOn(t, s, "node_identity,state_digest")
	}

	// A server that is downgraded changes nothing: it is in Raft, and the others say so.
	servers[2] = upgrade(t, servers[2], old)
	waitLeader(t, servers...)
	eventually(t, "everybody sees the old server", func() error {
		for _, s := range servers {
			if p := s.gossip.byID(servers[2].id); p == nil || p.Version != nil {
				return errors.New(s.cfg.NodeName + " does not")
			}
		}
		return nil
	})
	for _, s := range servers {
		openOn(t, s, "node_identity,state_digest")
	}
	if reply, err := heartbeat(pool, t, servers[0].RPCAddr(), n.ID, *reply.SignedIdentity, true); err != nil || reply.SignedIdentity == nil {
		t.Errorf("no renewal beside a downgraded server: %v", err)
	}
	sameDigests(t, servers...)
}

// sameDigests waits until the servers' states are the same.
func sameDigests(t *testing.T, servers ...*Server) {
	t.Helper()
	eventually(t, "the same state everywhere", func() error {
		first, err := servers[0].fsm.State().Digest()
		if err != nil {
			return err
		}
		for _, s := range servers[1:] {
			if d, err := s.fsm.State().Digest(); err != nil || d != first {
				return fmt.Errorf("%s has %x, %s has %x: %v", servers[0].cfg.NodeName, first, s.cfg.NodeName, d, err)
			}
		}
		return nil
	})
}

func TestAServerThatIsTooOldForWhatIsInUseIsNotAddedToRaft(t *testing.T) {
	leader := cluster(t, 1, nil)[0]
	for name, c := range map[string]struct {
		edit func(*Config)
		want bool
	}{
		"old": {func(c *Config) { c.Build = "1.10.5" }, false},
		"new": {func(*Config) {}, true},
	} {
		t.Run(name, func(t *testing.T) {
			conf := testConfig(t, name, 0)
			conf.RetryJoin.Addrs = []string{gossipAddr(leader.cfg)}
			c.edit(&conf)
			s := start(t, conf)
			eventually(t, "the leader sees the server", func() error {
				if leader.gossip.byID(s.id) == nil {
					return errors.New("not yet")
				}
				return nil
			})
			inRaft := func() bool {
				f := leader.raft.GetConfiguration()
				if err := f.Error(); err != nil {
					t.Fatal(err)
				}
				return slices.ContainsFunc(f.Configuration().Servers, func(r raft.Server) bool { return string(r.ID) == s.id })
			}
			if c.want {
				eventually(t, "the server is in Raft", func() error {
					if !inRaft() {
						return errors.New("not yet")
					}
					return nil
				})
				return
			}
			if err := leader.reconcileMembers(); err != nil { // whose turn it may not have been yet
				t.Fatal(err)
			}
			if inRaft() {
				t.Error("the old server was added to Raft")
			}
			if p := leader.gossip.byID(s.id); leader.admit(p) == nil {
				t.Error("nothing is said against the old server")
			}
		})
	}
}

func TestAFeatureWaitsForServersOfRaftThatGossipHasNotSeen(t *testing.T) {
	s := cluster(t, 1, nil)[0]
	gate := &structs.FeatureGate{Name: "next", MinVersion: "0.1.0"}
	if err := s.blocked(gate); err != nil {
		t.Fatal(err)
	}
	absent := newUUID()
	if err := s.raft.AddNonvoter(raft.ServerID(absent), "127.0.0.1:1", 0, membershipTimeout).Error(); err != nil {
		t.Fatal(err)
	}
	if err := s.blocked(gate); err == nil || !strings.Contains(err.Error(), absent) {
		t.Errorf("got %v, want an error that names the server", err)
	}
}

func TestABinaryWithAnUnreadableVersionIsRefused(t *testing.T) {
	c := testConfig(t, "s1", 1)
	c.Version = "tomorrow's"
	s, err := New(c)
	if err == nil {
		_ = s.Shutdown()
	}
	if err == nil || !strings.Contains(err.Error(), "tomorrow's") {
		t.Errorf("got %v, want a refusal that shows the version", err)
	}
}

// A leader that finds a state without gates opens them before it says that it is ready, and not some time later.
func TestALeaderOpensGatesBeforeItServes(t *testing.T) {
	s := cluster(t, 1, func(c *Config) { c.DataDir = t.TempDir() })[0]
	archive, err := snapshot.Verify(t.Context(), bytes.NewReader(fixture(t, "early.snap")), snapshot.VerifyOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	// The other occasion to open them is a look at the members, which only comes when they change or a minute has passed.
	// A first one may still be due, so this may find them open already.
	if err := s.raft.Restore(archive.Meta.Raft(), archive.State(), restoreTimeout); err != nil {
		t.Fatal(err)
	}
	if _, err := s.establish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.openFeatureNames(); got != "node_identity,state_digest" {
		t.Errorf("features in use: %q", got)
	}
}

func TestARestoredStateWithoutGatesHasThemAgainAtOnce(t *testing.T) {
	s := cluster(t, 1, func(c *Config) { c.DataDir = t.TempDir() })[0]
	pool := newPool(t)
	restoreFixture(t, pool, s, "early.snap")
	openOn(t, s, "node_identity,state_digest")
	if reply := register(t, pool, s.RPCAddr(), testNode(), ""); reply.SignedIdentity == nil {
		t.Error("no identity after the restore")
	}
}
