//go:build e2e

package sdk

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	nomad "github.com/hashicorp/nomad/api"
	"github.com/hashicorp/nomad/api/contexts"
)

func TestKeyring(t *testing.T) {
	keyring := client(t).Keyring()
	before, qm, err := keyring.List(nil)
	must(t, err)
	wantMeta(t, qm)
	active := slices.IndexFunc(before, func(k *nomad.RootKeyMeta) bool { return k.State == nomad.RootKeyStateActive })
	if active < 0 {
		t.Fatalf("no key is active: %+v", before)
	}
	made, wm, err := keyring.Rotate(&nomad.KeyringRotateOptions{Algorithm: nomad.EncryptionAlgorithmAES256GCM}, nil)
	must(t, err)
	if made.State != nomad.RootKeyStateActive || made.CreateIndex != wm.LastIndex || time.Since(time.Unix(0, made.CreateTime)) > time.Hour {
		t.Errorf("rotated to %+v, metadata %+v", made, wm)
	}
	after, _, err := keyring.List(&nomad.QueryOptions{WaitIndex: qm.LastIndex, WaitTime: limit})
	must(t, err)
	states := map[string]nomad.RootKeyState{}
	for _, k := range after {
		states[k.KeyID] = k.State
	}
	if states[made.KeyID] != nomad.RootKeyStateActive || states[before[active].KeyID] != nomad.RootKeyStateInactive {
		t.Errorf("after the rotation: %v", states)
	}
	_, err = keyring.Delete(&nomad.KeyringDeleteOptions{KeyID: made.KeyID}, nil)
	if err == nil || !strings.Contains(err.Error(), "active root key cannot be deleted - call rotate first") {
		t.Errorf("delete the active key: %v", err)
	}
	later := time.Now().Add(2 * time.Hour).UnixNano()
	next, _, err := keyring.Rotate(&nomad.KeyringRotateOptions{PublishTime: later}, nil)
	must(t, err)
	if next.State != nomad.RootKeyStatePrepublished || next.PublishTime != later {
		t.Errorf("published ahead: %+v", next)
	}
	_, err = keyring.Delete(&nomad.KeyringDeleteOptions{KeyID: next.KeyID, Force: true}, nil)
	must(t, err)
	_, _, err = keyring.Rotate(&nomad.KeyringRotateOptions{Full: true, PublishTime: later}, nil)
	wantCode(t, err, 400, "full")
}

func TestRaftAndAutopilot(t *testing.T) {
	c := client(t)
	op := c.Operator()
	raft, err := op.RaftGetConfiguration(nil)
	must(t, err)
	leaders := 0
	var leader *nomad.RaftServer
	for _, s := range raft.Servers {
		if s.Leader {
			leaders++
			leader = s
		}
		if !s.Voter || s.RaftProtocol != "3" || !strings.HasSuffix(s.Node, ".global") {
			t.Errorf("server %+v", s)
		}
	}
	if len(raft.Servers) != 3 || leaders != 1 {
		t.Fatalf("%d servers, %d leaders", len(raft.Servers), leaders)
	}
	addr, err := c.Status().Leader()
	must(t, err)
	peers, err := c.Status().Peers()
	must(t, err)
	if addr != leader.Address || len(peers) != 3 || !slices.Contains(peers, addr) {
		t.Errorf("leader %s (Raft says %s), peers %v", addr, leader.Address, peers)
	}
	err = op.RaftRemovePeerByID("nope", nil)
	wantCode(t, err, 404, `id "nope" was not found in the Raft configuration`)

	conf, _, err := op.AutopilotGetConfiguration(nil)
	must(t, err)
	old := *conf
	conf.MaxTrailingLogs, conf.LastContactThreshold = 500, 750*time.Millisecond
	if ok, _, err := op.AutopilotCASConfiguration(conf, nil); err != nil || !ok {
		t.Errorf("compare and set: %v, %v", ok, err)
	}
	if ok, _, err := op.AutopilotCASConfiguration(&old, nil); err != nil || ok {
		t.Errorf("compare and set with an old index: %v, %v", ok, err)
	}
	got, _, err := op.AutopilotGetConfiguration(nil)
	must(t, err)
	if got.ModifyIndex <= old.ModifyIndex {
		t.Errorf("modified at %d, before at %d", got.ModifyIndex, old.ModifyIndex)
	}
	conf.ModifyIndex = got.ModifyIndex
	if diff := cmp.Diff(conf, got); diff != "" {
		t.Errorf("autopilot configuration (-put +got):\n%s", diff)
	}
	if _, err := op.AutopilotSetConfiguration(&old, nil); err != nil {
		t.Error(err)
	}
	eventually(t, "see all servers healthy", func() error {
		health, _, err := op.AutopilotServerHealth(nil)
		if err == nil && (len(health.Servers) != 3 || health.FailureTolerance != 1 || !health.Healthy) {
			err = errors.New("not yet")
		}
		return err
	})
}

func TestLeadershipTransfer(t *testing.T) {
	c := client(t)
	op := c.Operator()
	raft, err := op.RaftGetConfiguration(nil)
	must(t, err)
	var to *nomad.RaftServer
	for _, s := range raft.Servers {
		if !s.Leader {
			to = s
		}
	}
	must(t, op.RaftTransferLeadershipByID(to.ID, nil))
	eventually(t, "see "+to.Node+" lead", func() error {
		addr, err := c.Status().Leader()
		if err == nil && addr != to.Address {
			err = errors.New("leader is " + addr)
		}
		return err
	})
	eventually(t, "write under the new leader", func() error { return c.System().GarbageCollect() })
}

func TestSchedulerConfiguration(t *testing.T) {
	op := client(t).Operator()
	before, _, err := op.SchedulerGetConfiguration(nil)
	must(t, err)
	t.Cleanup(func() { _, _, _ = op.SchedulerSetConfiguration(before.SchedulerConfig, nil) })
	put := &nomad.SchedulerConfiguration{
		SchedulerAlgorithm: nomad.SchedulerAlgorithmSpread, MemoryOversubscriptionEnabled: true, RejectJobRegistration: true,
		PreemptionConfig: nomad.PreemptionConfig{SystemSchedulerEnabled: true, BatchSchedulerEnabled: true}, NodeLimitForFeasibilityChecks: 7,
	}
	res, _, err := op.SchedulerSetConfiguration(put, nil)
	must(t, err)
	got, qm, err := op.SchedulerGetConfiguration(nil)
	must(t, err)
	wantMeta(t, qm)
	put.CreateIndex, put.ModifyIndex = got.SchedulerConfig.CreateIndex, got.SchedulerConfig.ModifyIndex
	if diff := cmp.Diff(put, got.SchedulerConfig); diff != "" || !res.Updated {
		t.Errorf("scheduler configuration, updated %v (-put +got):\n%s", res.Updated, diff)
	}
	put.ModifyIndex = 1
	if res, _, err := op.SchedulerCASConfiguration(put, nil); err != nil || res.Updated {
		t.Errorf("compare and set with an old index: %+v, %v", res, err)
	}
	_, _, err = op.SchedulerSetConfiguration(&nomad.SchedulerConfiguration{SchedulerAlgorithm: "dice"}, nil)
	wantCode(t, err, 400, "dice")
}

func TestSnapshot(t *testing.T) {
	c := client(t)
	_, err := c.NodePools().Register(&nomad.NodePool{Name: "kept", Description: "in the snapshot"}, nil)
	must(t, err)
	t.Cleanup(func() { _, _ = c.NodePools().Delete("kept", nil) })
	r, err := c.Operator().Snapshot(nil)
	must(t, err)
	archive, err := io.ReadAll(r) // the SDK compares the digest at the end
	must(t, err)
	must(t, r.Close())
	_, err = c.NodePools().Delete("kept", nil)
	must(t, err)
	_, err = c.Operator().SnapshotRestore(bytes.NewReader(archive), nil)
	must(t, err)
	eventually(t, "find the pool again", func() error {
		p, _, err := c.NodePools().Info("kept", nil)
		if err == nil && p.Description != "in the snapshot" {
			err = errors.New("it is " + p.Description)
		}
		return err
	})
	_, err = c.Operator().SnapshotRestore(bytes.NewReader(archive[:len(archive)/2]), nil)
	if err == nil {
		t.Error("half an archive was restored")
	}
	eventually(t, "see the nodes ready again", func() error {
		for _, id := range []string{world.edgeID, world.plainID} {
			if n, _, err := c.Nodes().Info(id, nil); err != nil || n.Status != "ready" {
				return errors.Join(err, errors.New(id+" is not ready"))
			}
		}
		return nil
	})
}

func TestAgents(t *testing.T) {
	c := client(t)
	a := c.Agent()
	self, err := a.Self()
	must(t, err)
	if self.Member.Name != "server-1.global" || self.Member.Tags["role"] != "nomad" || self.Member.Status != "alive" || self.Stats["nomad"]["server"] != "true" {
		t.Errorf("self is %+v", self.Member)
	}
	members, err := a.Members()
	must(t, err)
	names := []string{}
	for _, m := range members.Members {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"server-1.global", "server-2.global", "server-3.global"}) || members.ServerRegion != "global" || members.ServerDC != "dc1" {
		t.Errorf("members %v of %s %s", names, members.ServerRegion, members.ServerDC)
	}
	health, err := a.Health()
	if err != nil || !health.Server.Ok || health.Client != nil {
		t.Errorf("health %+v, error %v", health, err)
	}
	health, err = clientOf(t, world.edge.HTTP).Agent().Health()
	if err != nil || !health.Client.Ok || health.Server != nil {
		t.Errorf("a node's health %+v, error %v", health, err)
	}
	regions, err := c.Regions().List()
	if err != nil || !slices.Equal(regions, []string{"global"}) {
		t.Errorf("regions %v, error %v", regions, err)
	}
	for server, want := range map[string]string{"": "server-1.global", "server-3.global": "server-3.global"} {
		host, err := a.Host(server, "", nil)
		if err != nil || host.AgentID != want || host.HostData.OS == "" {
			t.Errorf("host of %q: %+v, error %v", server, host, err)
		}
	}
	if host, err := a.Host("", world.edgeID, nil); err != nil || host.AgentID != world.edgeID || host.HostData == nil {
		t.Errorf("host of a node: %+v, error %v", host, err)
	}
	if profile, err := a.Lookup("heap", nomad.PprofOptions{}, nil); err != nil || len(profile) == 0 {
		t.Errorf("profile of %d bytes, error %v", len(profile), err)
	}
	c.SetSecretID("")
	_, err = a.Lookup("heap", nomad.PprofOptions{}, nil)
	wantCode(t, err, 403, "Permission denied")
	c.SetSecretID(world.cluster.Token)
	servers, err := clientOf(t, world.edge.HTTP).Agent().Servers()
	if err != nil || len(servers) == 0 {
		t.Errorf("servers of a node: %v, error %v", servers, err)
	}
	metrics, _, err := c.Operator().MetricsSummary(nil)
	if err != nil || len(metrics.Gauges) == 0 {
		t.Errorf("metrics %+v, error %v", metrics, err)
	}
}

func TestBlockingQueries(t *testing.T) {
	c := client(t)
	_, qm, err := c.NodePools().List(nil)
	must(t, err)
	type answer struct {
		pools []*nomad.NodePool
		meta  *nomad.QueryMeta
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		pools, meta, err := c.NodePools().List(&nomad.QueryOptions{WaitIndex: qm.LastIndex, WaitTime: limit})
		answered <- answer{pools, meta, err}
	}()
	_, err = clientOf(t, world.cluster.Servers[1].HTTP).NodePools().Register(&nomad.NodePool{Name: "waited-for"}, nil)
	must(t, err)
	t.Cleanup(func() { _, _ = c.NodePools().Delete("waited-for", nil) })
	got := <-answered
	must(t, got.err)
	if got.meta.LastIndex <= qm.LastIndex || !slices.ContainsFunc(got.pools, func(p *nomad.NodePool) bool { return p.Name == "waited-for" }) {
		t.Errorf("woken at %d after %d with %d pools", got.meta.LastIndex, qm.LastIndex, len(got.pools))
	}
	// A wait that is over is no error, and tells that nothing has changed.
	_, again, err := c.NodePools().List(&nomad.QueryOptions{WaitIndex: got.meta.LastIndex, WaitTime: 100 * time.Millisecond})
	if err != nil || again.LastIndex != got.meta.LastIndex {
		t.Errorf("after the wait %+v, error %v", again, err)
	}
	for _, s := range world.cluster.Servers {
		if _, meta, err := clientOf(t, s.HTTP).Nodes().List(&nomad.QueryOptions{AllowStale: true}); err != nil || !meta.KnownLeader {
			t.Errorf("a stale read of %s: %+v, error %v", s.Name, meta, err)
		}
	}
}

func TestSearch(t *testing.T) {
	search := client(t).Search()
	res, qm, err := search.PrefixSearch(world.edgeID[:8], contexts.Nodes, nil)
	must(t, err)
	wantMeta(t, qm)
	if !slices.Equal(res.Matches[contexts.Nodes], []string{world.edgeID}) || res.Truncations[contexts.Nodes] {
		t.Errorf("found %+v", res)
	}
	res, _, err = search.PrefixSearch(pool, contexts.All, nil)
	must(t, err)
	if !slices.Equal(res.Matches[contexts.NodePools], []string{pool}) || len(res.Matches[contexts.Jobs]) != 0 {
		t.Errorf("found %+v", res)
	}
	fuzzy, _, err := search.FuzzySearch("DGE-1", contexts.Nodes, nil)
	must(t, err)
	if want := []nomad.FuzzyMatch{{ID: "edge-1", Scope: []string{world.edgeID}}}; !cmp.Equal(fuzzy.Matches[contexts.Nodes], want) {
		t.Errorf("found %+v", fuzzy)
	}
	_, _, err = search.PrefixSearch("a", "cats", nil)
	wantCode(t, err, 400, "cats")
}

func TestAClusterWithoutJobs(t *testing.T) {
	c := client(t)
	jobs, qm, err := c.Jobs().List(nil)
	if err != nil || len(jobs) != 0 || qm.LastIndex == 0 {
		t.Errorf("jobs %v, %+v, error %v", jobs, qm, err)
	}
	if allocs, _, err := c.Allocations().List(nil); err != nil || len(allocs) != 0 {
		t.Errorf("allocations %v, error %v", allocs, err)
	}
	if evals, _, err := c.Evaluations().List(nil); err != nil || len(evals) != 0 {
		t.Errorf("evaluations %v, error %v", evals, err)
	}
	if deployments, _, err := c.Deployments().List(nil); err != nil || len(deployments) != 0 {
		t.Errorf("deployments %v, error %v", deployments, err)
	}
	if services, _, err := c.Services().List(nil); err != nil || len(services) != 0 {
		t.Errorf("services %v, error %v", services, err)
	}
	namespaces, _, err := c.Namespaces().List(nil)
	if err != nil || len(namespaces) != 1 || namespaces[0].Name != "default" {
		t.Errorf("namespaces %v, error %v", namespaces, err)
	}
	_, _, err = c.Jobs().Info("web", nil)
	wantCode(t, err, 404, "job not found")
	_, _, err = c.Jobs().Register(nomad.NewServiceJob("web", "web", "global", 50), nil)
	wantCode(t, err, 501, "jobs are not part of Rollcall")
	must(t, c.System().ReconcileSummaries())
	_, _, err = c.Operator().Utilization(&nomad.OperatorUtilizationOptions{}, nil)
	wantCode(t, err, 501, "Nomad Enterprise only endpoint")
}
