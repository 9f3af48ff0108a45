package fsm

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

// Every message type with a meaning is applied here from the bytes that a log holds.

func TestNodeRegisterStoresTheNodeWithoutItsSecret(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	req := registration(1, 3)
	req.Node.NodePool, req.CreateNodePool = "edge", true
	apply(t, f, 10, structs.NodeRegisterMsg, req)
	n := node(t, f, uuid(1))
	if n.SecretID != "" || !n.SecretMatches(req.Node.SecretID) {
		t.Error("the secret ID was not replaced by its hash")
	}
	if n.CreateIndex != 10 || n.ModifyIndex != 10 || len(n.Events) != 1 || n.Events[0].Message != structs.NodeRegisteredEvent {
		t.Errorf("node %+v", n)
	}
	if p := pool(t, f, "edge"); p == nil || p.NodeIdentityTTL != 24*time.Hour || p.CreateIndex != 10 {
		t.Errorf("created pool %+v", p)
	}
	if f.State().NodeCount() != 1 {
		t.Errorf("%d nodes", f.State().NodeCount())
	}
}

func TestNodeRegisterWithoutANodeIsOnlyAnError(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	applyErr(t, f, 5, structs.NodeRegisterMsg, &structs.NodeRegisterRequest{}, nil)
	applyErr(t, f, 6, structs.NodeRegisterMsg, nil, nil)
}

func TestNodeStatusUpdateTakesTheWholeRequest(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	apply(t, f, 9, structs.RootKeyUpsertMsg, activeKey(1))
	apply(t, f, 10, structs.NodeRegisterMsg, registration(1, 1))
	apply(t, f, 11, structs.NodeUpdateStatusMsg, &structs.NodeUpdateStatusRequest{
		NodeID: uuid(1), Status: structs.NodeStatusReady, IdentitySigningKeyID: uuid(901), IdentityTTL: time.Hour, UpdatedAt: 1_700_000_100,
		NodeEvent: structs.NewNodeEvent(structs.NodeEventSubsystemCluster, structs.NodeHeartbeatBackEvent, time.Unix(1_700_000_100, 0)),
	})
	n := node(t, f, uuid(1))
	if n.Status != structs.NodeStatusReady || n.IdentitySigningKeyID != uuid(901) || n.IdentityTTL != time.Hour ||
		n.StatusUpdatedAt != 1_700_000_100 || n.ModifyIndex != 11 || len(n.Events) != 2 || n.Events[1].CreateIndex != 11 {
		t.Errorf("node %+v", n)
	}
	applyErr(t, f, 12, structs.NodeUpdateStatusMsg, &structs.NodeUpdateStatusRequest{NodeID: uuid(2), Status: structs.NodeStatusReady}, structs.ErrNodeNotFound)
}

func TestNodeDeregisterDeletesAllOrNothing(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	for i := range 5 {
		apply(t, f, uint64(10+i), structs.NodeRegisterMsg, registration(i, 1))
	}
	apply(t, f, 20, structs.NodeDeregisterMsg, &structs.NodeDeregisterRequest{NodeID: uuid(0)})
	applyErr(t, f, 21, structs.NodeDeregisterMsg, &structs.NodeDeregisterRequest{NodeID: uuid(0)}, structs.ErrNodeNotFound)
	applyErr(t, f, 22, structs.NodeBatchDeregisterMsg, &structs.NodeBatchDeregisterRequest{NodeIDs: []string{uuid(1), uuid(0)}}, structs.ErrNodeNotFound)
	apply(t, f, 23, structs.NodeBatchDeregisterMsg, &structs.NodeBatchDeregisterRequest{NodeIDs: []string{uuid(1), uuid(2)}})
	if f.State().NodeCount() != 2 || len(nodes(t, f.State())) != 2 {
		t.Errorf("%d nodes", f.State().NodeCount())
	}
}

func TestNodeDrainAndEligibility(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	apply(t, f, 10, structs.NodeRegisterMsg, registration(1, 1))
	apply(t, f, 11, structs.NodeUpdateDrainMsg, &structs.NodeUpdateDrainRequest{
		NodeID: uuid(1), DrainStrategy: &structs.DrainStrategy{DrainSpec: structs.DrainSpec{Deadline: time.Hour}}, UpdatedAt: 1_700_000_001,
	})
	if n := node(t, f, uuid(1)); n.DrainStrategy == nil || n.DrainStrategy.Deadline != time.Hour ||
		n.SchedulingEligibility != structs.NodeIneligible || n.LastDrain.Status != structs.DrainStatusDraining {
		t.Errorf("draining node %+v", n)
	}
	eligible := &structs.NodeUpdateEligibilityRequest{NodeID: uuid(1), Eligibility: structs.NodeEligible, UpdatedAt: 1_700_000_002}
	applyErr(t, f, 12, structs.NodeUpdateEligibilityMsg, eligible, nil)
	apply(t, f, 13, structs.BatchNodeUpdateDrainMsg, &structs.BatchNodeUpdateDrainRequest{
		Updates: map[string]*structs.DrainUpdate{uuid(1): {}}, UpdatedAt: 1_700_000_003,
	})
	if n := node(t, f, uuid(1)); n.DrainStrategy != nil || n.SchedulingEligibility != structs.NodeIneligible || n.LastDrain.Status != structs.DrainStatusComplete {
		t.Errorf("drained node %+v", n)
	}
	apply(t, f, 14, structs.NodeUpdateEligibilityMsg, eligible)
	if n := node(t, f, uuid(1)); n.SchedulingEligibility != structs.NodeEligible || n.ModifyIndex != 14 {
		t.Errorf("eligible node %+v", n)
	}
	applyErr(t, f, 15, structs.BatchNodeUpdateDrainMsg, &structs.BatchNodeUpdateDrainRequest{
		Updates: map[string]*structs.DrainUpdate{uuid(1): {}, uuid(2): {}},
	}, structs.ErrNodeNotFound)
}

func TestNodeEventsAreAppended(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	apply(t, f, 10, structs.NodeRegisterMsg, registration(1, 1))
	var events []*structs.NodeEvent
	for i := range 12 {
		events = append(events, &structs.NodeEvent{Message: fmt.Sprint("event ", i), Subsystem: "Driver"})
	}
	apply(t, f, 11, structs.UpsertNodeEventsMsg, &structs.EmitNodeEventsRequest{NodeEvents: map[string][]*structs.NodeEvent{uuid(1): events}})
	n := node(t, f, uuid(1))
	if len(n.Events) != structs.MaxNodeEvents || n.Events[9].Message != "event 11" || n.ModifyIndex != 10 {
		t.Errorf("%d events, modified at %d", len(n.Events), n.ModifyIndex)
	}
}

func TestNodePoolUpsertFillsInTheTTL(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	apply(t, f, 10, structs.NodePoolUpsertMsg, &structs.NodePoolUpsertRequest{NodePools: []*structs.NodePool{
		{Name: "old"}, {Name: "short", NodeIdentityTTL: time.Hour},
	}})
	if old, short := pool(t, f, "old"), pool(t, f, "short"); old.NodeIdentityTTL != 24*time.Hour || len(old.Hash) != 32 || short.NodeIdentityTTL != time.Hour {
		t.Errorf("pools %+v, %+v", old, short)
	}
	applyErr(t, f, 11, structs.NodePoolUpsertMsg, &structs.NodePoolUpsertRequest{NodePools: []*structs.NodePool{{Name: "new"}, {Name: "all"}}}, nil)
	applyErr(t, f, 12, structs.NodePoolUpsertMsg, &structs.NodePoolUpsertRequest{NodePools: []*structs.NodePool{{Name: "new", NodeIdentityTTL: -1}}}, nil)
	applyErr(t, f, 13, structs.NodePoolDeleteMsg, &structs.NodePoolDeleteRequest{Names: []string{"old", "unknown"}}, structs.ErrNodePoolNotFound)
	apply(t, f, 14, structs.NodePoolDeleteMsg, &structs.NodePoolDeleteRequest{Names: []string{"old"}})
	if pool(t, f, "old") != nil {
		t.Error("pool old is still there")
	}
}

func activeKey(n int) *structs.RootKeyUpsertRequest {
	return &structs.RootKeyUpsertRequest{WrappedRootKeys: &structs.RootKey{
		KeyID: uuid(900 + n), Algorithm: structs.EncryptionAlgorithmAES256GCM, State: structs.KeyStateActive, CreateTime: int64(n),
		SigningAlgorithm: structs.AlgES256,
		WrappedKeys:      []*structs.WrappedKey{{Provider: "aead", ProviderID: "aead", WrappedDataEncryptionKey: &structs.BlobInfo{Ciphertext: []byte("wrapped")}}},
	}}
}

func TestRootKeysRotateAndAreDeleted(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	apply(t, f, 10, structs.RootKeyUpsertMsg, activeKey(1))
	apply(t, f, 11, structs.RootKeyUpsertMsg, activeKey(2))
	if a, b := rootKey(t, f, uuid(901)), rootKey(t, f, uuid(902)); !a.IsInactive() || a.ModifyIndex != 11 || !b.IsActive() || b.CreateIndex != 11 {
		t.Errorf("keys %+v, %+v", a, b)
	}
	applyErr(t, f, 12, structs.RootKeyDeleteMsg, &structs.KeyringDeleteRequest{KeyID: uuid(902)}, structs.ErrRootKeyActive)
	applyErr(t, f, 13, structs.RootKeyDeleteMsg, &structs.KeyringDeleteRequest{KeyID: uuid(903)}, structs.ErrRootKeyNotFound)
	apply(t, f, 14, structs.RootKeyDeleteMsg, &structs.KeyringDeleteRequest{KeyID: uuid(901)})
	if rootKey(t, f, uuid(901)) != nil {
		t.Error("the deleted key is still there")
	}
	applyErr(t, f, 15, structs.RootKeyUpsertMsg, &structs.RootKeyUpsertRequest{}, nil)
}

func TestAKeyThatSignedALiveIdentityIsNotDeletedEvenByForce(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	apply(t, f, 10, structs.RootKeyUpsertMsg, activeKey(1))
	req := registration(1, 1)
	req.Node.IdentitySigningKeyID = uuid(901)
	apply(t, f, 11, structs.NodeRegisterMsg, req)
	apply(t, f, 12, structs.RootKeyUpsertMsg, activeKey(2))
	applyErr(t, f, 13, structs.RootKeyDeleteMsg, &structs.KeyringDeleteRequest{KeyID: uuid(901), Force: true, At: 1_700_000_000}, structs.ErrRootKeyInUse)
}

func TestRootKeyMetaOfOldVersionsBecomesAKeyWithoutMaterial(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	apply(t, f, 10, structs.RootKeyMetaUpsertMsg, &structs.RootKeyMetaUpsertRequest{RootKeyMeta: activeKey(1).WrappedRootKeys.Meta()})
	if k := rootKey(t, f, uuid(901)); k == nil || !k.IsActive() || len(k.WrappedKeys) != 0 || k.CreateTime != 1 {
		t.Errorf("key %+v", k)
	}
	applyErr(t, f, 11, structs.RootKeyMetaUpsertMsg, &structs.RootKeyMetaUpsertRequest{}, nil)
}

func TestKeysThatSkippedEntriesNeedAreNoted(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	f := New(Config{})
	for i, e := range []struct {
		t   structs.MessageType
		msg any
	}{
		{structs.VarApplyStateMsg, m{"Op": "set", "Var": m{"Namespace": "default", "Path": "a", "KeyID": uuid(901), "Data": []byte{1}}}},
		{structs.VarApplyStateMsg, m{"Op": "set", "Var": m{"KeyID": uuid(901)}}},
		{structs.VarApplyStateMsg, m{"Op": "delete", "Var": m{"Path": "a"}}},
		{structs.VarApplyStateMsg, m{"Op": "delete", "Var": nil}},
		{structs.AllocUpdateMsg, m{"Alloc": []m{{"ID": "a", "SigningKeyID": uuid(902)}, nil, {"SigningKeyID": uuid(904), "ClientStatus": "complete"}}}},
		{structs.ApplyPlanResultsMsg, m{"Alloc": nil, "AllocsUpdated": []m{{"SigningKeyID": uuid(903)}, {"SigningKeyID": ""}}}},
	} {
		apply(t, f, uint64(10+i), e.t, e.msg)
	}
	want := []structs.KeyUse{{KeyID: uuid(901), User: "variable"}, {KeyID: uuid(902), User: "allocation"}, {KeyID: uuid(903), User: "allocation"}}
	if diff := cmp.Diff(want, f.State().KeyUses()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	skipped := []SkippedCount{{structs.AllocUpdateMsg, 1}, {structs.ApplyPlanResultsMsg, 1}, {structs.VarApplyStateMsg, 4}}
	if diff := cmp.Diff(skipped, f.Skipped()); diff != "" {
		t.Errorf("they count as skipped all the same; -want +got:\n%s", diff)
	}
}

func TestConfigurationsAnswerACheckedChangeWithABool(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	set := func(index, modify uint64, cas bool, trailing uint64) any {
		return f.Apply(entry(t, index, structs.AutopilotMsg, &structs.AutopilotSetConfigRequest{
			CAS: cas, Config: structs.AutopilotConfig{MaxTrailingLogs: trailing, ModifyIndex: modify},
		}))
	}
	for _, step := range []struct{ got, want any }{
		{set(10, 0, false, 1), nil}, {set(11, 9, true, 2), false}, {set(12, 10, true, 3), true}, {set(13, 10, true, 4), false},
	} {
		if step.got != step.want {
			t.Errorf("autopilot: got %v, want %v", step.got, step.want)
		}
	}
	if c, err := f.State().AutopilotConfig(nil); err != nil || c.MaxTrailingLogs != 3 || c.CreateIndex != 10 || c.ModifyIndex != 12 {
		t.Errorf("autopilot %+v, %v", c, err)
	}
	schedule := func(index, modify uint64, cas bool, algorithm string) any {
		return f.Apply(entry(t, index, structs.SchedulerConfigMsg, &structs.SchedulerSetConfigRequest{
			CAS: cas, Config: structs.SchedulerConfiguration{SchedulerAlgorithm: algorithm, ModifyIndex: modify},
		}))
	}
	for _, step := range []struct{ got, want any }{
		{schedule(20, 0, false, "binpack"), nil}, {schedule(21, 20, true, "spread"), true}, {schedule(22, 20, true, "binpack"), false},
	} {
		if step.got != step.want {
			t.Errorf("scheduler: got %v, want %v", step.got, step.want)
		}
	}
	if c, err := f.State().SchedulerConfig(nil); err != nil || c.SchedulerAlgorithm != "spread" {
		t.Errorf("scheduler %+v, %v", c, err)
	}
}

func TestClusterIsNamedOnce(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	apply(t, f, 10, structs.ClusterMetadataMsg, &structs.ClusterMetadata{ClusterID: uuid(1), CreateTime: 5})
	applyErr(t, f, 11, structs.ClusterMetadataMsg, &structs.ClusterMetadata{ClusterID: uuid(2)}, nil)
	if m, err := f.State().ClusterMetadata(nil); err != nil || m.ClusterID != uuid(1) || m.CreateTime != 5 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestNamespacesAreKept(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	apply(t, f, 10, structs.NamespaceUpsertMsg, &structs.NamespaceUpsertRequest{Namespaces: []*structs.Namespace{{Name: "a", Capabilities: structs.Raw{0x81, 0xa1, 'x', 0xc3}}, {Name: "b"}}})
	applyErr(t, f, 11, structs.NamespaceDeleteMsg, &structs.NamespaceDeleteRequest{Namespaces: []string{"b", "default"}}, nil)
	apply(t, f, 12, structs.NamespaceDeleteMsg, &structs.NamespaceDeleteRequest{Namespaces: []string{"b"}})
	a, err := f.State().NamespaceByName(nil, "a")
	if err != nil || a == nil || string(a.Capabilities) != "\x81\xa1x\xc3" {
		t.Errorf("%+v, %v", a, err)
	}
	if b, err := f.State().NamespaceByName(nil, "b"); err != nil || b != nil {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestEveryMessageTypeHasTheMeaningItShould pins the dispatch table.
func TestEveryMessageTypeHasTheMeaningItShould(t *testing.T) {
	t.Parallel()
	implemented := map[structs.MessageType]bool{
		0: true, 1: true, 2: true, 3: true, 24: true, 25: true, 28: true, 29: true, 30: true, 31: true, 32: true,
		51: true, 52: true, 59: true, 60: true, 62: true, 64: true, 65: true,
		19: true, 20: true, 21: true, 22: true, 23: true, 44: true, 45: true, 46: true, 53: true, 54: true,
		8: true, 13: true, 50: true, // partially
		100: true, 101: true,
	}
	for i := range numTypes {
		typ := structs.MessageType(i)
		if got := commands[typ].apply != nil; got != implemented[typ] {
			t.Errorf("%s (%d): implemented %v", typ, i, got)
		}
		if commands[typ].partial != (typ == 8 || typ == 13 || typ == 50) {
			t.Errorf("%s (%d): partial %v", typ, i, commands[typ].partial)
		}
		if commands[typ].apply != nil && !typ.Known() {
			t.Errorf("%d is implemented and not known", i)
		}
	}
}

func TestEntriesThatAreNoCommandsGetNil(t *testing.T) {
	t.Parallel()
	f := New(Config{OnFatal: func(err error) { t.Error(err) }})
	good := entry(t, 12, structs.NodeRegisterMsg, registration(1, 1))
	results := f.ApplyBatch([]*raft.Log{
		{Index: 10, Type: raft.LogConfiguration, Data: []byte{0xff, 0xff}}, {Index: 11, Type: raft.LogNoop}, good, {Index: 13, Type: raft.LogBarrier},
	})
	if diff := cmp.Diff([]any{nil, nil, nil, nil}, results); diff != "" || f.State().NodeCount() != 1 {
		t.Errorf("%v, %d nodes", results, f.State().NodeCount())
	}
	if res := f.ApplyBatch(nil); len(res) != 0 {
		t.Errorf("an empty batch answered %v", res)
	}
}

func TestEachCommandOfABatchHasItsOwnResult(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	var batch []*raft.Log
	for i := range 6 {
		if i%2 == 0 {
			batch = append(batch, entry(t, uint64(10+i), structs.NodeRegisterMsg, registration(i, 1)))
		} else {
			batch = append(batch, entry(t, uint64(10+i), structs.NodeDeregisterMsg, &structs.NodeDeregisterRequest{NodeID: uuid(i)}))
		}
	}
	// Each command sees those before it in the batch.
	batch = append(batch, entry(t, 16, structs.NodeDeregisterMsg, &structs.NodeDeregisterRequest{NodeID: uuid(0)}))
	for i, res := range f.ApplyBatch(batch) {
		_, failed := res.(error)
		if want := i%2 == 1; failed != want {
			t.Errorf("result %d: %v", i, res)
		}
	}
	if n := f.State().NodeCount(); n != 2 {
		t.Errorf("%d nodes", n)
	}
}

func TestABatchBecomesVisibleAtOnce(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	before := f.State().Snapshot()
	f.ApplyBatch([]*raft.Log{entry(t, 10, structs.NodeRegisterMsg, registration(1, 1)), entry(t, 11, structs.NodeRegisterMsg, registration(2, 1))})
	if seq, err := before.Nodes(nil); len(collect(t, seq, err)) != 0 {
		t.Error("an older view shows the batch")
	}
	if i, err := f.State().Index("nodes"); err != nil || i != 11 {
		t.Errorf("index %d, %v", i, err)
	}
}
