package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"github.com/rollcall-id/rollcall/structs"
)

// serverTags are the tags of a compatible server.
func serverTags(edit map[string]string) map[string]string {
	tags := map[string]string{
		"role": "nomad", "region": testRegion, "dc": "dc1", "build": "2.0.5", "vsn": "1", "raft_vsn": "3",
		"id": "11111111-1111-1111-1111-111111111111", "rpc_addr": "10.0.0.1", "port": "4647",
	}
	for k, v := range edit {
		if v == "" {
			delete(tags, k)
			continue
		}
		tags[k] = v
	}
	return tags
}

func TestGossipTags(t *testing.T) {
	base := Config{Region: "r", Datacenter: "d", Build: "2.0.5", RPCAdvertise: "10.0.0.1:4647"}
	tests := []struct {
		name string
		edit func(*Config)
		want map[string]string // beside those that are always there
	}{
		{"a server that joins a cluster", func(*Config) {}, nil},
		{"one of three that form a cluster", func(c *Config) { c.BootstrapExpect = 3 }, map[string]string{"expect": "3"}},
		{"a cluster of its own", func(c *Config) { c.BootstrapExpect = 1 }, map[string]string{"expect": "1", "bootstrap": "1"}},
		{"a server that never votes", func(c *Config) { c.NonVoter = true }, map[string]string{"nonvoter": "1"}},
		{"a release of this project", func(c *Config) { c.Version = "1.2.3" }, map[string]string{"rollcall": "1.2.3"}},
		{"a build of a known commit", func(c *Config) { c.Revision = "abc123" }, map[string]string{"revision": "abc123"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &Server{cfg: base, id: "the-id"}
			tt.edit(&s.cfg)
			want := map[string]string{
				"role": "nomad", "region": "r", "dc": "d", "build": "2.0.5", "vsn": "1", "raft_vsn": "3", "id": "the-id",
				"rpc_addr": "10.0.0.1", "port": "4647",
			}
			for k, v := range tt.want {
				want[k] = v
			}
			if diff := cmp.Diff(want, s.gossipTags()); diff != "" {
				t.Errorf("tags (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParsePeer(t *testing.T) {
	tests := []struct {
		name string
		edit map[string]string
		want string // part of the error; empty for none
	}{
		{"a server", nil, ""},
		{"a development build", map[string]string{"build": "2.0.6-dev"}, ""},
		{"no role", map[string]string{"role": ""}, "is not a server"},
		{"another role", map[string]string{"role": "consul"}, `its role is "consul"`},
		{"no port", map[string]string{"port": ""}, "has RPC port"},
		{"a port that is no number", map[string]string{"port": "http"}, `has RPC port "http"`},
		{"port 0", map[string]string{"port": "0"}, "has RPC port"},
		{"a port that there can't be", map[string]string{"port": "65536"}, "has RPC port"},
		{"no build", map[string]string{"build": ""}, "has build"},
		{"a build that is no version", map[string]string{"build": "latest"}, `has build "latest"`},
		{"an expectation that is no number", map[string]string{"expect": "three"}, `expects "three"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := serf.Member{Name: "s1.global", Addr: net.IPv4(10, 0, 0, 2), Tags: serverTags(tt.edit)}
			p, err := parsePeer(m)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "s1.global") {
					t.Fatalf("got %v, want an error with %q and the member's name", err, tt.want)
				}
				return
			}
			if err != nil || p.Addr != "10.0.0.2:4647" || p.RPCAddr != "10.0.0.1:4647" {
				t.Errorf("got %+v, %v", p, err)
			}
		})
	}
}

// member is a server of the region as the pool knows it.
func member(name string, status serf.MemberStatus, edit map[string]string) serf.Member {
	tags := serverTags(map[string]string{"id": "id-" + name})
	for k, v := range edit {
		tags[k] = v
	}
	return serf.Member{Name: name + ".global", Addr: net.IPv4(10, 0, 0, name[len(name)-1]-'0'), Status: status, Tags: tags}
}

func testGossip() *gossip {
	return &gossip{region: testRegion, log: hclog.NewNullLogger(), self: &structs.NodeServerInfo{RPCAdvertiseAddr: "10.0.0.9:4647"}}
}

func TestTheViewOfThePool(t *testing.T) {
	g := testGossip()
	g.current.Store(g.view([]serf.Member{
		member("s3", serf.StatusAlive, map[string]string{"rpc_addr": "10.0.0.3"}),
		member("s1", serf.StatusAlive, map[string]string{"rpc_addr": "10.0.0.9"}),
		member("s2", serf.StatusFailed, map[string]string{"rpc_addr": "10.0.0.2"}),
		member("s4", serf.StatusLeft, map[string]string{"rpc_addr": "10.0.0.4"}),
		member("s5", serf.StatusAlive, map[string]string{"region": "eu", "rpc_addr": "10.0.1.5"}),
		member("s6", serf.StatusAlive, map[string]string{"region": "eu", "rpc_addr": "10.0.1.1"}),
		member("s7", serf.StatusAlive, map[string]string{"port": "none"}),
		member("s8", serf.StatusFailed, map[string]string{"region": "us"}),
	}))
	var servers []string
	for _, s := range g.Servers() {
		servers = append(servers, s.RPCAdvertiseAddr)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"servers for agents: live ones of the region", servers, []string{"10.0.0.3:4647", "10.0.0.9:4647"}},
		{"live peers without this server", g.LocalPeers(), []string{"10.0.0.3:4647"}},
		{"regions with a live server", g.Regions(), []string{"eu", "global"}},
		{"servers of another region", g.RegionServers("eu"), []string{"10.0.1.1:4647", "10.0.1.5:4647"}},
		{"servers of a region that is gone", len(g.RegionServers("us")), 0},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
	g.current.Store(g.view(nil))
	if got := g.Servers(); len(got) != 1 || got[0] != g.self {
		t.Errorf("servers of an empty pool: %v, want this one", got)
	}
}

func TestWhoFormsACluster(t *testing.T) {
	three := map[string]string{"expect": "3"}
	tests := []struct {
		name    string
		pool    []serf.Member
		servers []string
	}{
		{"all that expect as many", []serf.Member{member("s2", serf.StatusAlive, three), member("s1", serf.StatusAlive, three), member("s3", serf.StatusAlive, three)},
			[]string{"id-s1", "id-s2", "id-s3"}},
		{"none while one expects another number", []serf.Member{member("s1", serf.StatusAlive, three),
			member("s2", serf.StatusAlive, map[string]string{"expect": "5"}), member("s3", serf.StatusAlive, three)}, nil},
		{"none while one bootstraps alone", []serf.Member{member("s1", serf.StatusAlive, three), member("s2", serf.StatusAlive, map[string]string{"bootstrap": "1"})}, nil},
		{"not one that only joins", []serf.Member{member("s1", serf.StatusAlive, three), member("s2", serf.StatusAlive, nil)}, []string{"id-s1"}},
		{"not one that never votes", []serf.Member{member("s1", serf.StatusAlive, three),
			member("s2", serf.StatusAlive, map[string]string{"expect": "3", "nonvoter": "1"})}, []string{"id-s1"}},
		{"not one that failed or left", []serf.Member{member("s1", serf.StatusAlive, three), member("s2", serf.StatusFailed, three),
			member("s3", serf.StatusLeft, three)}, []string{"id-s1"}},
		{"not one of another region", []serf.Member{member("s1", serf.StatusAlive, three),
			member("s2", serf.StatusAlive, map[string]string{"expect": "3", "region": "eu"})}, []string{"id-s1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &Server{cfg: Config{BootstrapExpect: 3}, id: "id-s1", log: hclog.NewNullLogger(), gossip: testGossip()}
			s.gossip.current.Store(s.gossip.view(tt.pool))
			servers, others := s.founders()
			var ids []string
			for _, srv := range servers {
				ids = append(ids, string(srv.ID))
			}
			if diff := cmp.Diff(tt.servers, ids); diff != "" {
				t.Errorf("founders (-want +got):\n%s", diff)
			}
			if want := max(len(tt.servers)-1, 0); len(others) != want {
				t.Errorf("%d others to ask, want %d", len(others), want)
			}
		})
	}
}

// stranger joins the pool with the given tags, by the library alone, and returns what the join said.
func stranger(t *testing.T, name string, tags map[string]string, key []byte, to ...*Server) error {
	t.Helper()
	conf := serf.DefaultConfig()
	conf.Init()
	conf.NodeName, conf.Tags = name, tags
	conf.MemberlistConfig = memberlist.DefaultLocalConfig()
	conf.MemberlistConfig.BindAddr, conf.MemberlistConfig.BindPort = "127.0.0.1", 0
	conf.MemberlistConfig.SecretKey = key
	conf.LogOutput, conf.MemberlistConfig.LogOutput = io.Discard, io.Discard
	pool, err := serf.Create(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Shutdown(); err != nil {
			t.Error(err)
		}
		<-pool.ShutdownCh()
	})
	var addrs []string
	for _, s := range to {
		addrs = append(addrs, gossipAddr(s.cfg))
	}
	_, err = pool.Join(addrs, true)
	return err
}

func quietly(c *Config) { c.Logger = hclog.NewNullLogger() }

func TestWhoIsNoServerStaysOutOfThePool(t *testing.T) {
	s := cluster(t, 1, quietly)[0]
	for name, tags := range map[string]map[string]string{
		"another-kind": serverTags(map[string]string{"role": "consul"}), "no-role": {}, "no-port": serverTags(map[string]string{"port": ""}),
		"no-build": serverTags(map[string]string{"build": ""}),
	} {
		_ = stranger(t, name, tags, testGossipKey(t), s) // its own library may not mind the refusal
	}
	// Whoever is let in after them shows that they had their turn.
	if err := stranger(t, "eu1.eu", serverTags(map[string]string{"region": "eu"}), testGossipKey(t), s); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server of another region", func() error {
		if got := s.gossip.Regions(); !slices.Equal(got, []string{"eu", testRegion}) {
			return fmt.Errorf("regions %v", got)
		}
		return nil
	})
	var names []string
	for _, m := range s.gossip.Members() {
		names = append(names, m.Name)
	}
	if want := []string{"s1.global", "eu1.eu"}; !slices.Equal(names, want) {
		t.Errorf("members %v, want %v", names, want)
	}
}

func TestGossipGoesOnWhileAServerThatIsToFormTheClusterDoesNotAnswer(t *testing.T) {
	silent := listen(t) // takes connections and says nothing
	defer silent.Close()
	conf := testConfig(t, "s1", 2)
	conf.Logger = hclog.NewNullLogger()
	s := start(t, conf)
	port := strconv.Itoa(silent.Addr().(*net.TCPAddr).Port)
	if err := stranger(t, "s2.global", serverTags(map[string]string{"expect": "2", "port": port}), testGossipKey(t), s); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the question to the silent server", func() error {
		if running("askForCluster") == 0 {
			return errors.New("not asked")
		}
		return nil
	})
	if err := stranger(t, "eu1.eu", serverTags(map[string]string{"region": "eu"}), testGossipKey(t), s); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a member that came meanwhile", func() error {
		if got := s.gossip.Regions(); !slices.Contains(got, "eu") {
			return fmt.Errorf("regions %v", got)
		}
		return nil
	})
	if running("askForCluster") == 0 {
		t.Error("the view moved on only after the silent server was given up")
	}
}

func TestJoiningGivesUpInClearWords(t *testing.T) {
	tests := []struct {
		name string
		addr func(c Config) string
		want string
	}{
		{"nobody listens there", func(Config) string { return "127.0.0.1:1" }, "127.0.0.1:1"},
		{"only the server itself listens there", gossipAddr, "only this server itself"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conf := testConfig(t, "s1", 3)
			conf.Logger = hclog.NewNullLogger()
			conf.RetryJoin = RetryJoin{Addrs: []string{tt.addr(conf)}, Interval: time.Millisecond, MaxTries: 3}
			s := start(t, conf)
			select {
			case err := <-s.Failed():
				if !strings.Contains(err.Error(), "giving up after 3 tries") || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("reason: %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Error("the server goes on trying")
			}
		})
	}
}

func TestAServerThatListsItselfFindsTheOthersOnceTheyAreThere(t *testing.T) {
	first, second := testConfig(t, "s1", 2), testConfig(t, "s2", 2)
	first.RetryJoin = RetryJoin{Addrs: []string{gossipAddr(first), gossipAddr(second)}, Interval: 50 * time.Millisecond}
	first.Logger = hclog.NewNullLogger()
	a := start(t, first)
	eventually(t, "the first server's own answer", func() error {
		if a.gossip.serf.NumNodes() != 1 {
			return errors.New("no member")
		}
		return nil
	})
	// The second knows of nobody, so it is found or not.
	waitLeader(t, a, start(t, second))
}

func TestGossipIsEncryptedByTheClustersKey(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	servers := cluster(t, 3, func(c *Config) {
		c.Gossip.EncryptKey = key
		c.Logger = hclog.NewNullLogger()
	})
	if err := stranger(t, "eu1.eu", serverTags(map[string]string{"region": "eu"}), nil, servers[0]); err == nil {
		t.Error("a server without the key joined")
	}
	if err := stranger(t, "eu2.eu", serverTags(map[string]string{"region": "eu"}), []byte("another key of 16"[:16]), servers[0]); err == nil {
		t.Error("a server with another key joined")
	}
	if err := stranger(t, "eu3.eu", serverTags(map[string]string{"region": "eu"}), key, servers[0]); err != nil {
		t.Errorf("a server with the key did not join: %v", err)
	}
	for _, s := range servers {
		if first := s.gossip.Members()[0].Name; first != s.gossip.serf.LocalMember().Name {
			t.Errorf("%s names %s before itself", s.cfg.NodeName, first)
		}
	}
	for _, m := range servers[0].gossip.Members() {
		if m.Name == "eu1.eu" || m.Name == "eu2.eu" {
			t.Errorf("%s is a member", m.Name)
		}
	}
}

// suffrage says which of the servers vote, by name.
func suffrage(t *testing.T, s *Server) map[string]bool {
	t.Helper()
	conf, err := s.RaftConfiguration()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, srv := range conf.Servers {
		out[srv.Node] = srv.Voter
	}
	return out
}

func waitSuffrage(t *testing.T, s *Server, want map[string]bool) {
	t.Helper()
	eventually(t, "Raft's servers", func() error {
		if diff := cmp.Diff(want, suffrage(t, s)); diff != "" {
			return fmt.Errorf("votes by server (-want +got):\n%s", diff)
		}
		return nil
	})
}

func TestServersThatJoinLaterAreAddedAndPromotedUnlessTheyNeverVote(t *testing.T) {
	t.Parallel() // waits for autopilot most of the time
	servers := cluster(t, 1, quietly)
	leader := waitLeader(t, servers...)
	// The second was set up like the founders of a cluster of three; the third only joins; the fourth never votes.
	for i, edit := range []func(*Config){
		func(c *Config) { c.BootstrapExpect = 0 }, func(c *Config) { c.BootstrapExpect, c.NonVoter = 0, true },
	} {
		conf := testConfig(t, fmt.Sprintf("s%d", i+2), 0)
		conf.Logger = hclog.NewNullLogger()
		conf.RetryJoin.Addrs = []string{gossipAddr(leader.cfg)}
		edit(&conf)
		servers = append(servers, start(t, conf))
	}
	waitSuffrage(t, leader, map[string]bool{"s1.global": true, "s2.global": true, "s3.global": false})
	waitLeader(t, servers...)
	register(t, newPool(t), servers[2].RPCAddr(), testNode(), "")
}

func TestAFourthServerThatExpectsThreeJoinsTheClusterThatIsThere(t *testing.T) {
	t.Parallel() // waits for autopilot most of the time
	servers := cluster(t, 3, quietly)
	conf := testConfig(t, "s4", 3)
	conf.Logger = hclog.NewNullLogger()
	conf.RetryJoin.Addrs = []string{gossipAddr(servers[0].cfg)}
	fourth := start(t, conf)
	waitSuffrage(t, waitLeader(t, servers...), map[string]bool{"s1.global": true, "s2.global": true, "s3.global": true, "s4.global": true})
	waitLeader(t, append(servers, fourth)...)
}

func TestAServerThatLeavesIsRemovedAndOneThatFailsIsCleanedUp(t *testing.T) {
	t.Parallel() // waits for gossip and autopilot most of the time
	servers := cluster(t, 4, quietly)
	leader := waitLeader(t, servers...)
	if err := leader.Leave(); err != nil { // hands over first
		t.Fatal(err)
	}
	if err := leader.Shutdown(); err != nil {
		t.Fatal(err)
	}
	rest := slices.DeleteFunc(slices.Clone(servers), func(s *Server) bool { return s == leader })
	next := waitLeader(t, rest...)
	want := map[string]bool{}
	for _, s := range rest {
		want[s.cfg.NodeName+".global"] = true
	}
	waitSuffrage(t, next, want)

	failed := rest[(slices.Index(rest, next)+1)%3]
	if err := failed.Shutdown(); err != nil {
		t.Fatal(err)
	}
	delete(want, failed.cfg.NodeName+".global")
	waitSuffrage(t, next, want)
}

func TestAServerThatLostItsDataComesBackUnderANewID(t *testing.T) {
	t.Parallel() // waits for autopilot most of the time
	servers := cluster(t, 3, func(c *Config) {
		quietly(c)
		c.DataDir = t.TempDir()
	})
	leader := waitLeader(t, servers...)
	lost := servers[(slices.Index(servers, leader)+1)%3]
	if err := lost.Shutdown(); err != nil {
		t.Fatal(err)
	}
	conf := lost.cfg
	conf.DataDir = t.TempDir()
	var err error
	if conf.RPCListener, err = net.Listen("tcp", conf.RPCAdvertise); err != nil {
		t.Skipf("another process took the port meanwhile: %v", err)
	}
	back := start(t, conf)
	if back.id == lost.id {
		t.Fatal("a server without its data has its old ID")
	}
	eventually(t, "the server in place of itself", func() error {
		conf, err := leader.RaftConfiguration()
		if err != nil {
			return err
		}
		var ids []string
		for _, srv := range conf.Servers {
			if srv.Voter {
				ids = append(ids, srv.ID)
			}
		}
		if len(ids) != 3 || !slices.Contains(ids, back.id) || slices.Contains(ids, lost.id) {
			return fmt.Errorf("voters %v, want %s in place of %s", ids, back.id, lost.id)
		}
		return nil
	})
}
