//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	fleetSize = 200
	lateNodes = 50
	// shortTTL makes nodes renew about every 20 s.
	shortTTL = 30 * time.Second
	// fastHeartbeats are every two to four seconds for a fleet of that size.
	fastHeartbeats = "min_heartbeat_ttl = \"2s\"\nmax_heartbeats_per_second = 1000\nheartbeat_grace = \"10s\""
)

// The leader is lost while a fleet heartbeats and more nodes come. Nobody is marked down, everybody goes on renewing, and what
// was acknowledged is there.
func TestKillingTheLeaderCostsNoNodeAndNoRegistration(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, fastHeartbeats)
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	newPool(t, ctx, leader.API, "short", shortTTL)
	fleet := newFleet(t, ctx, c, dir+"/fleet", FleetAdd{Count: fleetSize, Pool: "short", Servers: c.RPCAddrs()})

	watcher := c.Followers(leader)[0]
	stop := watchDown(ctx, watcher.API)
	must(t, fleet.Add(FleetAdd{Count: lateNodes, Pool: "short", Servers: c.RPCAddrs()}))
	must(t, leader.Kill())
	killed := time.Now()
	before, err := fleet.Status(ctx)
	must(t, err)

	next, err := c.WaitLeader(ctx)
	must(t, err)
	t.Logf("%s leads %s after %s was killed", next.Name, time.Since(killed).Round(time.Millisecond), leader.Name)
	eventually(t, ctx, "get the fleet healthy without the old leader", time.Minute, func(ctx context.Context) error {
		return fleet.healthy(ctx, fleetSize+lateNodes)
	})
	renewedSince(t, ctx, fleet, killed, fleetSize+lateNodes)

	list, err := nodes(ctx, next.API)
	must(t, err)
	after, err := fleet.Status(ctx)
	must(t, err)
	for _, id := range append(before.Registered, after.Registered...) {
		if list[id] == nil {
			t.Errorf("node %s was told that it is registered, and is not", id)
		}
	}
	for id, n := range list {
		if n.Status != structs.NodeStatusReady {
			t.Errorf("node %s is %s", id, n.Status)
		}
	}
	must(t, stop())
	noneMissed(t, ctx, next.API, list)

	// The lost server comes back and catches up.
	must(t, leader.Start())
	must(t, c.WaitVoters(ctx))
	eventually(t, ctx, "let the old leader catch up", 30*time.Second, func(ctx context.Context) error {
		stale, err := nodesWith(ctx, leader.API, &api.QueryOptions{AllowStale: true})
		if err == nil && len(stale) != len(list) {
			err = fmt.Errorf("it knows %d of %d nodes", len(stale), len(list))
		}
		return err
	})
	if after.Failures > before.Failures {
		t.Logf("%d heartbeats failed and were repeated", after.Failures-before.Failures)
	}
}

// watchDown looks at all nodes, again and again, until the returned function is called, which reports any that was down.
func watchDown(ctx context.Context, a *api.Client) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	result := make(chan error, 1)
	go func() {
		looks := 0
		never := errors.New("watched")
		err := Eventually(ctx, "watch nodes", testLimit, func(ctx context.Context) error {
			list, err := nodesWith(ctx, a, &api.QueryOptions{AllowStale: true})
			if err != nil {
				return err
			}
			looks++
			for id, n := range list {
				if n.Status == structs.NodeStatusDown {
					return Final(fmt.Errorf("node %s is down", id))
				}
			}
			return never
		})
		if looks > 0 && (errors.Is(err, never) || errors.Is(err, context.Canceled)) {
			err = nil
		}
		result <- err
	}()
	return func() error {
		cancel()
		return <-result
	}
}

// noneMissed fails if any node's history tells of a missed heartbeat.
func noneMissed(t *testing.T, ctx context.Context, a *api.Client, list map[string]*structs.NodeListStub) {
	t.Helper()
	for id := range list {
		res, err := a.Node(ctx, id, nil)
		must(t, err)
		for _, e := range res.Value.Events {
			if e.Message == structs.NodeHeartbeatMissedEvent {
				t.Errorf("node %s missed a heartbeat at %s", id, e.Timestamp)
			}
		}
	}
}

// renewedSince waits until each of count nodes holds an identity issued after the time.
func renewedSince(t *testing.T, ctx context.Context, f *Fleet, since time.Time, count int) {
	t.Helper()
	eventually(t, ctx, "renew every identity", 2*shortTTL, func(context.Context) error {
		held := f.Held()
		renewed := 0
		for id, token := range held {
			if time.Now().After(token.Expiry) {
				return Final(fmt.Errorf("node %s let its identity expire at %s", id, token.Expiry))
			}
			if token.IssuedAt.After(since) {
				renewed++
			}
		}
		if renewed != count {
			return fmt.Errorf("%d of %d nodes have renewed", renewed, count)
		}
		return nil
	})
}

// With one server of three left, writes are refused soon and clearly, and whoever accepts stale answers gets them.
func TestWithoutAQuorumWritesAreRefusedAndStaleReadsServed(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, fastHeartbeats)
	a := newAgents(t, c, AgentConfig{Name: "node-1"})[0]
	n, err := a.WaitReady(ctx, 30*time.Second, c.Servers[0].API)
	must(t, err)
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	last, gone := c.Followers(leader)[0], []*Server{leader, c.Followers(leader)[1]}
	newPool(t, ctx, leader.API, "before", time.Hour)
	eventually(t, ctx, "replicate to "+last.Name, 10*time.Second, func(ctx context.Context) error {
		_, err := last.API.NodePool(ctx, "before", &api.QueryOptions{AllowStale: true})
		return err
	})
	for _, s := range gone {
		must(t, s.Stop(ctx))
	}

	const inTime = 15 * time.Second
	start := time.Now()
	err = last.API.ApplyNodePool(ctx, &structs.NodePool{Name: "during"}, nil)
	if took := time.Since(start); took > inTime {
		t.Errorf("the write was refused after %s, want %s at most", took, inTime)
	}
	if !errors.Is(err, structs.ErrNoLeader) {
		t.Errorf("write without a quorum: got %v, want one that says there is no leader", err)
	}
	start = time.Now()
	if _, err := nodes(ctx, last.API); !errors.Is(err, structs.ErrNoLeader) {
		t.Errorf("read without a quorum: got %v, want one that says there is no leader", err)
	}
	if took := time.Since(start); took > inTime {
		t.Errorf("the read was refused after %s, want %s at most", took, inTime)
	}
	list, err := nodesWith(ctx, last.API, &api.QueryOptions{AllowStale: true})
	must(t, err)
	if list[n.ID] == nil {
		t.Errorf("stale read shows the nodes %v, want %s among them", list, n.ID)
	}
	// Identities stay verifiable.
	token, err := a.Identity()
	must(t, err)
	parsed, err := ParseToken(token)
	must(t, err)
	keys, err := last.PublishedKeys(ctx)
	must(t, err)
	if keys[parsed.KeyID] == "" {
		t.Errorf("the server left publishes the keys %v, want %s among them", keys, parsed.KeyID)
	}

	for _, s := range gone {
		must(t, s.Start())
	}
	leader, err = c.WaitLeader(ctx)
	must(t, err)
	newPool(t, ctx, leader.API, "after", time.Hour)
	pools, err := last.API.NodePools(ctx, nil)
	must(t, err)
	var names []string
	for _, p := range pools.Value {
		names = append(names, p.Name)
	}
	if got := strings.Join(names, " "); got != "after all before default" {
		t.Errorf("pools afterwards: %s, want: after all before default", got)
	}
	_, err = a.WaitReady(ctx, time.Minute, last.API)
	must(t, err)
	noneMissed(t, ctx, leader.API, list)
}

// All servers are restarted at once, as after a power cut.
func TestRestartingEveryServerLosesNothing(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, fastHeartbeats)
	fleet := newFleet(t, ctx, c, dir+"/fleet", FleetAdd{Count: 20, Servers: c.RPCAddrs()})
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	newPool(t, ctx, leader.API, "kept", time.Hour)
	before, err := nodes(ctx, leader.API)
	must(t, err)
	key, err := activeKey(ctx, leader.API)
	must(t, err)
	for _, s := range c.Servers {
		must(t, s.Kill())
	}
	restarted := time.Now()
	must(t, c.Start(ctx))
	t.Logf("a leader was there after %s", time.Since(restarted).Round(time.Millisecond))

	eventually(t, ctx, "get the fleet healthy again", time.Minute, func(ctx context.Context) error { return fleet.healthy(ctx, 20) })
	after, err := nodes(ctx, c.Servers[0].API)
	must(t, err)
	for id, n := range before {
		switch {
		case after[id] == nil:
			t.Errorf("node %s is gone", id)
		case after[id].CreateIndex != n.CreateIndex:
			t.Errorf("node %s was created at index %d and now at %d", id, n.CreateIndex, after[id].CreateIndex)
		case after[id].Status != structs.NodeStatusReady:
			t.Errorf("node %s is %s", id, after[id].Status)
		}
	}
	if _, err := c.Servers[0].API.NodePool(ctx, "kept", nil); err != nil {
		t.Errorf("pool made before the restart: %v", err)
	}
	again, err := activeKey(ctx, c.Servers[0].API)
	must(t, err)
	if again.KeyID != key.KeyID {
		t.Errorf("active key is %s, was %s", again.KeyID, key.KeyID)
	}
	verifier, err := NewVerifier(ctx, c.Issuer)
	must(t, err)
	for _, token := range fleet.Held() {
		if _, err := verifier.Verify(ctx, token.Raw); err != nil {
			t.Errorf("identity from before the restart: %v", err)
		}
	}
}
