//go:build e2e

package sdk

import (
	"fmt"
	"strings"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"github.com/rollcall-id/rollcall/e2e"
)

const missing = "12345678-abcd-efab-cdef-123456789abc"

func TestNodes(t *testing.T) {
	nodes := client(t).Nodes()
	list, qm, err := nodes.List(nil)
	must(t, err)
	wantMeta(t, qm)
	stubs := map[string]*nomad.NodeListStub{}
	for _, n := range list {
		stubs[n.ID] = n
	}
	for id, want := range map[string]struct{ name, pool, class string }{
		world.edgeID: {"edge-1", pool, class}, world.plainID: {"plain-1", "default", ""},
	} {
		s := stubs[id]
		if s == nil {
			t.Fatalf("node %s is not in the list", id)
		}
		if s.Name != want.name || s.NodePool != want.pool || s.NodeClass != want.class || s.Datacenter != "dc1" || s.Status != "ready" ||
			s.Address != "127.0.0.1" || s.Drain || s.SchedulingEligibility != "eligible" || s.Version == "" {
			t.Errorf("listed as %+v", s)
		}
		n, qm, err := nodes.Info(id, nil)
		must(t, err)
		wantMeta(t, qm)
		if n.ID != id || n.Name != want.name || n.NodePool != want.pool || n.NodeClass != want.class || n.Datacenter != "dc1" ||
			n.Status != "ready" || n.Drain || n.DrainStrategy != nil || n.TLSEnabled || n.StatusUpdatedAt == 0 ||
			n.CreateIndex != s.CreateIndex || n.ModifyIndex < s.ModifyIndex || n.Attributes["nomad.version"] != s.Version {
			t.Errorf("shown as %+v", n)
		}
		if len(n.Events) == 0 || n.Events[0].Message != "Node registered" || n.Events[0].Subsystem != "Cluster" || n.Events[0].Timestamp.IsZero() {
			t.Errorf("events %+v", n.Events)
		}
	}
	_, _, err = nodes.Info(missing, nil)
	wantCode(t, err, 404, "node not found")
	allocs, _, err := nodes.Allocations(world.edgeID, nil)
	if err != nil || len(allocs) != 0 {
		t.Errorf("allocations %v, error %v", allocs, err)
	}
	volumes, err := nodes.CSIVolumes(world.edgeID, nil)
	if err != nil || len(volumes) != 0 {
		t.Errorf("volumes %v, error %v", volumes, err)
	}
}

func TestNodesByPrefixFilterAndResources(t *testing.T) {
	nodes := client(t).Nodes()
	for _, length := range []int{1, 4, 9, 14, 36} {
		found, _, err := nodes.PrefixList(world.edgeID[:length])
		must(t, err)
		ok := false
		for _, n := range found {
			ok = ok || n.ID == world.edgeID
			if !strings.HasPrefix(n.ID, world.edgeID[:length]) {
				t.Errorf("%q found %s", world.edgeID[:length], n.ID)
			}
		}
		if !ok {
			t.Errorf("%q does not find %s", world.edgeID[:length], world.edgeID)
		}
	}
	found, _, err := nodes.List(&nomad.QueryOptions{Filter: fmt.Sprintf("NodePool == %q and Status == ready", pool)})
	must(t, err)
	if len(found) != 1 || found[0].ID != world.edgeID {
		t.Errorf("filter found %+v", found)
	}
	if found[0].NodeResources != nil || found[0].Attributes != nil {
		t.Errorf("resources and attributes come unasked: %+v", found[0])
	}
	found, _, err = nodes.List(&nomad.QueryOptions{Params: map[string]string{"resources": "true", "os": "true"}, Filter: "NodePool == " + pool})
	must(t, err)
	if found[0].NodeResources == nil || found[0].ReservedResources == nil || found[0].Attributes["os.name"] == "" {
		t.Errorf("asked for, and not there: %+v", found[0])
	}
	first, qm, err := nodes.List(&nomad.QueryOptions{PerPage: 1})
	must(t, err)
	second, _, err := nodes.List(&nomad.QueryOptions{PerPage: 1, NextToken: qm.NextToken})
	must(t, err)
	if len(first) != 1 || len(second) != 1 || first[0].ID >= second[0].ID || second[0].ID != qm.NextToken {
		t.Errorf("pages %v and %v, token %q", first, second, qm.NextToken)
	}
}

func TestDrainAndEligibility(t *testing.T) {
	nodes := client(t).Nodes()
	before, _, err := nodes.Info(world.plainID, nil)
	must(t, err)
	res, err := nodes.UpdateDrainOpts(world.plainID, &nomad.DrainOptions{
		DrainSpec: &nomad.DrainSpec{Deadline: time.Hour, IgnoreSystemJobs: true}, Meta: map[string]string{"message": "new disk"},
	}, nil)
	must(t, err)
	if res.NodeModifyIndex <= before.ModifyIndex || res.LastIndex != res.NodeModifyIndex {
		t.Errorf("answered %+v", res)
	}
	var n *nomad.Node
	eventually(t, "complete the drain", func() error {
		if n, _, err = nodes.Info(world.plainID, nil); err != nil {
			return err
		}
		if n.Drain || n.LastDrain == nil || n.LastDrain.Status != nomad.DrainStatusComplete {
			return fmt.Errorf("drain is %v, the last one %+v", n.Drain, n.LastDrain)
		}
		return nil
	})
	if n.SchedulingEligibility != nomad.NodeSchedulingIneligible || n.LastDrain.Meta["message"] != "new disk" || n.LastDrain.StartedAt.IsZero() {
		t.Errorf("after the drain %s, %+v", n.SchedulingEligibility, n.LastDrain)
	}
	// As the command does it, which watches until it is over.
	for m := range nodes.MonitorDrain(t.Context(), world.plainID, res.NodeModifyIndex, false) {
		if m.Level == nomad.MonitorMsgLevelError {
			t.Errorf("monitor: %s", m)
		}
	}
	elig, err := nodes.ToggleEligibility(world.plainID, true, nil)
	must(t, err)
	n, _, err = nodes.Info(world.plainID, nil)
	must(t, err)
	if n.SchedulingEligibility != nomad.NodeSchedulingEligible || elig.NodeModifyIndex == 0 {
		t.Errorf("made eligible: %s, %+v", n.SchedulingEligibility, elig)
	}
	if again, err := nodes.ToggleEligibility(world.plainID, true, nil); err != nil || again.NodeModifyIndex != 0 {
		t.Errorf("made eligible again: %+v, %v", again, err)
	}
	_, err = nodes.ToggleEligibility(missing, false, nil)
	if err == nil || !strings.Contains(err.Error(), "node not found") {
		t.Errorf("a node that there is not: %v", err)
	}
	if _, _, err := nodes.ForceEvaluate(world.plainID, nil); err != nil {
		t.Error(err)
	}
}

func TestNodeIdentities(t *testing.T) {
	identity := client(t).Nodes().Identity()
	get := func() map[string]any {
		t.Helper()
		res, err := identity.Get(&nomad.NodeIdentityGetRequest{NodeID: world.edgeID}, nil)
		must(t, err)
		return res.Claims
	}
	c := get()
	for key, want := range map[string]any{
		"nomad_node_id": world.edgeID, "nomad_node_pool": pool, "nomad_node_class": class, "nomad_node_datacenter": "dc1",
		"aud": "nomadproject.io", "iss": world.cluster.Issuer, "sub": "node:global:" + pool + ":" + world.edgeID + ":default",
	} {
		if c[key] != want {
			t.Errorf("claim %s is %v, want %v", key, c[key], want)
		}
	}
	if exp, iat := c["exp"].(float64), c["iat"].(float64); exp-iat != 3600 {
		t.Errorf("valid for %v s, want the pool's hour", exp-iat)
	}
	raw, err := world.edge.Identity()
	must(t, err)
	held, err := e2e.ParseToken(raw)
	must(t, err)
	if held.NodeID != world.edgeID || float64(held.Expiry.Unix()) != c["exp"] {
		t.Errorf("the node holds %+v, the claims are %v", held, c)
	}
	_, err = identity.Renew(&nomad.NodeIdentityRenewRequest{NodeID: world.edgeID}, nil)
	must(t, err)
	eventually(t, "renew the identity", func() error {
		res, err := identity.Get(&nomad.NodeIdentityGetRequest{NodeID: world.edgeID}, nil)
		if err == nil && res.Claims["jti"] == c["jti"] {
			err = fmt.Errorf("it is still %v", c["jti"])
		}
		return err
	})
	// A node's own agent answers for itself.
	own, err := clientOf(t, world.edge.HTTP).Nodes().Identity().Get(&nomad.NodeIdentityGetRequest{}, nil)
	must(t, err)
	if own.Claims["nomad_node_id"] != world.edgeID {
		t.Errorf("the agent tells %v", own.Claims)
	}
	_, err = identity.Get(&nomad.NodeIdentityGetRequest{NodeID: missing}, nil)
	wantCode(t, err, 404, "Unknown node")
	_, err = identity.Get(&nomad.NodeIdentityGetRequest{}, nil)
	wantCode(t, err, 400, "no local Node and node_id not provided")
}

// A node that is purged comes back by itself.
func TestPurge(t *testing.T) {
	nodes := client(t).Nodes()
	before, _, err := nodes.Info(world.plainID, nil)
	must(t, err)
	res, qm, err := nodes.Purge(world.plainID, nil)
	must(t, err)
	if res.NodeModifyIndex == 0 || qm.LastIndex == 0 {
		t.Errorf("answered %+v, %+v", res, qm)
	}
	eventually(t, "register the node anew", func() error {
		n, _, err := nodes.Info(world.plainID, nil)
		if err == nil && (n.CreateIndex <= before.CreateIndex || n.Status != "ready") {
			err = fmt.Errorf("it is %s, made at %d", n.Status, n.CreateIndex)
		}
		return err
	})
	_, _, err = nodes.Purge(missing, nil)
	if err == nil || !strings.Contains(err.Error(), "node not found") {
		t.Errorf("a node that there is not: %v", err)
	}
}
