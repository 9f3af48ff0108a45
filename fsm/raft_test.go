package fsm

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

// startRaft runs the FSM under a real Raft of one server and returns once it leads.
func startRaft(t *testing.T, f *FSM, store *raft.InmemStore, snaps raft.SnapshotStore) *raft.Raft {
	t.Helper()
	cfg := raft.DefaultConfig()
	cfg.LocalID = "s1"
	cfg.Logger = hclog.NewNullLogger()
	cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	cfg.TrailingLogs = 10
	addr, transport := raft.NewInmemTransport("")
	r, err := raft.NewRaft(cfg, f, store, store, snaps, transport)
	if err != nil {
		t.Fatal(err)
	}
	if last := r.LastIndex(); last == 0 {
		r.BootstrapCluster(raft.Configuration{Servers: []raft.Server{{ID: "s1", Address: addr}}})
	}
	select {
	case <-r.LeaderCh():
	case <-time.After(20 * time.Second):
		t.Fatal("no leader")
	}
	if err := r.Barrier(20 * time.Second).Error(); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestUnderRaft: concurrent proposals get their own results, and a restart from Raft's snapshot and the log after it ends
// in the same state.
func TestUnderRaft(t *testing.T) {
	t.Parallel()
	store := raft.NewInmemStore()
	snaps, err := raft.NewFileSnapshotStoreWithLogger(t.TempDir(), 1, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	first := New(Config{OnFatal: func(err error) { t.Error(err) }})
	r := startRaft(t, first, store, snaps)
	propose := func(from, to int) {
		t.Helper()
		futures := map[int]raft.ApplyFuture{}
		for i := from; i < to; i++ {
			futures[i] = r.Apply(entry(t, 0, structs.NodeRegisterMsg, registration(i, 5)).Data, 20*time.Second)
			futures[-i-1] = r.Apply(entry(t, 0, structs.NodeDeregisterMsg, &structs.NodeDeregisterRequest{NodeID: uuid(10_000 + i)}).Data, 20*time.Second)
		}
		for i, fu := range futures {
			if err := fu.Error(); err != nil {
				t.Fatal(err)
			}
			if res, _ := fu.Response().(error); i >= 0 && res != nil || i < 0 && !errors.Is(res, structs.ErrNodeNotFound) {
				t.Errorf("proposal %d: %v", i, fu.Response())
			}
		}
	}
	propose(0, 200)
	if err := r.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	propose(200, 250)
	if err := r.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}

	restored := 0
	second := New(Config{OnRestore: func(RestoreReport) { restored++ }, OnFatal: func(err error) { t.Error(err) }})
	r = startRaft(t, second, store, snaps)
	if err := r.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
	if restored != 1 || second.State().NodeCount() != 250 {
		t.Errorf("%d restores, %d nodes", restored, second.State().NodeCount())
	}
	sameState(t, "after a restart", first, second)
}
