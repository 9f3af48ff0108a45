package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

// loggedTypes are the types of the commands in a server's log.
func loggedTypes(t *testing.T, s *Server) []structs.MessageType {
	t.Helper()
	first, err := s.stores.log.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.stores.log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	var types []structs.MessageType
	for i := max(first, 1); i <= last; i++ {
		var l raft.Log
		if err := s.stores.log.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
		if l.Type == raft.LogCommand {
			types = append(types, structs.MessageType(l.Data[0]))
		}
	}
	return types
}

func TestTheFirstLeaderWritesTheClustersRecordsInOrderAndOnce(t *testing.T) {
	want := []structs.MessageType{structs.AutopilotMsg, structs.SchedulerConfigMsg, structs.ClusterMetadataMsg, structs.RootKeyUpsertMsg,
		structs.FeatureGateMsg | structs.IgnoreUnknownFlag}
	dir := t.TempDir()
	for run := range 4 {
		conf := testConfig(t, "s1", 1)
		conf.DataDir = dir
		s, err := New(conf)
		if err != nil {
			t.Fatal(err)
		}
		waitLeader(t, s)
		if got := loggedTypes(t, s); !slices.Equal(got, want) {
			t.Errorf("run %d: commands %v, want %v", run, got, want)
		}
		if err := s.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
}

// running counts the goroutines that are in the function.
func running(function string) int {
	buf := make([]byte, 1<<22)
	buf = buf[:runtime.Stack(buf, true)]
	return strings.Count(string(buf), "server.(*Server)."+function+"(")
}

func TestLeadershipThatWandersLeavesOneReadyLeaderWithOneSetOfTasks(t *testing.T) {
	servers := cluster(t, 3, nil)
	pool := newPool(t)
	n := testNode()
	token := *register(t, pool, servers[0].RPCAddr(), n, "").SignedIdentity
	for i := range 20 {
		leader := waitLeader(t, servers...)
		next := servers[(slices.Index(servers, leader)+1+i%2)%3]
		out, err := leader.TransferLeadership(next.id, "")
		if err != nil {
			t.Fatalf("transfer %d: %v", i, err)
		}
		if out.From.ID != leader.id || out.To.ID != next.id || out.Noop {
			t.Errorf("transfer %d: %+v", i, out)
		}
		if err := (leadership{leader}).VerifyLease(t.Context()); !errors.Is(err, structs.ErrNoLeader) {
			t.Errorf("transfer %d: the old leader's lease: %v", i, err)
		}
		if got := waitLeader(t, servers...); got == leader {
			t.Errorf("transfer %d: %s leads on", i, leader.cfg.NodeName)
		}
		if _, err := heartbeat(pool, t, servers[i%3].RPCAddr(), n.ID, token, true); err != nil {
			t.Errorf("renewal after transfer %d: %v", i, err)
		}
	}
	eventually(t, "one leader", func() error {
		for _, s := range servers {
			if s.ready.Load() != s.leading() {
				return fmt.Errorf("%s: leads %v, ready %v", s.cfg.NodeName, s.leading(), s.ready.Load())
			}
			if want := int64(0); !s.leading() && s.heartbeats.count.Load() != want {
				return fmt.Errorf("%s follows with %d timers", s.cfg.NodeName, s.heartbeats.count.Load())
			}
		}
		for _, task := range []string{"lead", "markDown", "reconcileLoop", "followRestores"} {
			if n := running(task); n != 1 {
				return fmt.Errorf("%d goroutines run %s, want 1", n, task)
			}
		}
		return nil
	})
}

func TestATransferThatFailsLeavesTheLeaderLeading(t *testing.T) {
	servers := cluster(t, 3, func(c *Config) { c.Logger = hclog.NewNullLogger() })
	leader := waitLeader(t, servers...)
	other := servers[(slices.Index(servers, leader)+1)%3]
	if err := other.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if _, err := leader.TransferLeadership(other.id, ""); err == nil {
		t.Fatal("leadership was given to a server that is gone")
	}
	for name, id := range map[string]string{"an unknown server": newUUID(), "nobody": ""} {
		if _, err := leader.TransferLeadership(id, ""); err == nil {
			t.Errorf("leadership was given to %s", name)
		}
	}
	if out, err := leader.TransferLeadership(leader.id, ""); err != nil || !out.Noop {
		t.Errorf("transfer to the leader: %+v, %v", out, err)
	}
	eventually(t, "the lease", func() error { return leadership{leader}.VerifyLease(t.Context()) })
	register(t, newPool(t), leader.RPCAddr(), testNode(), "")
}

func TestAServerWithoutAQuorumSaysSoInTimeAndServesStaleReads(t *testing.T) {
	const hold = time.Second
	servers := cluster(t, 3, func(c *Config) {
		c.RPC.HoldTimeout = hold
		c.Logger = hclog.NewNullLogger()
	})
	pool := newPool(t)
	n := testNode()
	token := *register(t, pool, servers[0].RPCAddr(), n, "").SignedIdentity
	leader := waitLeader(t, servers...)
	var left *Server
	for _, s := range servers {
		if s != leader && left == nil {
			left = s
			continue
		}
		defer func() { _ = s.Shutdown() }()
	}
	eventually(t, "the node on the server that stays", func() error {
		if left.fsm.State().NodeCount() != 1 {
			return errors.New("not there")
		}
		return nil
	})
	for _, s := range servers {
		if s != left {
			if err := s.Shutdown(); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "the loss of the leader", func() error {
		if addr := left.leaderAddr(); addr != "" {
			return fmt.Errorf("leader is %s", addr)
		}
		return nil
	})
	began := time.Now()
	_, err := heartbeat(pool, t, left.RPCAddr(), n.ID, token, true)
	if err == nil || !strings.Contains(err.Error(), structs.ErrNoLeader.Error()) {
		t.Errorf("write: %v", err)
	}
	if took := time.Since(began); took < hold/2 || took > hold+2*time.Second {
		t.Errorf("the answer took %v, want about the hold time of %v", took, hold)
	}
	read := &structs.NodeListRequest{QueryOptions: structs.QueryOptions{Region: testRegion, AllowStale: true}}
	var nodes structs.NodeListResponse
	if err := pool.Call(t.Context(), left.RPCAddr(), "Node.List", read, &nodes); err != nil || len(nodes.Nodes) != 1 {
		t.Errorf("stale read: %d nodes, %v", len(nodes.Nodes), err)
	}
}

func TestALeaderThatIsNotReadyServesNothingThatNeedsOne(t *testing.T) {
	s := cluster(t, 1, func(c *Config) { c.RPC.HoldTimeout = 300 * time.Millisecond })[0]
	pool := newPool(t)
	s.ready.Store(false) // as before the barrier of its term
	req := &structs.NodeRegisterRequest{Node: testNode(), WriteRequest: structs.WriteRequest{Region: testRegion}}
	err := pool.Call(t.Context(), s.RPCAddr(), "Node.Register", req, &structs.NodeUpdateResponse{})
	if err == nil || !strings.Contains(err.Error(), structs.ErrNotReady.Error()) {
		t.Errorf("registration: %v", err)
	}
	if n := s.fsm.State().NodeCount(); n != 0 {
		t.Errorf("%d nodes", n)
	}
	s.ready.Store(true)
	register(t, pool, s.RPCAddr(), testNode(), "")
}

// loadedKeys are the IDs of the keys that a server publishes, sorted.
func loadedKeys(s *Server) []string {
	var ids []string
	for _, k := range s.keyring.Public() {
		ids = append(ids, k.KeyID)
	}
	return ids
}

// snapshotOf takes a snapshot and returns it.
func snapshotOf(t *testing.T, s *Server) (*raft.SnapshotMeta, io.ReadCloser) {
	t.Helper()
	f := s.raft.Snapshot()
	if err := f.Error(); err != nil {
		t.Fatal(err)
	}
	meta, r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	return meta, r
}

func TestARestoreBringsBackNodesTimersAndKeysAndWakesWhoWaits(t *testing.T) {
	servers := cluster(t, 3, nil)
	leader := waitLeader(t, servers...)
	pool := newPool(t)
	n := testNode()
	token := *register(t, pool, leader.RPCAddr(), n, "").SignedIdentity
	before, err := leader.fsm.State().ActiveRootKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	meta, stream := snapshotOf(t, leader)
	defer stream.Close()

	var rotated structs.KeyringRotateResponse
	rotate := &structs.KeyringRotateRequest{WriteRequest: structs.WriteRequest{Region: testRegion}}
	if err := leader.RPC(t.Context(), "Keyring.Rotate", rotate, &rotated); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		register(t, pool, leader.RPCAddr(), testNode(), "")
	}
	index, err := leader.fsm.State().Index("nodes")
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		nodes int
		err   error
	}
	woken := make(chan answer, 1)
	go func() {
		req := &structs.NodeListRequest{QueryOptions: structs.QueryOptions{Region: testRegion, MinQueryIndex: index, MaxQueryTime: 5 * time.Minute}}
		var reply structs.NodeListResponse
		err := pool.Call(t.Context(), leader.RPCAddr(), "Node.List", req, &reply)
		woken <- answer{len(reply.Nodes), err}
	}()
	if err := leader.raft.Restore(meta, stream, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the restored state everywhere", func() error {
		if c := leader.heartbeats.count.Load(); c != 1 || !leader.heartbeats.running(n.ID) {
			return fmt.Errorf("%d timers, want the one of the restored node", c)
		}
		for _, s := range servers {
			if c := s.fsm.State().NodeCount(); c != 1 {
				return fmt.Errorf("%s has %d nodes", s.cfg.NodeName, c)
			}
			if got, want := loadedKeys(s), []string{before.KeyID}; !slices.Equal(got, want) {
				return fmt.Errorf("%s has loaded %v, want %v", s.cfg.NodeName, got, want)
			}
		}
		return nil
	})
	// The node's first heartbeat makes it ready, which is a change of after the restore.
	if _, err := heartbeat(pool, t, leader.RPCAddr(), n.ID, token, true); err != nil {
		t.Errorf("renewal after the restore: %v", err)
	}
	select {
	case got := <-woken:
		if got.err != nil || got.nodes != 1 {
			t.Errorf("the query that waited since before the restore: %+v, want the node of after it", got)
		}
	case <-time.After(30 * time.Second):
		t.Error("the query that waited since before the restore does not see changes of after it")
	}
	// A second restore finds the timers followed from the first on.
	meta, again := snapshotOf(t, leader)
	defer again.Close()
	register(t, pool, leader.RPCAddr(), testNode(), "")
	if err := leader.raft.Restore(meta, again, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	eventually(t, "timers after the second restore", func() error {
		if c := leader.heartbeats.count.Load(); c != 1 {
			return fmt.Errorf("%d timers", c)
		}
		return nil
	})
}

func TestATermThatEndedWhileItWasSetUpServesNobody(t *testing.T) {
	s := cluster(t, 1, nil)[0]
	s.ready.Store(false)
	over, end := context.WithCancel(t.Context())
	end()
	s.becomeReady(over)
	if s.ready.Load() {
		t.Error("ready in a term that is over")
	}
	s.becomeReady(t.Context())
	if !s.ready.Load() {
		t.Error("not ready in a term that goes on")
	}
}
