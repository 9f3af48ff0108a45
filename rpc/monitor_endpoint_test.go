package rpc

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// followLog opens a log in this process.
func (w *world) followLog(t *testing.T, req *structs.MonitorRequest) *LogReader {
	t.Helper()
	conn, err := w.srv.Stream(t.Context(), AgentMonitor)
	if err != nil {
		t.Fatal(err)
	}
	return followLog(t, conn, req)
}

func followLog(t *testing.T, conn net.Conn, req *structs.MonitorRequest) *LogReader {
	t.Helper()
	if req.Region == "" {
		req.Region = region
	}
	r, err := OpenLog(t.Context(), conn, req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// wantLog reads until text has come.
func wantLog(t *testing.T, r *LogReader, text string) {
	t.Helper()
	for all := ""; !strings.Contains(all, text); {
		piece, err := r.Next()
		if err != nil {
			t.Fatalf("after %q: %v", all, err)
		}
		all += string(piece)
	}
}

// accepted reads the empty frame with which an agent of ours begins.
func accepted(t *testing.T, r *LogReader) {
	t.Helper()
	if piece, err := r.Next(); err != nil || len(piece) > 0 {
		t.Fatalf("first %q, %v", piece, err)
	}
}

func TestTheLogOfThisServer(t *testing.T) {
	for _, id := range []string{"", "leader", "s1.global"} {
		t.Run("asked for as "+id, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.NodeName = "s1.global" })
			w.cluster.members = []*structs.ServerMember{{Name: "s1.global", Tags: map[string]string{"region": region, "id": "raft-1"}}}
			r := w.followLog(t, &structs.MonitorRequest{ServerID: id, PlainText: true})
			accepted(t, r)
			w.log.Info("what the server says")
			wantLog(t, r, "what the server says")
		})
	}
}

func TestTheLogOfAnotherServer(t *testing.T) {
	for _, tc := range []struct{ name, id string }{
		{"by its name in the gossip pool", "s2.global"}, {"by its name", "s2"}, {"by its ID", "raft-2"}, {"as the leader", "leader"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, other := newWorld(t), newWorld(t)
			w.leader.follows("10.0.0.2:4647")
			w.cluster.members = []*structs.ServerMember{
				{Name: "s2.mars", Tags: map[string]string{"region": "mars", "id": "raft-2", "port": "1"}},
				{Name: "s2.global", Addr: net.IPv4(10, 0, 0, 2), Tags: map[string]string{"region": region, "id": "raft-2", "port": "4647"}},
			}
			w.pool.worlds = map[string]*world{"10.0.0.2:4647": other}
			r := w.followLog(t, &structs.MonitorRequest{ServerID: tc.id, PlainText: true})
			accepted(t, r)
			other.log.Info("what the other says")
			wantLog(t, r, "what the other says")
		})
	}
}

func TestTheLogOfANode(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	a := startAgent(t)
	a.join(t, w.listen(), 1)
	r := w.followLog(t, &structs.MonitorRequest{NodeID: nodeID(1), LogLevel: "debug"})
	wantLog(t, r, "Agent.Monitor of "+nodeID(1)+` at level debug with token ""`)

	// Through a server that the node is not connected to.
	must(other.register(testNode(1), ""))(t)
	other.cluster.peers = []string{"10.0.0.1:4647"}
	other.pool.worlds = map[string]*world{"10.0.0.1:4647": w}
	wantLog(t, other.followLog(t, &structs.MonitorRequest{NodeID: nodeID(1), LogLevel: "warn"}), "at level warn")

	a.mu.Lock()
	a.err = errors.New("no log today")
	a.mu.Unlock()
	if _, err := w.followLog(t, &structs.MonitorRequest{NodeID: nodeID(1)}).Next(); err == nil || !strings.Contains(err.Error(), "no log today") {
		t.Errorf("a node that refuses: %v", err)
	}
}

// The end of a node's session ends the log of that node, and nothing is left of it.
func TestANodeThatGoesEndsItsLog(t *testing.T) {
	w := newWorld(t)
	a := startAgent(t)
	a.join(t, w.listen(), 1)
	r := w.followLog(t, &structs.MonitorRequest{NodeID: nodeID(1)})
	wantLog(t, r, "Agent.Monitor")
	if err := a.pool.Close(); err != nil {
		t.Fatal(err)
	}
	if piece, err := r.Next(); err == nil {
		t.Errorf("after the end comes %q", piece)
	}
}

func TestALogOverAConnectionEndsWithItsCaller(t *testing.T) {
	w := newWorld(t)
	pool := transport.NewPool(transport.PoolConfig{})
	t.Cleanup(func() { _ = pool.Close() })
	conn, err := pool.Stream(t.Context(), w.listen(), AgentMonitor)
	if err != nil {
		t.Fatal(err)
	}
	r := followLog(t, conn, &structs.MonitorRequest{LogJSON: true})
	if piece, err := r.Next(); err != nil || string(piece) != "{}\n" {
		t.Errorf("first %q, %v", piece, err)
	}
	w.log.Warn("careful")
	wantLog(t, r, `{"Data":"`)
}

func TestFollowingALogIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		req  *structs.MonitorRequest
		set  func(w *world)
		code int
		text string
	}{
		{"an unknown level", &structs.MonitorRequest{LogLevel: "loud"}, nil, 400, `unknown log level "loud"`},
		{"a node and a server", &structs.MonitorRequest{NodeID: "a", ServerID: "b"}, nil, 400, "at the same time"},
		{"an unknown node", &structs.MonitorRequest{NodeID: nodeID(9)}, nil, 404, "Unknown node " + nodeID(9)},
		{"a node without a connection", &structs.MonitorRequest{NodeID: nodeID(1)}, func(w *world) { w.join(1) }, 404, "No path to node"},
		{"an unknown server", &structs.MonitorRequest{ServerID: "s9"}, nil, 404, `no server of region global has the ID or name "s9"`},
		{"a leader when there is none", &structs.MonitorRequest{ServerID: "leader"}, func(w *world) { w.leader.set(false, false, "") }, 500, "No cluster leader"},
		{"a leader that can't be reached", &structs.MonitorRequest{ServerID: "leader"}, func(w *world) { w.leader.follows("10.0.0.2:4647") }, 500, "connection refused"},
		{"a node's identity", &structs.MonitorRequest{QueryOptions: query("node")}, nil, 403, "Permission denied"},
		{"a server without a log", &structs.MonitorRequest{}, func(w *world) { w.srv.deps.Logs = nil }, 501, "can't be followed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			if tc.set != nil {
				tc.set(w)
			}
			if tc.req.AuthToken == "node" {
				tc.req.AuthToken = w.join(2)
			}
			_, err := w.followLog(t, tc.req).Next()
			if err == nil {
				t.Fatal("it was accepted")
			}
			if code, text := structs.HTTPStatus(err); code != tc.code || !strings.Contains(text, tc.text) {
				t.Errorf("answered %d %q, want %d %q", code, text, tc.code, tc.text)
			}
		})
	}
}

// A node that takes the stream and never acknowledges it holds nobody up for longer than NodeTimeout.
func TestAFrozenNodeDoesNotHoldUpWhoFollowsIt(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.NodeTimeout = 50 * time.Millisecond })
	a := &frozen{}
	a.pool = transport.NewPool(transport.PoolConfig{Reverse: a})
	t.Cleanup(func() { _ = a.pool.Close() })
	var reply structs.NodeUpdateResponse
	if err := a.pool.Call(t.Context(), w.listen(), "Node.Register", &structs.NodeRegisterRequest{Node: testNode(1), WriteRequest: write("")}, &reply); err != nil {
		t.Fatal(err)
	}
	_, err := w.followLog(t, &structs.MonitorRequest{NodeID: nodeID(1)}).Next()
	wantCode(t, err, 504)
}

// frozen is a node that answers nothing.
type frozen struct{ pool *transport.Pool }

func (*frozen) ServeRPC(ctx context.Context, _ *transport.Conn, _ string, _ []byte) (any, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (*frozen) ServeStream(ctx context.Context, _ *transport.Conn, _ net.Conn, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}
