//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// strangers are nodes without an introduction.
func strangers(prefix string, count int) (nodes []FleetNode, folders []string) {
	for i := range count {
		n := FleetNode{Name: fmt.Sprintf("%s-%02d", prefix, i), Pool: "default"}
		nodes, folders = append(nodes, n), append(folders, n.Name)
	}
	return nodes, folders
}

// A cluster goes up the ladder step by step, by restarts of one server after the other. Who is in stays in.
func TestTheLadderIsClimbedWithoutLosingANode(t *testing.T) {
	ctx, dir := scenario(t)
	a := newAdmission(t, ctx, dir, "none")
	const each = 40 // fewer than lines are written at once
	count := 0
	join := func(nodes ...FleetNode) {
		a.add(t, nodes...)
		count += len(nodes)
		a.refused(t, ctx, nil)
		a.allReady(t, ctx, count)
	}
	first, _ := strangers("before", each)
	join(first...)
	if lines, leftOut := a.logged(t); len(lines)+leftOut+a.violations(t, ctx) != 0 {
		t.Errorf("%d lines and %d violations where introductions do not matter", len(lines)+leftOut, a.violations(t, ctx))
	}

	a.enforce(t, ctx, "none", "warn", count)
	introduced, ins, _ := introducedNodes("known", 20)
	for i, token := range a.introduce(t, ctx, ins...) {
		introduced[i].IntroToken = token
	}
	second, folders := strangers("without", each)
	join(append(introduced, second...)...)
	a.toldOf(t, ctx, "warn", "false", folders...)
	// A registration whose answer was lost is repeated.
	if n, again := a.violations(t, ctx), strings.Count(a.fleet.Log(), "registration failed"); n < each || n > each+again {
		t.Errorf("%d violations were counted, want one for each of %d nodes, and for %d registrations that were repeated at most", n, each, again)
	}
	// A wrong introduction is worse than none.
	wrong := a.introduce(t, ctx, api.Introduction{NodeName: "somebody"})[0]
	a.add(t, FleetNode{Name: "impostor", IntroToken: wrong})
	a.refused(t, ctx, map[string]string{"impostor": textDenied})
	a.toldOf(t, ctx, "warn", "true", "impostor")
	must(t, a.fleet.Stop(ctx, "impostor"))

	before := a.names(t, ctx)
	a.enforce(t, ctx, "warn", "strict", count)
	refused := map[string]string{"too-late": textDenied}
	a.add(t, FleetNode{Name: "too-late"})
	renewAll(t, ctx, a.fleet, count)
	// Neither a restart of its agent nor the loss of its record keeps a node out that is in.
	must(t, a.fleet.Stop(ctx, first[0].Name, second[0].Name, introduced[0].Name))
	a.add(t, first[0], second[0], introduced[0])
	purged := second[1].Name
	a.purge(t, ctx, before[purged])
	a.refused(t, ctx, refused)
	a.toldOf(t, ctx, "strict", "true", "too-late")
	a.allReady(t, ctx, count)
	a.unchanged(t, ctx, before, purged)
}

// purge removes a node's record and waits until the node has brought it back.
func (a *admission) purge(t *testing.T, ctx context.Context, n *structs.NodeListStub) {
	t.Helper()
	if _, err := a.Servers[1].API.PurgeNode(ctx, n.ID, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, ctx, "see the purged node come back", time.Minute, func(ctx context.Context) error {
		is, err := a.Servers[0].API.Node(ctx, n.ID, nil)
		if err == nil && is.Value.CreateIndex == n.CreateIndex {
			err = fmt.Errorf("it is there since index %d, as before", n.CreateIndex)
		}
		return err
	})
}

// enforce takes the cluster from one rung to the next by restarting one server after the other, the leader last.
func (a *admission) enforce(t *testing.T, ctx context.Context, from, to string, count int) {
	t.Helper()
	leader, err := a.WaitLeader(ctx)
	must(t, err)
	for _, s := range append(a.Followers(leader), leader) {
		text, err := os.ReadFile(s.Config)
		must(t, err)
		setting := func(level string) string { return "enforcement = \"" + level + "\"" }
		if strings.Count(string(text), setting(from)) != 1 {
			t.Fatalf("%s does not say %s", s.Config, setting(from))
		}
		must(t, os.WriteFile(s.Config, []byte(strings.Replace(string(text), setting(from), setting(to), 1)), 0o600))
		must(t, s.Stop(ctx))
		must(t, s.Start())
		_, err = a.WaitLeader(ctx)
		must(t, err)
		must(t, a.WaitVoters(ctx))
	}
	eventually(t, ctx, "get the fleet healthy under "+to, time.Minute, func(ctx context.Context) error { return a.fleet.healthy(ctx, count) })
}

// unchanged fails unless the nodes are those of before, with records that were not made anew but for the node named, have never
// been missed, and hold identities that verify.
func (a *admission) unchanged(t *testing.T, ctx context.Context, before map[string]*structs.NodeListStub, anew string) {
	t.Helper()
	after := a.names(t, ctx)
	type record struct {
		ID, Pool, Class, Datacenter string
		Created                     uint64
	}
	records := func(list map[string]*structs.NodeListStub) map[string]record {
		out := map[string]record{}
		for name, n := range list {
			r := record{n.ID, n.NodePool, n.NodeClass, n.Datacenter, n.CreateIndex}
			if name == anew {
				r.Created = 0
			}
			out[name] = r
		}
		return out
	}
	if diff := cmp.Diff(records(before), records(after)); diff != "" {
		t.Errorf("nodes (-before +after):\n%s", diff)
	}
	a.allVerify(t, ctx, after)
	list, err := nodes(ctx, a.Servers[0].API)
	must(t, err)
	noneMissed(t, ctx, a.Servers[0].API, list)
}
