//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/e2e/wire"
)

const (
	scriptedNode   = "5e3a1c70-7d0c-4a4b-9c1e-0f6f0e1d2c3b"
	scriptedSecret = "0d9c8b7a-6f5e-4d3c-8b2a-190817263544"
)

func newActor(t *testing.T, c *Cluster) *actor {
	a := &actor{t: t, http: c.Servers[0].HTTP, vars: map[string]any{"node": scriptedNode, "secret": scriptedSecret, "none": ""}}
	t.Cleanup(a.close)
	return a
}

// registered is a registration's answer; every key of docs/wire.md §2.3 is there.
func registered(identity any) wire.Map {
	return wire.Map{
		"HeartbeatTTL": some, "EvalIDs": check(func(any) error { return nil }), "EvalCreateIndex": zero, "NodeModifyIndex": some, "Features": zero,
		"LeaderRPCAddr": some, "NumNodes": some, "Servers": servers(3), "SchedulingEligibility": "eligible", "SignedIdentity": identity, "Index": some,
		"LastContact": check(func(any) error { return nil }), "KnownLeader": true, "NextToken": "",
	}
}

// steady is the answer to a heartbeat that changes nothing: with an index in it, the agent would say that it missed one.
func steady(identity any) wire.Map {
	return wire.Map{"HeartbeatTTL": some, "NodeModifyIndex": zero, "Servers": servers(3), "LeaderRPCAddr": some, "SignedIdentity": identity, "Index": zero}
}

// servers wants that many, each with its address.
func servers(n int) check {
	return func(v any) error {
		list, _ := v.([]any)
		if len(list) != n {
			return fmt.Errorf("has %d servers, want %d", len(list), n)
		}
		for _, s := range list {
			m, _ := s.(wire.Map)
			if addr, _ := m["RPCAdvertiseAddr"].(string); !strings.HasPrefix(addr, "127.0.0.1:") || m["Datacenter"] != "dc1" || len(m) != 4 {
				return fmt.Errorf("has the server %v", s)
			}
		}
		return nil
	}
}

// life is what a client agent of 2.0 does from its first start on, exchange by exchange.
func life() []step {
	return []step{
		{
			say: "a machine that nobody knows registers with an empty token", method: "Node.Register", args: registration(newNode("2.0.5"), ""),
			want: registered(some), keep: map[string]string{"identity": "SignedIdentity"},
		},
		{
			say: "it registers again, as its fingerprint has changed", method: "Node.Register", args: registration(newNode("2.0.5"), "$identity"),
			want: registered(nil),
		},
		{
			say: "the first heartbeat makes it ready", method: "Node.UpdateStatus", args: heartbeat("$identity", false),
			want: wire.Map{"Index": some, "NodeModifyIndex": some, "SignedIdentity": nil, "Servers": servers(3)},
		},
		{say: "heartbeats from then on change nothing", method: "Node.UpdateStatus", args: heartbeat("$identity", false), want: steady(nil)},
		{
			say: "it asks for allocations", method: "Node.GetClientAllocs",
			args: query("$identity", wire.Map{"NodeID": "$node", "SecretID": "$secret", "AllowStale": true}),
			want: wire.Map{"Index": some, "Allocs": check(empty), "MigrateTokens": check(empty)}, keep: map[string]string{"allocs": "Index"},
		},
		{
			say: "it asks again, and the answer is held for the whole wait", method: "Node.GetClientAllocs",
			args: query("$identity", wire.Map{
				"NodeID": "$node", "SecretID": "$secret", "AllowStale": true, "MinQueryIndex": "$allocs", "MaxQueryTime": 2 * time.Second,
			}),
			want: wire.Map{"Allocs": check(empty)}, held: 2 * time.Second, wait: 3 * time.Second,
		},
		{
			say: "it tells of what its drivers do", method: "Node.EmitEvents", args: change("$identity", wire.Map{"NodeEvents": wire.Map{"$node": []any{wire.Map{
				"Message": "Driver is healthy", "Subsystem": "Driver", "Details": wire.Map{"driver": "exec"}, "Timestamp": seen, "CreateIndex": uint64(0),
			}}}}),
			want: wire.Map{"Index": some},
		},
		{
			say: "it may not tell of another node", method: "Node.EmitEvents", args: change("$identity", wire.Map{"NodeEvents": wire.Map{
				"148438ec-3434-7267-ff64-1e0030166023": []any{wire.Map{"Message": "x", "Subsystem": "Driver", "Details": nil, "Timestamp": seen, "CreateIndex": uint64(0)}},
			}}), err: "Permission denied",
		},
		{say: "it has no allocations to get", method: "Alloc.GetAllocs", args: query("$identity", wire.Map{"AllocIDs": []any{}}), want: wire.Map{"Index": some}},
		{say: "it looks whether a server is there", method: "Status.Ping", args: query("$identity", wire.Map{"Region": ""}), want: wire.Map{}},
		{say: "it calls what does not exist", method: "Status.Version", args: query("", nil), err: "rpc: can't find method Status.Version"},
		{say: "it calls a service that does not exist", method: "Nothing.Get", args: query("", nil), err: "rpc: can't find service Nothing.Get"},
		{say: "an operator forces a renewal, which reaches it", put: "/v1/client/identity/renew?node_id=$node", asked: "NodeIdentity.Renew"},
		{
			say: "its next heartbeat asks for a new identity", method: "Node.UpdateStatus", args: heartbeat("$identity", true),
			want: steady(some), keep: map[string]string{"renewed": "SignedIdentity"},
		},
		{say: "both identities are good", method: "Node.UpdateStatus", args: heartbeat("$identity", false), want: steady(nil)},
		{say: "so is the new one", method: "Node.UpdateStatus", args: heartbeat("$renewed", false), want: steady(nil)},
		{
			say: "it leaves, and drains itself before", method: "Node.UpdateDrain", args: change("$renewed", wire.Map{
				"NodeID": "$node", "MarkEligible": false, "NodeEvent": nil, "UpdatedAt": 0, "Meta": wire.Map{"message": "shutting down"}, "UpdatedBy": "",
				"DrainStrategy": wire.Map{"Deadline": time.Hour, "IgnoreSystemJobs": false, "ForceDeadline": time.Time{}, "StartedAt": time.Time{}},
			}),
			want: wire.Map{"NodeModifyIndex": some, "Index": some},
		},
		{
			say: "it sees that it is not eligible", method: "Node.GetNode", args: query("$renewed", wire.Map{"NodeID": "$node", "SecretID": "$secret"}),
			want: wire.Map{"Index": some, "Node": wire.Map{"SchedulingEligibility": "ineligible", "SecretID": ""}},
		},
		{say: "an operator removes it", put: "/v1/node/$node/purge"},
		{say: "its heartbeat says so", method: "Node.UpdateStatus", args: heartbeat("$renewed", false), err: "node not found"},
		{
			say: "it registers again, with the identity that it has", method: "Node.Register", args: registration(newNode("2.0.5"), "$renewed"),
			want: registered(check(func(any) error { return nil })),
		},
		{
			say: "with credentials that nobody knows it is refused", method: "Node.Register",
			args: registration(newNode("2.0.5"), "11111111-2222-4333-8444-555555555555"), err: "Permission denied",
		},
		{
			say: "so it tries once more with an empty token, and its secret is enough", method: "Node.Register", args: registration(newNode("2.0.5"), ""),
			want: registered(some),
		},
		{say: "another secret is not", method: "Node.Register", args: stranger(), err: "node secret ID does not match"},
	}
}

// stranger registers under the ID of the scripted node.
func stranger() wire.Map {
	n := newNode("2.0.5")
	n["SecretID"] = "99999999-6f5e-4d3c-8b2a-190817263544"
	return registration(n, "")
}

func empty(v any) error {
	if m, ok := v.(wire.Map); v != nil && (!ok || len(m) > 0) {
		return fmt.Errorf("is %v, want nothing in it", v)
	}
	return nil
}

// A client agent of 2.0 lives its life on raw sockets, through a follower.
func TestTheLifeOfAClientAgentByteByByte(t *testing.T) {
	ctx, dir := scenario(t)
	c := newPlainCluster(t, ctx, dir, 3, "")
	must(t, c.WaitVoters(ctx))
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	a := newActor(t, c)
	must(t, a.connect(ctx, c.Followers(leader)[0].RPC))
	a.play(ctx, life())
}

// The kinds of connections of before are understood, too.
func TestConnectionsOfBeforeAreUnderstood(t *testing.T) {
	ctx, dir := scenario(t)
	c := newPlainCluster(t, ctx, dir, 1, "")
	plain, err := wire.DialPlain(ctx, c.Servers[0].RPC)
	must(t, err)
	defer plain.Close()
	session, err := wire.DialV1(ctx, c.Servers[0].RPC)
	must(t, err)
	defer session.Close()
	stream, err := session.Stream()
	must(t, err)
	for name, s := range map[string]*wire.Stream{"one conversation": plain, "the first multiplexed form": stream} {
		a := newActor(t, c)
		a.stream = s
		want := registered(some)
		want["Servers"] = servers(1)
		a.play(ctx, []step{
			{say: name + ": a ping", method: "Status.Ping", args: query("", wire.Map{"Region": ""}), want: wire.Map{}},
			{say: name + ": a registration", method: "Node.Register", args: registration(newNode("2.0.5"), ""), want: want},
		})
	}
}

// A client agent goes on with what it has when the leader dies and when servers are started anew.
func TestAClientAgentSurvivesALeaderChangeAndRestarts(t *testing.T) {
	ctx, dir := scenario(t)
	c := newPlainCluster(t, ctx, dir, 3, "")
	must(t, c.WaitVoters(ctx))
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	follower := c.Followers(leader)[0]
	a := newActor(t, c)
	a.http = follower.HTTP
	must(t, a.connect(ctx, follower.RPC))
	a.play(ctx, life()[:4])

	must(t, leader.Kill())
	// A server without a leader holds the call, then says so; agents try again.
	goesOn := func(what string) {
		t.Helper()
		eventually(t, ctx, what, formTime, func(ctx context.Context) error {
			s := step{say: what, method: "Node.UpdateStatus", args: heartbeat("$identity", false), want: wire.Map{"SignedIdentity": nil, "Servers": some}}
			err := a.do(ctx, s)
			if err != nil {
				err = errors.Join(err, a.connect(ctx, follower.RPC))
			}
			return err
		})
	}
	goesOn("a heartbeat under another leader")
	must(t, leader.Start())
	_, err = c.WaitLeader(ctx)
	must(t, err)

	must(t, follower.Stop(ctx))
	must(t, follower.Start())
	eventually(t, ctx, "connect again", formTime, func(ctx context.Context) error { return a.connect(ctx, follower.RPC) })
	goesOn("a heartbeat at a server that was started anew")
	a.play(ctx, []step{
		{say: "the server reaches it over the new session", put: "/v1/client/identity/renew?node_id=$node", asked: "NodeIdentity.Renew"},
		{say: "it renews", method: "Node.UpdateStatus", args: heartbeat("$identity", true), want: wire.Map{"SignedIdentity": some}},
	})
	var shown []struct{ ID, Status, SchedulingEligibility string }
	status := func() string {
		commandOK(t, ctx, c, &shown, "node", "status", "-json", "-address", follower.HTTP)
		if len(shown) != 1 || shown[0].ID != scriptedNode {
			t.Fatalf("node status shows %+v", shown)
		}
		return shown[0].Status + ", " + shown[0].SchedulingEligibility
	}
	if got := status(); got != "ready, eligible" {
		t.Errorf("node status shows %s", got)
	}
	commandOK(t, ctx, c, nil, "node", "drain", "-enable", "-yes", "-address", follower.HTTP, scriptedNode)
	if got := status(); got != "ready, ineligible" {
		t.Errorf("drained, node status shows %s", got)
	}
	a.play(ctx, []step{{say: "it goes on while it is drained", method: "Node.UpdateStatus", args: heartbeat("$identity", false), want: wire.Map{"SignedIdentity": nil, "Servers": some}}})
}
