package server

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/rpc/transport"
)

// transportUnderTest is a strict transport with a fast path that says when it was used.
func transportUnderTest(t *testing.T) (trans *strictTransport, fast chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	layer := newStreamLayer(transport.New(transport.Config{RaftAddr: testAddr(t)}).RaftLayer(), hclog.NewNullLogger())
	inner := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: layer, MaxPool: 1, Timeout: time.Second})
	t.Cleanup(func() { _ = inner.Close() })
	fast = make(chan struct{}, 10)
	return newStrictTransport(ctx, inner, func(*raft.AppendEntriesRequest) error { return nil }), fast
}

func TestHeartbeatsTakeTheFastPathOnlyWhileASnapshotIsInstalled(t *testing.T) {
	trans, used := transportUnderTest(t)
	fast := func(rpc raft.RPC) {
		used <- struct{}{}
		rpc.Respond(&raft.AppendEntriesResponse{}, nil)
	}
	// beat sends a heartbeat and returns where its answer comes.
	beat := func() chan raft.RPCResponse {
		answer := make(chan raft.RPCResponse, 1)
		go trans.heartbeat(raft.RPC{Command: &raft.AppendEntriesRequest{}, RespChan: answer}, fast)
		return answer
	}
	onLoop := func() {
		t.Helper()
		answer := beat()
		rpc := <-trans.Consumer()
		rpc.Respond(&raft.AppendEntriesResponse{}, nil)
		<-answer
		if len(used) != 0 {
			t.Fatal("a heartbeat took the fast path with nothing in its way")
		}
	}
	onLoop()

	for range 2 {
		in := make(chan raft.RPC)
		go trans.forward(in)
		waiting := beat() // it was there first, and must not wait for the snapshot either
		installed := make(chan raft.RPCResponse, 1)
		in <- raft.RPC{Command: &raft.InstallSnapshotRequest{}, RespChan: installed}
		var install raft.RPC
		for install.Command == nil {
			switch rpc := <-trans.Consumer(); rpc.Command.(type) {
			case *raft.InstallSnapshotRequest:
				install = rpc
			default: // the heartbeat may have come first after all
				rpc.Respond(&raft.AppendEntriesResponse{}, nil)
			}
		}
		<-waiting
		for len(used) > 0 {
			<-used
		}
		<-beat()
		if len(used) != 1 {
			t.Fatalf("%d heartbeats took the fast path while a snapshot was installed, want 1", len(used))
		}
		<-used
		install.Respond(&raft.InstallSnapshotResponse{Success: true}, nil)
		<-installed
		eventually(t, "the end of the installation", func() error {
			select {
			case <-trans.installing():
				return context.DeadlineExceeded
			default:
				return nil
			}
		})
		onLoop()
	}
}

// testAddr is an address that nobody listens on.
func testAddr(t *testing.T) net.Addr {
	t.Helper()
	ln := listen(t)
	defer ln.Close()
	return ln.Addr()
}
