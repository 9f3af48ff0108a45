package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-uuid"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// attributes is how many a node reports beside the few that servers look at, as a real agent's fingerprint does.
const attributes = 40

// fleet is a number of simulated nodes and the identities they hold.
type fleet struct {
	region string
	nodes  []*structs.Node
	locks  []sync.Mutex // one a node: like a real one, it makes one call at a time
	tokens []string     // guarded by locks
}

func newFleet(region string, n int) (*fleet, error) {
	f := &fleet{region: region, nodes: make([]*structs.Node, n), locks: make([]sync.Mutex, n), tokens: make([]string, n)}
	for i := range f.nodes {
		id, err := uuid.GenerateUUID()
		if err != nil {
			return nil, err
		}
		secret, err := uuid.GenerateUUID()
		if err != nil {
			return nil, err
		}
		attrs := map[string]string{
			structs.AttrNomadVersion: "2.0.5", "kernel.name": "linux", "cpu.arch": "amd64", "os.name": "debian",
		}
		for j := range attributes {
			attrs[fmt.Sprintf("unique.attr.%d", j)] = fmt.Sprintf("value-%d-%d", i, j)
		}
		f.nodes[i] = &structs.Node{
			ID: id, SecretID: secret, Datacenter: "dc1", Name: fmt.Sprintf("node-%d", i), NodeClass: "bench",
			Attributes: structs.NewStringMap(attrs), Meta: structs.NewStringMap(map[string]string{"rack": fmt.Sprint(i % 40)}), Status: structs.NodeStatusInit,
		}
	}
	return f, nil
}

func (f *fleet) write(i int) structs.WriteRequest {
	return structs.WriteRequest{Region: f.region, AuthToken: f.tokens[i]}
}

// register registers node i; it must come back with an identity.
func (f *fleet) register(ctx context.Context, call caller, i int) error {
	f.locks[i].Lock()
	defer f.locks[i].Unlock()
	req := &structs.NodeRegisterRequest{Node: f.nodes[i], WriteRequest: f.write(i)}
	var reply structs.NodeUpdateResponse
	if err := call(ctx, "Node.Register", req, &reply); err != nil {
		return err
	}
	return f.keep(i, &reply, true)
}

// heartbeat reports node i ready. wantIdentity says whether one must come back.
func (f *fleet) heartbeat(ctx context.Context, call caller, i int, wantIdentity bool) error {
	f.locks[i].Lock()
	defer f.locks[i].Unlock()
	req := &structs.NodeUpdateStatusRequest{
		NodeID: f.nodes[i].ID, Status: structs.NodeStatusReady, ForceIdentityRenewal: wantIdentity, WriteRequest: f.write(i),
	}
	var reply structs.NodeUpdateResponse
	if err := call(ctx, "Node.UpdateStatus", req, &reply); err != nil {
		return err
	}
	return f.keep(i, &reply, wantIdentity)
}

func (f *fleet) keep(i int, reply *structs.NodeUpdateResponse, want bool) error {
	if got := reply.SignedIdentity != nil; got != want {
		return fmt.Errorf("node %s: identity in the reply: %t, want %t", f.nodes[i].ID, got, want)
	}
	if reply.SignedIdentity != nil {
		f.tokens[i] = *reply.SignedIdentity
	}
	return nil
}

// caller makes one call on one server.
type caller func(ctx context.Context, method string, args, reply any) error

// result is one phase's outcome.
type result struct {
	Phase     string  `json:"phase"`
	Nodes     int     `json:"nodes"`
	Calls     int     `json:"calls"`
	Errors    int64   `json:"errors"`
	PerSecond float64 `json:"per_second"`
	P50Ms     float64 `json:"p50_ms"`
	P99Ms     float64 `json:"p99_ms"`
	MaxMs     float64 `json:"max_ms"`
	FirstErr  string  `json:"first_error,omitempty"`
}

// drive makes calls with the given number of callers, each with one call in flight, spread over the servers.
func drive(ctx context.Context, phase string, addrs []string, pools []*transport.Pool, callers, nodes, calls int, one func(context.Context, caller, int) error) result {
	latencies := make([]time.Duration, calls)
	var next, failures atomic.Int64
	var firstErr atomic.Pointer[string]
	var wg sync.WaitGroup
	began := time.Now()
	for w := range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			addr, pool := addrs[w%len(addrs)], pools[w%len(pools)]
			call := func(ctx context.Context, method string, args, reply any) error {
				return pool.Call(ctx, addr, method, args, reply)
			}
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= calls {
					return
				}
				t := time.Now()
				if err := one(ctx, call, i%nodes); err != nil {
					failures.Add(1)
					text := err.Error()
					firstErr.CompareAndSwap(nil, &text)
				}
				latencies[i] = time.Since(t)
			}
		}()
	}
	wg.Wait()
	took := time.Since(began)
	slices.Sort(latencies)
	ms := func(q float64) float64 {
		return float64(latencies[min(int(q*float64(calls)), calls-1)].Microseconds()) / 1000
	}
	r := result{
		Phase: phase, Nodes: nodes, Calls: calls, Errors: failures.Load(), PerSecond: float64(calls) / took.Seconds(),
		P50Ms: ms(0.5), P99Ms: ms(0.99), MaxMs: ms(1),
	}
	if text := firstErr.Load(); text != nil {
		r.FirstErr = *text
	}
	return r
}
