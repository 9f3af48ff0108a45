package rpc

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func (w *world) drain(n int, d *structs.DrainStrategy, eligible bool) (*structs.NodeChangeResponse, error) {
	w.t.Helper()
	return call[structs.NodeChangeResponse](w, "Node.UpdateDrain", &structs.NodeUpdateDrainRequest{
		NodeID: nodeID(n), DrainStrategy: d, MarkEligible: eligible, WriteRequest: write("")})
}

func (w *world) eligibility(n int, e string) (*structs.NodeChangeResponse, error) {
	w.t.Helper()
	return call[structs.NodeChangeResponse](w, "Node.UpdateEligibility", &structs.NodeUpdateEligibilityRequest{
		NodeID: nodeID(n), Eligibility: e, WriteRequest: write("")})
}

func (w *world) lastEvent(n int) string {
	w.t.Helper()
	events := w.node(n).Events
	e := events[len(events)-1]
	return e.Subsystem + ": " + e.Message
}

func TestDrain(t *testing.T) {
	w := newFleet(t)
	before := w.raft.count()
	if reply := must(w.drain(1, nil, false))(t); w.raft.count() != before || !cmp.Equal(*reply, structs.NodeChangeResponse{}) {
		t.Errorf("ending a drain that there is not: %+v", reply)
	}
	forged := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	spec := structs.DrainSpec{Deadline: time.Hour, IgnoreSystemJobs: true}
	reply := must(w.drain(1, &structs.DrainStrategy{DrainSpec: spec, StartedAt: forged, ForceDeadline: forged}, false))(t)
	want := &structs.DrainStrategy{DrainSpec: spec, StartedAt: t0, ForceDeadline: t0.Add(time.Hour)}
	n := w.node(1)
	if diff := cmp.Diff(want, n.DrainStrategy); diff != "" || n.SchedulingEligibility != structs.NodeIneligible {
		t.Errorf("%s, drain (-want +got):\n%s", n.SchedulingEligibility, diff)
	}
	if got := w.lastEvent(1); got != "Drain: Node drain strategy set" || reply.Index != w.raft.index || reply.NodeModifyIndex != w.raft.index {
		t.Errorf("event %s, reply %+v", got, reply)
	}
	w.clock.advance(time.Minute)
	must(w.drain(1, &structs.DrainStrategy{DrainSpec: structs.DrainSpec{Deadline: -1}}, false))(t)
	n = w.node(1)
	if got := w.lastEvent(1); got != "Drain: Node drain strategy updated" || !n.DrainStrategy.StartedAt.Equal(t0) || !n.DrainStrategy.ForceDeadline.Equal(t0.Add(time.Minute)) {
		t.Errorf("event %s, drain %+v", got, n.DrainStrategy)
	}
	_, err := w.eligibility(1, structs.NodeEligible)
	wantError(t, err, nil, "can not set node's scheduling eligibility to eligible while it is draining")
	must(w.drain(1, nil, true))(t)
	n = w.node(1)
	if got := w.lastEvent(1); got != "Drain: Node drain disabled" || n.DrainStrategy != nil || n.SchedulingEligibility != structs.NodeEligible {
		t.Errorf("event %s, node %+v", got, n)
	}
	must(w.drain(1, &structs.DrainStrategy{}, false))(t)
	if got := w.node(1).DrainStrategy; got == nil || !got.ForceDeadline.IsZero() {
		t.Errorf("a drain without a deadline is %+v", got)
	}
}

func TestNobodyDrainsInAnothersName(t *testing.T) {
	w := newFleet(t)
	req := &structs.NodeUpdateDrainRequest{
		NodeID: nodeID(1), DrainStrategy: &structs.DrainStrategy{}, UpdatedBy: "somebody else", WriteRequest: write(""),
	}
	must(call[structs.NodeChangeResponse](w, "Node.UpdateDrain", req))(t)
	if got := w.node(1).LastDrain; got == nil || got.AccessorID != "" {
		t.Errorf("last drain %+v", got)
	}
}

func TestEligibility(t *testing.T) {
	w := newFleet(t)
	before := w.raft.count()
	if reply := must(w.eligibility(1, structs.NodeEligible))(t); w.raft.count() != before || !cmp.Equal(*reply, structs.NodeChangeResponse{}) {
		t.Errorf("what it is already: %+v", reply)
	}
	reply := must(w.eligibility(1, structs.NodeIneligible))(t)
	if got := w.lastEvent(1); got != "Cluster: Node marked as ineligible for scheduling" || reply.Index != w.raft.index || w.node(1).SchedulingEligibility != structs.NodeIneligible {
		t.Errorf("event %s, reply %+v", got, reply)
	}
	must(w.eligibility(1, structs.NodeEligible))(t)
	if got := w.lastEvent(1); got != "Cluster: Node marked as eligible for scheduling" {
		t.Errorf("event %s", got)
	}
	_, err := w.eligibility(1, "perhaps")
	wantError(t, err, nil, `invalid scheduling eligibility "perhaps"`)
	wantCode(t, err, 400)
}

func TestServersWriteTheirEventsThemselves(t *testing.T) {
	w := newFleet(t)
	e := structs.NewNodeEvent("Cluster", "forged", t0)
	_, err := call[structs.NodeChangeResponse](w, "Node.UpdateDrain", &structs.NodeUpdateDrainRequest{NodeID: nodeID(1), NodeEvent: e, WriteRequest: write("")})
	wantError(t, err, nil, "node event must not be set")
	_, err = call[structs.NodeChangeResponse](w, "Node.UpdateEligibility", &structs.NodeUpdateEligibilityRequest{
		NodeID: nodeID(1), Eligibility: "ineligible", NodeEvent: e, WriteRequest: write("")})
	wantError(t, err, nil, "node event must not be set")
}

func TestNodeThatThereIsNot(t *testing.T) {
	w := newFleet(t)
	w.purge(1)
	for _, name := range []string{"Node.Deregister", "Node.UpdateDrain", "Node.UpdateEligibility", "Node.Evaluate"} {
		body, _ := structs.EncodeBytes(requests[name](""))
		_, err := w.srv.ServeRPC(t.Context(), nil, name, body)
		wantError(t, err, structs.ErrNodeNotFound, "node not found")
		empty, _ := structs.EncodeBytes(&structs.NodeEvaluateRequest{WriteRequest: write("")})
		_, err = w.srv.ServeRPC(t.Context(), nil, name, empty)
		wantError(t, err, nil, "missing node ID")
	}
	body, _ := structs.EncodeBytes(requests["Node.EmitEvents"](w.identity(1, t0, time.Hour)))
	_, err := w.srv.ServeRPC(t.Context(), nil, "Node.EmitEvents", body)
	wantError(t, err, structs.ErrNodeNotFound)
	for _, name := range []string{"NodeIdentity.Get", "NodeIdentity.Renew", "NodeMeta.Read", "ClientStats.Stats"} {
		body, _ = structs.EncodeBytes(specific(""))
		_, err = w.srv.ServeRPC(t.Context(), nil, name, body)
		wantError(t, err, structs.ErrUnknownNode, "Unknown node "+nodeID(1))
		body, _ = structs.EncodeBytes(&structs.NodeSpecificRequest{QueryOptions: query("")})
		_, err = w.srv.ServeRPC(t.Context(), nil, name, body)
		wantError(t, err, nil, "missing NodeID")
	}
}

func TestDeregistration(t *testing.T) {
	w := newFleet(t)
	reply := must(call[structs.NodeUpdateResponse](w, "Node.Deregister", &structs.NodeDeregisterRequest{NodeID: nodeID(1), WriteRequest: write("")}))(t)
	if reply.Index != w.raft.index || reply.NodeModifyIndex != w.raft.index {
		t.Errorf("reply %+v", reply)
	}
	batch := func(ids ...string) error {
		_, err := call[structs.NodeUpdateResponse](w, "Node.BatchDeregister", &structs.NodeBatchDeregisterRequest{NodeIDs: ids, WriteRequest: write("")})
		return err
	}
	wantCode(t, batch(), 400)
	wantCode(t, batch(make([]string, structs.MaxNodesPerDeregister+1)...), 400)
	wantError(t, batch(nodeID(2), nodeID(9)), structs.ErrNodeNotFound)
	w.node(2) // all or none
	if err := batch(nodeID(2)); err != nil {
		t.Fatal(err)
	}
	if w.fsm.State().NodeCount() != 0 {
		t.Error("nodes are left")
	}
	if diff := cmp.Diff([]string{nodeID(1), nodeID(2)}, w.beats.cleared); diff != "" {
		t.Error("timers cleared:", diff)
	}
}

func TestEventsOfANode(t *testing.T) {
	emit := func(w *world, events ...*structs.NodeEvent) (*structs.GenericResponse, error) {
		return call[structs.GenericResponse](w, "Node.EmitEvents", &structs.EmitNodeEventsRequest{
			NodeEvents: map[string][]*structs.NodeEvent{nodeID(1): events}, WriteRequest: write(secretOf(1))})
	}
	w := newFleet(t)
	var events []*structs.NodeEvent
	for i := range 2 * structs.MaxNodeEvents {
		events = append(events, structs.NewNodeEvent("Driver", fmt.Sprint("event ", i), t0))
	}
	reply := must(emit(w, events...))(t)
	if got := w.node(1).Events; len(got) != structs.MaxNodeEvents || got[9].Message != "event 19" || reply.Index != w.raft.index {
		t.Errorf("%d events, reply %+v", len(got), reply)
	}
	before := w.raft.count()
	for name, bad := range map[string][]*structs.NodeEvent{
		"too many": append(events, events[0]), "without a message": {{Subsystem: "Driver"}}, "nil": {nil},
	} {
		if _, err := emit(w, bad...); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			wantCode(t, err, 400)
		}
	}
	_, err := call[structs.GenericResponse](w, "Node.EmitEvents", &structs.EmitNodeEventsRequest{WriteRequest: write(secretOf(1))})
	wantError(t, err, nil, "no node events given")
	if w.raft.count() != before {
		t.Error("something was written")
	}
}

func TestEvaluationOfANodeWritesNothing(t *testing.T) {
	w := newFleet(t)
	before := w.raft.count()
	reply := must(call[structs.NodeUpdateResponse](w, "Node.Evaluate", &structs.NodeEvaluateRequest{NodeID: nodeID(1), WriteRequest: write("")}))(t)
	if w.raft.count() != before || reply.NodeModifyIndex != w.node(1).ModifyIndex || len(reply.EvalIDs) != 0 {
		t.Errorf("reply %+v", reply)
	}
}

func (w *world) upsertPools(pools ...*structs.NodePool) error {
	w.t.Helper()
	_, err := call[structs.GenericResponse](w, "NodePool.UpsertNodePools", &structs.NodePoolUpsertRequest{NodePools: pools, WriteRequest: write("")})
	return err
}

func (w *world) deletePools(names ...string) error {
	w.t.Helper()
	_, err := call[structs.GenericResponse](w, "NodePool.DeleteNodePools", &structs.NodePoolDeleteRequest{Names: names, WriteRequest: write("")})
	return err
}

func TestWritingPools(t *testing.T) {
	cases := []struct {
		name string
		pool *structs.NodePool
		text string
	}{
		{"nil", nil, "node pool is missing"},
		{"no name", &structs.NodePool{}, "invalid node pool name"},
		{"a bad name", &structs.NodePool{Name: "a/b"}, `invalid node pool name "a/b"`},
		{"a long description", &structs.NodePool{Name: "x", Description: string(make([]byte, 257))}, "257 bytes"},
		{"a negative TTL", &structs.NodePool{Name: "x", NodeIdentityTTL: -1}, "is negative"},
		{"a TTL under the resolution of times", &structs.NodePool{Name: "x", NodeIdentityTTL: time.Millisecond}, "under one second"},
		{"a TTL of decades", &structs.NodePool{Name: "x", NodeIdentityTTL: structs.MaxNodeIdentityTTL + 1}, "longer than ten years"},
		{"a scheduler configuration", &structs.NodePool{Name: "x", SchedulerConfiguration: &structs.NodePoolSchedulerConfiguration{}}, "can't be set here"},
		{"the pool of all", &structs.NodePool{Name: "all"}, `modifying node pool "all" is not allowed`},
		{"the default pool", &structs.NodePool{Name: "default", NodeIdentityTTL: time.Hour}, `modifying node pool "default" is not allowed`},
	}
	w := newFleet(t)
	before := w.raft.count()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := w.upsertPools(&structs.NodePool{Name: "good"}, c.pool)
			wantError(t, err, nil, c.text)
			wantCode(t, err, 400)
		})
	}
	wantCode(t, w.upsertPools(), 400)
	if w.raft.count() != before {
		t.Error("something was written")
	}
	if err := w.upsertPools(&structs.NodePool{Name: "a"}, &structs.NodePool{Name: "b", NodeIdentityTTL: 30 * time.Second, Meta: map[string]string{"k": "v"}}); err != nil {
		t.Fatal(err)
	}
	got := must(call[structs.SingleNodePoolResponse](w, "NodePool.GetNodePool", &structs.NodePoolSpecificRequest{Name: "a", QueryOptions: query("")}))(t)
	if p := got.NodePool; p == nil || p.NodeIdentityTTL != defaultTTL || len(p.Hash) != 32 || p.ModifyIndex != w.raft.index || got.Index != w.raft.index {
		t.Errorf("pool %+v at index %d", p, got.Index)
	}
	got = must(call[structs.SingleNodePoolResponse](w, "NodePool.GetNodePool", &structs.NodePoolSpecificRequest{Name: "nowhere", QueryOptions: query("")}))(t)
	if got.NodePool != nil || got.Index < 1 {
		t.Errorf("a pool that there is not: %+v", got)
	}
	req := &structs.NodePoolListRequest{QueryOptions: query("")}
	req.Prefix, req.Filter = "b", `Meta.k == "v"`
	if pools := must(call[structs.NodePoolListResponse](w, "NodePool.List", req))(t).NodePools; len(pools) != 1 || pools[0].Name != "b" {
		t.Errorf("pools %+v", pools)
	}
	all := must(call[structs.NodePoolListResponse](w, "NodePool.List", &structs.NodePoolListRequest{QueryOptions: query("")}))(t).NodePools
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
	}
	if diff := cmp.Diff([]string{"a", "all", "b", "default", "empty"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestDeletingPools(t *testing.T) {
	w := newFleet(t)
	n := testNode(1)
	n.NodePool = "gpu"
	must(w.register(n, ""))(t)
	before := w.raft.count()
	for _, name := range []string{"", "all", "default"} {
		wantCode(t, w.deletePools("empty", name), 400)
	}
	wantCode(t, w.deletePools(), 400)
	err := w.deletePools("empty", "nowhere")
	wantError(t, err, structs.ErrNodePoolNotFound, "node pool not found")
	wantCode(t, err, 404)
	wantError(t, w.deletePools("all"), nil, `deleting node pool "all" is not allowed`)
	err = w.deletePools("gpu")
	wantError(t, err, nil, `node pool "gpu" has nodes in regions: [global]`)
	if w.raft.count() != before {
		t.Error("something was written")
	}
	w.purge(1)
	if err := w.deletePools("gpu", "empty"); err != nil {
		t.Fatal(err)
	}
	if p, _ := w.fsm.State().NodePoolByName(nil, "gpu"); p != nil {
		t.Error("it is still there")
	}
}

func TestNodesOfAPool(t *testing.T) {
	w := newFleet(t)
	n := testNode(1)
	n.NodePool = "gpu"
	must(w.register(n, ""))(t)
	ask := func(pool, prefix string) ([]string, error) {
		req := &structs.NodePoolNodesRequest{Name: pool, QueryOptions: query("")}
		req.Prefix = prefix
		reply, err := call[structs.NodeListResponse](w, "NodePool.ListNodes", req)
		if err != nil {
			return nil, err
		}
		var names []string
		for _, n := range reply.Nodes {
			names = append(names, n.Name)
		}
		return names, nil
	}
	for pool, want := range map[string][]string{"gpu": {"node-1"}, "default": {"node-2"}, "all": {"node-1", "node-2"}, "empty": nil} {
		if diff := cmp.Diff(want, must(ask(pool, ""))(t)); diff != "" {
			t.Errorf("pool %s: %s", pool, diff)
		}
	}
	_, err := ask("nowhere", "")
	wantCode(t, err, 404)
	_, err = ask("gpu", "00")
	wantCode(t, err, 400)
}

func TestOperatorConfigurations(t *testing.T) {
	w := newWorld(t)
	_, err := call[structs.AutopilotConfig](w, "Operator.AutopilotGetConfiguration", generic(""))
	wantCode(t, err, 503)
	set := func(change func(*structs.AutopilotSetConfigRequest)) (bool, error) {
		req := &structs.AutopilotSetConfigRequest{Config: *structs.DefaultAutopilotConfig(), WriteRequest: write("")}
		change(req)
		ok, err := call[bool](w, "Operator.AutopilotSetConfiguration", req)
		return err == nil && *ok, err
	}
	if ok, err := set(func(*structs.AutopilotSetConfigRequest) {}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	index := must(call[structs.AutopilotConfig](w, "Operator.AutopilotGetConfiguration", generic("")))(t).ModifyIndex
	for _, c := range []struct {
		cas  uint64
		done bool
	}{{index - 1, false}, {index, true}, {index, false}} {
		ok, err := set(func(r *structs.AutopilotSetConfigRequest) {
			r.CAS, r.Config.ModifyIndex, r.Config.MinQuorum = true, c.cas, 3
		})
		if err != nil || ok != c.done {
			t.Errorf("with index %d of %d: %v, %v", c.cas, index, ok, err)
		}
	}
	if got := must(call[structs.AutopilotConfig](w, "Operator.AutopilotGetConfiguration", generic("")))(t); got.MinQuorum != 3 || got.CreateIndex != index {
		t.Errorf("configuration %+v", got)
	}
	_, err = set(func(r *structs.AutopilotSetConfigRequest) { r.Config.LastContactThreshold = 0 })
	wantCode(t, err, 400)

	sched := must(call[structs.SchedulerConfigResponse](w, "Operator.SchedulerGetConfiguration", generic("")))(t)
	if sched.SchedulerConfig == nil || sched.Index < 1 {
		t.Errorf("before the first: %+v", sched)
	}
	setSched := func(cas bool, index uint64, alg string) (*structs.SchedulerSetConfigResponse, error) {
		return call[structs.SchedulerSetConfigResponse](w, "Operator.SchedulerSetConfiguration", &structs.SchedulerSetConfigRequest{
			Config: structs.SchedulerConfiguration{SchedulerAlgorithm: alg, ModifyIndex: index}, CAS: cas, WriteRequest: write("")})
	}
	first := must(setSched(false, 0, "spread"))(t)
	if !first.Updated || first.Index != w.raft.index {
		t.Errorf("reply %+v", first)
	}
	if got := must(setSched(true, first.Index-1, "binpack"))(t); got.Updated {
		t.Error("changed on an old index")
	}
	if got := must(setSched(true, first.Index, "binpack"))(t); !got.Updated {
		t.Error("not changed on the present index")
	}
	_, err = setSched(false, 0, "chaos")
	wantCode(t, err, 400)
}

func TestOperatorMembership(t *testing.T) {
	w := newWorld(t)
	peer := func(name, id, addr string) error {
		body, _ := structs.EncodeBytes(&structs.RaftPeerRequest{ID: id, Address: addr, WriteRequest: write("")})
		_, err := w.srv.ServeRPC(t.Context(), nil, name, body)
		return err
	}
	err := peer("Operator.RaftRemovePeerByID", "", "")
	wantError(t, err, nil, "Must specify the peer's ID to remove")
	wantCode(t, err, 400)
	err = peer("Operator.RaftRemovePeerByID", "s9", "")
	wantError(t, err, nil, `id "s9" was not found in the Raft configuration`)
	wantCode(t, err, 404)
	if err := peer("Operator.RaftRemovePeerByID", "s1", ""); err != nil || len(w.operator.removed) != 1 {
		t.Errorf("removed %v, %v", w.operator.removed, err)
	}
	wantCode(t, peer("Operator.TransferLeadershipToPeer", "", ""), 400)
	wantCode(t, peer("Operator.TransferLeadershipToPeer", "s1", "10.0.0.1:4647"), 400)
	if err := peer("Operator.TransferLeadershipToPeer", "", "10.0.0.1:4647"); err != nil || w.operator.transfer[0] != "|10.0.0.1:4647" {
		t.Errorf("transfers %v, %v", w.operator.transfer, err)
	}
	if got := must(call[structs.RaftConfigurationResponse](w, "Operator.RaftGetConfiguration", generic("")))(t); len(got.Servers) != 1 || got.Index != 3 {
		t.Errorf("configuration %+v", got)
	}
	if got := must(call[structs.OperatorHealthReply](w, "Operator.ServerHealth", generic("")))(t); !got.Healthy {
		t.Errorf("health %+v", got)
	}
	members := must(call[structs.ServerMembersResponse](w, "Status.Members", generic("")))(t)
	if members.ServerRegion != region || len(members.Members) != 1 {
		t.Errorf("members %+v", members)
	}
	if got := must(call[[]string](w, "Region.List", generic("")))(t); len(*got) != 2 {
		t.Errorf("regions %v", *got)
	}
	if got := must(call[structs.RaftStatsResponse](w, "Status.RaftStats", generic("")))(t); got.LastTerm != 2 {
		t.Errorf("stats %+v", got)
	}
}

func TestCollectionGoesOnWithoutItsCaller(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(callCtx[structs.GenericResponse](ctx, w, "System.GarbageCollect", generic("")))(t)
	if len(w.operator.gc) != 1 || w.operator.gc[0] != time.Millisecond || w.operator.gcCtxErr != nil {
		t.Errorf("collected %v with %v", w.operator.gc, w.operator.gcCtxErr)
	}
}
