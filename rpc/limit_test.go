package rpc

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

func TestOverloadIsRefusedAndPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWorld(t, func(c *Config) { c.MaxInFlight, c.MaxBlocking = 3, 2 })
		w.join(1)
		for round := range 2 {
			gate := make(chan struct{})
			w.raft.before = func(structs.MessageType) error { <-gate; return nil }
			results := make(chan error, 3)
			for _, n := range strangers(w, 3) {
				go func() {
					_, err := w.register(testNode(n), "")
					results <- err
				}()
			}
			synctest.Wait()
			_, err := w.register(testNode(5000), "")
			wantError(t, err, structs.ErrOverloaded)
			wantCode(t, err, 429)
			_, err = call[structs.NodeListResponse](w, "Node.List", list())
			wantCode(t, err, 429)

			ctx, cancel := context.WithCancel(t.Context())
			waits := []*waiting[structs.NodeListResponse]{}
			for range 2 { // what waits is counted by itself
				waits = append(waits, wait[structs.NodeListResponse](ctx, w, "Node.List", &structs.NodeListRequest{QueryOptions: blocking(1e9, time.Hour)}))
			}
			_, err = call[structs.NodeListResponse](w, "Node.List", &structs.NodeListRequest{QueryOptions: blocking(1e9, time.Hour)})
			wantCode(t, err, 429)
			cancel()
			for _, q := range waits {
				if <-q.done; !errors.Is(q.err, context.Canceled) {
					t.Errorf("round %d: a wait within the bound ended with %v", round, q.err)
				}
			}
			close(gate)
			for range 3 {
				if err := <-results; err != nil {
					t.Errorf("round %d: a call within the bound: %v", round, err)
				}
			}
			w.raft.before = nil
			must(w.register(testNode(5000), ""))(t)
		}
		if a, b := w.srv.limits.acting.now.Load(), w.srv.limits.blocking.now.Load(); a != 0 || b != 0 {
			t.Errorf("%d and %d calls are still counted", a, b)
		}
		if a, b := w.metrics.count("limits.rpc_calls_refused"), w.metrics.count("limits.rpc_blocking_refused"); a != 4 || b != 2 {
			t.Errorf("counted %d calls and %d waits that were refused, want 4 and 2", a, b)
		}
	})
}

// strangers are nodes that don't share a lock, on which a bubble of synctest can't wait.
func strangers(w *world, count int) (nodes []int) {
	taken := map[*sync.Mutex]bool{}
	for n := 10; len(nodes) < count; n++ {
		if mu := w.srv.nodeLocks.of(nodeID(n)); !taken[mu] {
			taken[mu] = true
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func TestRequestsThatAreNot(t *testing.T) {
	body := func(v any) []byte {
		b, err := structs.EncodeBytes(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	big := testNode(1)
	big.Attributes = big.Attributes.With("x", strings.Repeat("x", 1<<20))
	deep := append(bytes.Repeat([]byte{0x91}, 500), 0xc0)
	cases := []struct {
		name, method string
		body         []byte
		code         int
		text         string
	}{
		{"nothing", "Node.Register", nil, 400, "Node.Register: decode request"},
		{"half of a request", "Node.Register", body(&structs.NodeRegisterRequest{Node: testNode(1), WriteRequest: write("")})[:200], 400, "decode request"},
		{"a number", "Node.Register", body(7), 400, "decode request"},
		{"a string for the node", "Node.Register", body(map[string]any{"Node": "x", "Region": region}), 400, "decode request"},
		{"a string for a number", "Node.UpdateStatus", body(map[string]any{"NodeID": nodeID(1), "UpdatedAt": "soon"}), 400, "decode request"},
		{"a reserved byte", "Node.List", []byte{0xc1}, 400, "decode request"},
		{"a claim of 4 GiB", "Node.List", []byte{0xdb, 0xff, 0xff, 0xff, 0xff}, 400, "decode request"},
		{"a claim of 4 billion pairs", "Node.List", []byte{0xdf, 0xff, 0xff, 0xff, 0xff}, 400, "decode request"},
		{"deep nesting", "Node.List", deep, 400, "decode request"},
		{"a node of a megabyte", "Node.Register", body(&structs.NodeRegisterRequest{Node: big, WriteRequest: write("")}), 413, "is larger than 1048576"},
		{"a method that there is not", "Node.Explode", body(generic("")), 0, "rpc: can't find method Node.Explode"},
		{"a service that there is not", "Job.Register", body(generic("")), 0, "rpc: can't find service Job.Register"},
		{"a name without a service", "Node", body(generic("")), 0, "Node"},
		{"no name", "", body(generic("")), 0, ""},
		{"nil for a request", "Node.Register", []byte{0xc0}, 0, "missing region for target RPC"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			before := w.raft.count()
			_, err := w.srv.ServeRPC(t.Context(), nil, c.method, c.body)
			wantError(t, err, nil, c.text)
			if c.code != 0 {
				wantCode(t, err, c.code)
			}
			if w.raft.count() != before {
				t.Error("something was written")
			}
			if len(err.Error()) > 500 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestCallsInThisProcessCheckTheirTypes(t *testing.T) {
	w := newWorld(t)
	var out structs.NodeListResponse
	wantError(t, w.srv.RPC(t.Context(), "Node.List", &structs.GenericRequest{}, &out), nil, "argument is a *structs.GenericRequest, want a *structs.NodeListRequest")
	wantError(t, w.srv.RPC(t.Context(), "Node.List", list(), &structs.Empty{}), nil, "reply is a *structs.Empty, want a *structs.NodeListResponse")
	wantError(t, w.srv.RPC(t.Context(), "Node.Explode", list(), &out), nil, "can't find method")
	w.join(1)
	if err := w.srv.RPC(t.Context(), "Node.List", list(), &out); err != nil || len(out.Nodes) != 1 {
		t.Errorf("%d nodes, %v", len(out.Nodes), err)
	}
}

// What is passed on, or waits for a leader, is bounded by both bounds together.
func TestCallsThatArePassedOnAreBounded(t *testing.T) {
	m := &fakeMetrics{}
	l := newLimiter(&Config{MaxInFlight: 1, MaxBlocking: 1}, m)
	var releases []func()
	for range 2 {
		release, err := l.passing.acquire()
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	if _, err := l.passing.acquire(); !errors.Is(err, structs.ErrOverloaded) || m.count("limits.rpc_forwards_refused") != 1 {
		t.Errorf("one too many: %v, counted %d", err, m.count("limits.rpc_forwards_refused"))
	}
	for _, release := range releases {
		release()
	}
	if _, err := l.passing.acquire(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
