package rpc

import (
	"context"
	"fmt"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/structs"
)

// newBenchWorld is a leader with n ready nodes of 44 attributes, and their identities.
func newBenchWorld(b *testing.B, n int) (w *world, tokens []string) {
	w = newWorld(b)
	w.srv.log = hclog.NewNullLogger()
	w.beats.quiet, w.raft.silent = true, true
	tokens = make([]string, n)
	for i := range n {
		reply, err := w.register(benchNode(i), "")
		if err != nil {
			b.Fatal(err)
		}
		tokens[i] = *reply.SignedIdentity
		w.setStatus(i, structs.NodeStatusReady)
	}
	return w, tokens
}

func benchNode(n int) *structs.Node {
	node := testNode(n)
	for i := range 42 {
		node.Attributes = node.Attributes.With(fmt.Sprintf("attribute.number.%d", i), fmt.Sprint("value ", i))
	}
	return node
}

// benchSizes runs a benchmark on a small and a large fleet, which is made once for all its rounds.
func benchSizes(b *testing.B, run func(b *testing.B, w *world, tokens []string)) {
	for _, n := range []int{1000, 50000} {
		var w *world
		var tokens []string
		b.Run(fmt.Sprintf("nodes=%d", n), func(inner *testing.B) {
			if w == nil {
				w, tokens = newBenchWorld(b, n)
			}
			inner.ReportAllocs()
			inner.ResetTimer()
			run(inner, w, tokens)
		})
	}
}

func statusBodies(b *testing.B, tokens []string, force bool) [][]byte {
	bodies := make([][]byte, min(len(tokens), 1000))
	for i := range bodies {
		n := i * (len(tokens) / len(bodies))
		body, err := structs.EncodeBytes(&structs.NodeUpdateStatusRequest{
			NodeID: nodeID(n), Status: structs.NodeStatusReady, ForceIdentityRenewal: force, WriteRequest: write(tokens[n])})
		if err != nil {
			b.Fatal(err)
		}
		bodies[i] = body
	}
	return bodies
}

// BenchmarkHeartbeat is a steady heartbeat on the leader: it must cost the same at any number of nodes.
func BenchmarkHeartbeat(b *testing.B) {
	benchSizes(b, func(b *testing.B, w *world, tokens []string) {
		bodies := statusBodies(b, tokens, false)
		before := w.raft.index
		b.ResetTimer()
		for i := range b.N {
			if _, err := w.srv.ServeRPC(context.Background(), nil, "Node.UpdateStatus", bodies[i%len(bodies)]); err != nil {
				b.Fatal(err)
			}
		}
		if w.raft.index != before {
			b.Fatal("a steady heartbeat was written")
		}
	})
}

// BenchmarkRenew is a forced renewal under the same key: a heartbeat and a signature.
func BenchmarkRenew(b *testing.B) {
	benchSizes(b, func(b *testing.B, w *world, tokens []string) {
		bodies := statusBodies(b, tokens, true)
		before := w.raft.index
		b.ResetTimer()
		for i := range b.N {
			if _, err := w.srv.ServeRPC(context.Background(), nil, "Node.UpdateStatus", bodies[i%len(bodies)]); err != nil {
				b.Fatal(err)
			}
		}
		if w.raft.index != before {
			b.Fatal("a renewal with the same key was written")
		}
	})
}

// BenchmarkRegister is a node's first registration with an identity, applied at once and without a disk.
func BenchmarkRegister(b *testing.B) {
	next := 1_000_000
	benchSizes(b, func(b *testing.B, w *world, _ []string) {
		for range b.N {
			b.StopTimer()
			next++
			body, err := structs.EncodeBytes(&structs.NodeRegisterRequest{Node: benchNode(next), WriteRequest: write("")})
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if _, err := w.srv.ServeRPC(context.Background(), nil, "Node.Register", body); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestSteadyHeartbeatIsCheap keeps the allocations of the hot path from creeping up unseen.
func TestSteadyHeartbeatIsCheap(t *testing.T) {
	w := newWorld(t)
	w.srv.log = hclog.NewNullLogger()
	w.beats.quiet = true
	token := w.join(1)
	body, err := structs.EncodeBytes(&structs.NodeUpdateStatusRequest{NodeID: nodeID(1), Status: structs.NodeStatusReady, WriteRequest: write(token)})
	if err != nil {
		t.Fatal(err)
	}
	got := testing.AllocsPerRun(1000, func() {
		if _, err := w.srv.ServeRPC(t.Context(), nil, "Node.UpdateStatus", body); err != nil {
			t.Fatal(err)
		}
	})
	if got > 25 {
		t.Errorf("%.0f allocations, more than 25", got)
	}
}
