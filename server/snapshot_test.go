package server

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// save saves an archive over a streaming call.
func save(t *testing.T, conn net.Conn, stale bool) ([]byte, *structs.SnapshotSaveResponse) {
	t.Helper()
	defer conn.Close()
	writeValue(t, conn, &structs.SnapshotSaveRequest{QueryOptions: structs.QueryOptions{Region: testRegion, AllowStale: stale}})
	in := transport.NewReader(conn, time.Minute)
	var reply structs.SnapshotSaveResponse
	readValue(t, in, &reply)
	archive, err := io.ReadAll(in.Rest())
	if err != nil {
		t.Fatal(err)
	}
	return archive, &reply
}

// restore sends an archive, ends it as told, and returns the answer.
func restore(t *testing.T, conn net.Conn, archive []byte, end string) *structs.SnapshotRestoreResponse {
	t.Helper()
	defer conn.Close()
	writeValue(t, conn, &structs.SnapshotRestoreRequest{WriteRequest: structs.WriteRequest{Region: testRegion}})
	for len(archive) > 0 {
		n := min(len(archive), structs.StreamFrameBytes)
		writeValue(t, conn, &structs.StreamFrame{Payload: archive[:n]})
		archive = archive[n:]
	}
	writeValue(t, conn, &structs.StreamFrame{Error: &structs.StreamError{Message: end}})
	var reply structs.SnapshotRestoreResponse
	readValue(t, transport.NewReader(conn, time.Minute), &reply)
	return &reply
}

func writeValue(t *testing.T, w io.Writer, v any) {
	t.Helper()
	b, err := structs.EncodeBytes(v)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
}

func readValue(t *testing.T, in *transport.Reader, v any) {
	t.Helper()
	b, err := in.ReadValue("reply", structs.Limits{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := structs.Decode(b, v); err != nil {
		t.Fatal(err)
	}
}

// dialStream opens the streaming call on a server's port.
func dialStream(t *testing.T, p *transport.Pool, s *Server, method string) net.Conn {
	t.Helper()
	conn, err := p.Stream(t.Context(), s.RPCAddr(), method)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestASnapshotFromAnyServerRestoresTheClusterAndWakesItUp(t *testing.T) {
	servers := cluster(t, 3, func(c *Config) { c.DataDir = t.TempDir() })
	pool := newPool(t)
	leader := waitLeader(t, servers...)
	kept, lost := testNode(), testNode()
	keptID, lostID := kept.ID, lost.ID
	token := *register(t, pool, leader.RPCAddr(), kept, "").SignedIdentity

	var archive []byte
	for _, s := range servers {
		got, reply := save(t, dialStream(t, pool, s, "Operator.SnapshotSave"), false)
		if reply.ErrorMsg != "" || reply.Index == 0 || len(got) == 0 {
			t.Fatalf("save over %s: %+v", s.cfg.NodeName, reply)
		}
		archive = got
	}
	lostIndex := register(t, pool, leader.RPCAddr(), lost, "").NodeModifyIndex

	// A read that waits for the lost node to change is answered when the restore has taken it away.
	answered := make(chan error, 1)
	go func() {
		req := &structs.NodeSpecificRequest{NodeID: lostID}
		req.Region, req.MinQueryIndex, req.MaxQueryTime = testRegion, lostIndex, 5*time.Minute
		var reply structs.SingleNodeResponse
		err := pool.Call(t.Context(), leader.RPCAddr(), "Node.GetNode", req, &reply)
		if err == nil && reply.Node != nil {
			err = fmt.Errorf("the node is still there at index %d", reply.Index)
		}
		answered <- err
	}()

	follower := servers[0]
	if follower == leader {
		follower = servers[1]
	}
	if reply := restore(t, dialStream(t, pool, follower, "Operator.SnapshotRestore"), archive, structs.StreamEOF); reply.ErrorMsg != "" {
		t.Fatalf("restore: %s", reply.ErrorMsg)
	}
	if err := <-answered; err != nil {
		t.Errorf("waiting read: %v", err)
	}
	for _, s := range servers {
		eventually(t, s.cfg.NodeName+" has the restored state", func() error {
			st := s.fsm.State()
			if k, err := st.NodeByID(nil, keptID); err != nil || k == nil {
				return fmt.Errorf("kept node: %v, %v", k, err)
			}
			if l, err := st.NodeByID(nil, lostID); err != nil || l != nil {
				return fmt.Errorf("a node that the snapshot does not have is there: %v", err)
			}
			return nil
		})
	}
	now := waitLeader(t, servers...)
	eventually(t, "timers of the restored nodes", func() error {
		if n := now.heartbeats.count.Load(); n != 1 {
			return fmt.Errorf("%d timers", n)
		}
		return nil
	})
	if _, err := heartbeat(pool, t, now.RPCAddr(), keptID, token, true); err != nil {
		t.Errorf("identity from before the restore: %v", err)
	}
}

func TestAnArchiveThatIsNotGoodChangesNothing(t *testing.T) {
	s := cluster(t, 1, func(c *Config) { c.DataDir = t.TempDir() })[0]
	pool := newPool(t)
	register(t, pool, s.RPCAddr(), testNode(), "")
	archive, _ := save(t, dialStream(t, pool, s, "Operator.SnapshotSave"), true)
	before, err := s.fsm.State().Digest()
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(archive)
	flipped[len(flipped)/2] ^= 0x10
	for _, c := range []struct {
		name    string
		archive []byte
		end     string
	}{
		{"a flipped bit", flipped, structs.StreamEOF},
		{"cut short", archive[:len(archive)-20], structs.StreamEOF},
		{"empty", nil, structs.StreamEOF},
		{"a sender that gives up", archive, "disk read failed"},
		{"trailing bytes", append(bytes.Clone(archive), 0), structs.StreamEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			reply := restore(t, dialStream(t, pool, s, "Operator.SnapshotRestore"), c.archive, c.end)
			if reply.ErrorCode != 400 || reply.ErrorMsg == "" {
				t.Errorf("answer %+v, want 400 and a reason", reply)
			}
			if after, err := s.fsm.State().Digest(); err != nil || after != before {
				t.Errorf("state changed: %v", err)
			}
		})
	}
}
