//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// briefTTL makes nodes renew about every 30 s, and leaves them 15 s for that.
const briefTTL = 45 * time.Second

// The leader is killed three times while a fleet with short identities lives under strict enforcement and grows.
func TestAFleetUnderStrictEnforcementSurvivesLeaderKills(t *testing.T) {
	ctx, dir := scenario(t)
	a := newAdmission(t, ctx, dir, "strict")
	newPool(t, ctx, a.Servers[0].API, "brief", briefTTL)
	const first, more, kills = 120, 30, 3
	fleet, ins, want := introducedNodes("node", first+kills*more)
	for i := range fleet {
		fleet[i].Pool, ins[i].NodePool = "", "brief"
		is := want[fleet[i].Name]
		want[fleet[i].Name] = [3]string{"brief", is[1], is[2]}
	}
	for i, token := range a.introduce(t, ctx, ins...) {
		fleet[i].IntroToken = token
	}
	count := first
	a.add(t, fleet[:first]...)
	a.refused(t, ctx, nil)
	a.allReady(t, ctx, count)
	before := a.names(t, ctx)
	verified := verifyAlways(ctx, a.Issuer, a.fleet)

	var acknowledged, outside []string
	denied := map[string]string{}
	for round := range kills {
		leader, err := a.WaitLeader(ctx)
		must(t, err)
		stop := watchDown(ctx, a.Followers(leader)[0].API)
		stranger := FleetNode{Name: fmt.Sprintf("stranger-%d", round), Pool: "nowhere"}
		outside, denied[stranger.Name] = append(outside, stranger.Name), textDenied
		a.add(t, append([]FleetNode{stranger}, fleet[count:count+more]...)...)
		count += more
		must(t, a.fleet.Renew()) // which falls into the time without a leader for many
		acknowledged = append(acknowledged, a.killed(t, ctx, leader, count)...)
		must(t, stop())
	}
	killed := time.Now()
	a.refused(t, ctx, denied)
	renewedSince(t, ctx, a.fleet, killed, count)
	checked, err := verified()
	must(t, err)
	if checked <= count {
		t.Errorf("%d identities were verified, want more than one of each of %d nodes", checked, count)
	}

	a.allReady(t, ctx, count)
	a.lostNothing(t, ctx, acknowledged, before)
	a.named(t, "strict", "true", outside...)
	a.wantNodes(t, ctx, a.names(t, ctx), want)
	t.Logf("%d identities of %d nodes were verified", checked, count)
}

// lostNothing fails if a node was ever down, if one is missing that was told that it is registered, or if one of before was made anew.
func (a *admission) lostNothing(t *testing.T, ctx context.Context, acknowledged []string, before map[string]*structs.NodeListStub) {
	t.Helper()
	list, err := nodes(ctx, a.Servers[0].API)
	must(t, err)
	for _, id := range acknowledged {
		if list[id] == nil {
			t.Errorf("node %s was told that it is registered, and is not", id)
		}
	}
	after := a.names(t, ctx)
	for name, n := range before {
		if is := after[name]; is == nil || is.ID != n.ID || is.CreateIndex != n.CreateIndex {
			t.Errorf("%s was node %s of index %d, and is %+v", name, n.ID, n.CreateIndex, is)
		}
	}
	noneMissed(t, ctx, a.Servers[0].API, list)
}

// killed kills the leader, waits until another one leads and the fleet has count healthy nodes, and starts it again. It returns
// the IDs of the nodes that were told that they are registered before there was a new leader.
func (a *admission) killed(t *testing.T, ctx context.Context, leader *Server, count int) []string {
	t.Helper()
	must(t, leader.Kill())
	at := time.Now()
	status, err := a.fleet.Status(ctx)
	must(t, err)
	next, err := a.WaitLeader(ctx)
	must(t, err)
	t.Logf("%s leads %s after %s was killed", next.Name, time.Since(at).Round(time.Millisecond), leader.Name)
	eventually(t, ctx, "get the fleet healthy without "+leader.Name, time.Minute, func(ctx context.Context) error {
		return a.fleet.healthy(ctx, count)
	})
	must(t, leader.Start())
	_, err = a.WaitLeader(ctx)
	must(t, err)
	must(t, a.WaitVoters(ctx))
	return status.Registered
}
