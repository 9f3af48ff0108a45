//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// thousand is the size of the fleet that is admitted at once.
const thousand = 1000

const (
	textDenied = "Permission denied"
	textSecret = "node secret ID does not match. Not registering node."
)

// introducedNodes describes nodes and their introductions, of four kinds in turn, and what each is to be once it is admitted:
// pool, class and datacenter.
func introducedNodes(prefix string, count int) (nodes []FleetNode, ins []api.Introduction, want map[string][3]string) {
	want = map[string][3]string{}
	const ttl = 10 * time.Minute // for slow machines
	for i := range count {
		n := FleetNode{Name: fmt.Sprintf("%s-%04d", prefix, i), Class: "own", Datacenter: "own"}
		in := api.Introduction{NodeName: n.Name, TTL: ttl}
		switch i % 4 {
		case 0: // the introduction decides everything, and the node says something else where it can
			in.NodePool, in.NodeClass, in.NodeDatacenter = "web", "metal", "dc7"
			want[n.Name] = [3]string{"web", "metal", "dc7"}
		case 1: // it names a pool that the node names, too
			n.Pool, in.NodePool = "edge", "edge"
			want[n.Name] = [3]string{"edge", "own", "own"}
		case 2: // it names a class
			in.NodePool, in.NodeClass = "edge", "vm"
			want[n.Name] = [3]string{"edge", "vm", "own"}
		case 3: // it names nothing, not even the node
			in.NodeName = ""
			want[n.Name] = [3]string{"default", "own", "own"}
		}
		nodes, ins = append(nodes, n), append(ins, in)
	}
	return nodes, ins, want
}

func TestAThousandIntroducedNodesAreAdmittedAndNobodyElse(t *testing.T) {
	ctx, dir := scenario(t)
	a := newAdmission(t, ctx, dir, "strict")
	late := a.introduce(t, ctx, api.Introduction{NodeName: "late", TTL: time.Second})[0]
	expiry := time.Now().Add(time.Second + structs.IdentityLeeway + 2*time.Second) // its times are whole seconds

	fleet, ins, want := introducedNodes("node", thousand)
	began := time.Now()
	for i, token := range a.introduce(t, ctx, ins...) {
		fleet[i].IntroToken = token
	}
	t.Logf("%d introductions were made in %s", thousand, time.Since(began).Round(time.Millisecond))
	other := a.introduce(t, ctx, api.Introduction{NodeName: "somebody", NodePool: "web"}, api.Introduction{NodePool: "web"})
	outsiders := []FleetNode{
		{Name: "stranger", Pool: "nowhere-1"},
		{Name: "impostor", IntroToken: other[0]},
		{Name: "elsewhere", Pool: "nowhere-2", IntroToken: other[1]},
		{Name: "forger", Pool: "nowhere-3", IntroToken: tampered(t, other[1], "nomad_node_pool", "nowhere-3")},
	}
	denied := map[string]string{}
	for _, n := range outsiders {
		denied[n.Name] = textDenied
	}

	began = time.Now()
	a.add(t, slices.Concat(outsiders, fleet)...)
	eventually(t, ctx, "admit all", 2*time.Minute, func(ctx context.Context) error { return a.fleet.healthy(ctx, thousand) })
	a.allReady(t, ctx, thousand)
	t.Logf("%d nodes were admitted, ready and with an identity, in %s", thousand, time.Since(began).Round(time.Millisecond))
	a.refused(t, ctx, denied)
	admitted := a.names(t, ctx)
	a.wantNodes(t, ctx, admitted, want)

	// Those who come later: with an introduction that has expired, and as a node that exists.
	taken := admitted[fleet[0].Name]
	must(t, os.MkdirAll(filepath.Join(a.dir, "thief"), 0o700))
	must(t, os.WriteFile(filepath.Join(a.dir, "thief", "client-id"), []byte(taken.ID), 0o600))
	eventually(t, ctx, "let an introduction expire", 2*time.Minute, func(context.Context) error {
		if time.Now().Before(expiry) {
			return fmt.Errorf("it is good until %s", expiry)
		}
		return nil
	})
	a.add(t, FleetNode{Name: "late", Pool: "nowhere-4", IntroToken: late}, FleetNode{Name: taken.Name, Folder: "thief", IntroToken: fleet[0].IntroToken})
	denied["late"], denied["thief"] = textDenied, textSecret
	a.refused(t, ctx, denied)
	if diff := cmp.Diff(admitted, a.names(t, ctx)); diff != "" {
		t.Errorf("those who were refused have left something (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"all", "default", "edge", "web"}, a.pools(t, ctx)); diff != "" {
		t.Errorf("pools (-want +got):\n%s", diff)
	}
	a.toldOf(t, ctx, "strict", "true", "stranger", "impostor", "elsewhere", "late")
	a.comeBack(t, ctx, fleet, late, denied)
}

// wantNodes holds the nodes to what they are to be, in the record, in their identities and at every server.
func (a *admission) wantNodes(t *testing.T, ctx context.Context, list map[string]*structs.NodeListStub, want map[string][3]string) {
	t.Helper()
	got := map[string][3]string{}
	for name, n := range list {
		got[name] = [3]string{n.NodePool, n.NodeClass, n.Datacenter}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	a.allVerify(t, ctx, list)
	_, err := a.WaitSameState(ctx, true)
	must(t, err)
}

// toldOf fails unless log lines of that kind name each of the nodes in these folders and no other, and the metric has them all.
func (a *admission) toldOf(t *testing.T, ctx context.Context, enforcement, denied string, folders ...string) {
	t.Helper()
	a.named(t, enforcement, denied, folders...)
	if n := a.violations(t, ctx); n < len(folders) {
		t.Errorf("%d registrations without an introduction were counted, want %d at least", n, len(folders))
	}
}

// named fails unless log lines of that kind name each of the nodes in these folders and no other.
func (a *admission) named(t *testing.T, enforcement, denied string, folders ...string) {
	t.Helper()
	lines, leftOut := a.logged(t)
	named, want := map[string]bool{}, map[string]bool{}
	for _, v := range lines {
		if v.enforcement == enforcement && v.denied == denied {
			named[v.nodeID] = true
		}
	}
	for _, folder := range folders {
		id, err := a.idOf(folder)
		must(t, err)
		want[id] = true
	}
	if diff := cmp.Diff(want, named); diff != "" {
		t.Errorf("nodes that lines name (enforcement %s, denied %s, -want +got), among %d lines and %d left out:\n%s", enforcement, denied, len(lines), leftOut, diff)
	}
}

// comeBack restarts agents of nodes that were admitted, some of which have lost all but their ID and secret, and none of which
// has an introduction that is still good. They are the nodes that they were.
func (a *admission) comeBack(t *testing.T, ctx context.Context, fleet []FleetNode, expired string, denied map[string]string) {
	t.Helper()
	before, held := a.names(t, ctx), a.fleet.Held()
	again, kept := slices.Clone(fleet[:30]), map[string]bool{}
	var folders []string
	for _, n := range again {
		folders = append(folders, n.Name)
	}
	must(t, a.fleet.Stop(ctx, folders...))
	for i := range again {
		n := &again[i]
		n.IntroToken, n.Pool, n.Class, n.Datacenter = "", "elsewhere", "other", "other"
		switch i % 3 {
		case 0:
			kept[n.Name] = true
		case 1:
			must(t, os.Remove(filepath.Join(a.dir, n.Name, "state.db")))
		case 2:
			n.IntroToken = expired
			must(t, os.Remove(filepath.Join(a.dir, n.Name, "state.db")))
		}
	}
	a.add(t, again...)
	a.refused(t, ctx, denied)
	a.allReady(t, ctx, len(before))
	after, holds := a.names(t, ctx), a.fleet.Held()
	for _, n := range again {
		was, is := before[n.Name], after[n.Name]
		// What the introduction says stays, the rest is the node's own word: its pool always, class and datacenter if it named them.
		want := *was
		want.ModifyIndex, want.Address = is.ModifyIndex, is.Address
		if was.NodeClass == "own" {
			want.NodeClass = "other"
		}
		if was.Datacenter == "own" {
			want.Datacenter = "other"
		}
		if diff := cmp.Diff(&want, is); diff != "" {
			t.Errorf("%s has come back as another (-want +got):\n%s", n.Name, diff)
		}
		same := kept[n.Name] && want.NodeClass == was.NodeClass && want.Datacenter == was.Datacenter
		if got := held[was.ID].Raw == holds[is.ID].Raw; got != same {
			t.Errorf("%s (kept its identity: %t) holds the identity of before: %t, want %t", n.Name, kept[n.Name], got, same)
		}
	}
	a.allVerify(t, ctx, after)
	if !slices.Equal(slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after))) {
		t.Error("other nodes are there than before the restart")
	}
}
