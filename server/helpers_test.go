package server

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	eventual "github.com/rollcall-id/rollcall/internal/eventually"
	"github.com/rollcall-id/rollcall/internal/leak"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

func TestMain(m *testing.M) { leak.Main(m) }

const testRegion = "global"

// listen opens a port on loopback that the test's end closes.
func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// Gossip's ports are taken from below those that the system gives out by itself: between looking at one of these and
// opening it, any connection or listener of another test could have got it.
const (
	firstPort = 10_000
	portCount = 10_000
)

// lastPort is the place of the port that was taken last; where it begins differs from process to process.
var lastPort = func() *atomic.Uint32 {
	p := new(atomic.Uint32)
	p.Store(rand.Uint32N(portCount))
	return p
}()

// freePort finds a port that gossip can have, for TCP and UDP.
func freePort(t *testing.T) int {
	t.Helper()
	for range portCount {
		port := firstPort + int(lastPort.Add(1)%portCount)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp", addr)
		_ = ln.Close()
		if err == nil {
			_ = udp.Close()
			return port
		}
	}
	t.Fatal("no free port for gossip")
	return 0
}

// strangers is what the gossip keys of this process are made with. Servers of other processes on this machine may look for
// each other at a port that is a server's here by now, and must not become members.
var strangers = rand.Uint64()

// testGossipKey is the key of the gossip pool of a test's servers.
func testGossipKey(t *testing.T) []byte {
	test, _, _ := strings.Cut(t.Name(), "/")
	key := sha256.Sum256(fmt.Appendf(nil, "%d %s", strangers, test))
	return key[:]
}

// testConfig is a server on loopback that keeps everything in memory and elects quickly.
func testConfig(t *testing.T, name string, expect int) Config {
	t.Helper()
	c := DefaultConfig()
	c.Region, c.NodeName, c.Build, c.BootstrapExpect = testRegion, name, "2.0.5", expect
	c.RPCListener = listen(t)
	c.RPCAdvertise = c.RPCListener.Addr().String()
	c.Gossip = GossipConfig{BindAddr: "127.0.0.1", BindPort: freePort(t), Local: true, EncryptKey: testGossipKey(t)}
	c.Gossip.AdvertiseAddr, c.Gossip.AdvertisePort = "127.0.0.1", c.Gossip.BindPort
	c.RetryJoin.Interval = 200 * time.Millisecond
	c.Raft.HeartbeatTimeout, c.Raft.ElectionTimeout, c.Raft.LeaderLease = 300*time.Millisecond, 300*time.Millisecond, 200*time.Millisecond
	c.Autopilot.ServerStabilizationTime = 0
	c.Autopilot.LastContactThreshold = 10 * time.Second // a slow machine makes no server unhealthy
	c.Logger = hclog.New(&hclog.LoggerOptions{Name: name, Level: hclog.Warn, Output: newTestWriter(t)})
	return c
}

// testWriter sends the log to the test's output until the test ends: Raft's library does not wait for the goroutines of its
// connections, which may have something to say after that.
type testWriter struct {
	mu sync.Mutex // guards t
	t  *testing.T // nil after the end
}

func newTestWriter(t *testing.T) *testWriter {
	w := &testWriter{t: t}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.t = nil
	})
	return w
}

func (w *testWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t != nil {
		w.t.Logf("%s", p)
	}
	return len(p), nil
}

func gossipAddr(c Config) string { return fmt.Sprintf("127.0.0.1:%d", c.Gossip.BindPort) }

// start starts a server that the test's end stops.
func start(t *testing.T, c Config) *Server {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Errorf("shut down %s: %v", c.NodeName, err)
		}
	})
	return s
}

// cluster starts n servers that form a cluster.
func cluster(t *testing.T, n int, edit func(*Config)) []*Server {
	t.Helper()
	confs := make([]Config, n)
	var join []string
	for i := range confs {
		confs[i] = testConfig(t, fmt.Sprintf("s%d", i+1), n)
		join = append(join, gossipAddr(confs[i]))
	}
	servers := make([]*Server, n)
	for i := range confs {
		if n > 1 {
			confs[i].RetryJoin.Addrs = join
		}
		if edit != nil {
			edit(&confs[i])
		}
		servers[i] = start(t, confs[i])
	}
	waitLeader(t, servers...)
	return servers
}

// eventually waits until ok says so.
func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	eventual.True(t, what, ok)
}

// waitLeader returns the server that leads and is ready.
func waitLeader(t *testing.T, servers ...*Server) *Server {
	t.Helper()
	var leader *Server
	eventually(t, "a leader", func() error {
		leader = nil
		for _, s := range servers {
			if (leadership{s}).IsLeader() {
				leader = s
			}
		}
		if leader == nil {
			return fmt.Errorf("no server leads")
		}
		for _, s := range servers {
			if s.ctx.Err() == nil && s.leaderAddr() != leader.leaderAddr() {
				return fmt.Errorf("%s knows leader %q", s.cfg.NodeName, s.leaderAddr())
			}
		}
		return nil
	})
	return leader
}

func newPool(t *testing.T) *transport.Pool {
	t.Helper()
	p := transport.NewPool(transport.PoolConfig{})
	t.Cleanup(func() { p.Close() })
	return p
}

func testNode() *structs.Node {
	return &structs.Node{
		ID: newUUID(), SecretID: newUUID(), Datacenter: "dc1", Name: "node", NodeClass: "c", Status: structs.NodeStatusInit,
		Attributes: structs.NewStringMap(map[string]string{structs.AttrNomadVersion: "2.0.5", "kernel.name": "linux"}),
	}
}

// register registers the node over addr and returns the reply.
func register(t *testing.T, p *transport.Pool, addr string, n *structs.Node, token string) *structs.NodeUpdateResponse {
	t.Helper()
	req := &structs.NodeRegisterRequest{Node: n, WriteRequest: structs.WriteRequest{Region: testRegion, AuthToken: token}}
	var reply structs.NodeUpdateResponse
	// A machine that is busy enough may cost a leader its lease; agents then register again.
	eventually(t, "registration over "+addr, func() error {
		reply = structs.NodeUpdateResponse{}
		err := p.Call(t.Context(), addr, "Node.Register", req, &reply)
		if err != nil && !leaderless(err) {
			t.Fatalf("register over %s: %v", addr, err)
		}
		return err
	})
	return &reply
}

// renew has a node renew its identity over addr, as often as it takes while there is no leader.
func renew(t *testing.T, p *transport.Pool, addr, nodeID, token string) {
	t.Helper()
	eventually(t, "a heartbeat of node "+nodeID+" over "+addr, func() error {
		_, err := heartbeat(p, t, addr, nodeID, token, true)
		if err != nil && !leaderless(err) {
			t.Fatalf("node %s over %s: %v", nodeID, addr, err)
		}
		return err
	})
}

// heartbeat sends a ready status over addr.
func heartbeat(p *transport.Pool, t *testing.T, addr, nodeID, token string, force bool) (*structs.NodeUpdateResponse, error) {
	req := &structs.NodeUpdateStatusRequest{
		NodeID: nodeID, Status: structs.NodeStatusReady, ForceIdentityRenewal: force,
		WriteRequest: structs.WriteRequest{Region: testRegion, AuthToken: token},
	}
	var reply structs.NodeUpdateResponse
	err := p.Call(t.Context(), addr, "Node.UpdateStatus", req, &reply)
	return &reply, err
}
