package fsm

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

// full returns a value with something in every field; entries of maps and slices and what pointers point to are
// nil where the number given by skip says so, which counts down over the places where a nil can be.
func full(t reflect.Type, skip *int, depth int) reflect.Value {
	v := reflect.New(t).Elem()
	if depth > 8 {
		return v
	}
	canBeNil := func() bool {
		*skip--
		return *skip == 0
	}
	switch t.Kind() {
	case reflect.Pointer:
		if !canBeNil() {
			v.Set(reflect.New(t.Elem()))
			v.Elem().Set(full(t.Elem(), skip, depth+1))
		}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 || canBeNil() {
			break
		}
		v.Set(reflect.MakeSlice(t, 2, 2))
		for i := range 2 {
			v.Index(i).Set(full(t.Elem(), skip, depth+1))
		}
	case reflect.Map:
		if canBeNil() {
			break
		}
		v.Set(reflect.MakeMap(t))
		v.SetMapIndex(reflect.ValueOf(uuid(1)).Convert(t.Key()), full(t.Elem(), skip, depth+1))
	case reflect.String:
		v.SetString(uuid(1))
	case reflect.Struct:
		if t == reflect.TypeFor[structs.StringMap]() {
			v.Set(reflect.ValueOf(structs.NewStringMap(map[string]string{uuid(1): uuid(1)})))
			break
		}
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() {
				v.Field(i).Set(full(f.Type, skip, depth+1))
			}
		}
	case reflect.Int64, reflect.Int:
		v.SetInt(1)
	case reflect.Uint64:
		v.SetUint(1)
	}
	return v
}

// tune makes a generated request one that is not refused for its values.
func tune(msg any) {
	switch m := msg.(type) {
	case *structs.NodeUpdateStatusRequest:
		m.Status = structs.NodeStatusReady
	case *structs.NodeUpdateEligibilityRequest:
		m.Eligibility = structs.NodeIneligible
	case *structs.RootKeyUpsertRequest:
		if m.WrappedRootKeys != nil {
			m.WrappedRootKeys.State = structs.KeyStateActive
		}
	case *structs.RootKeyMetaUpsertRequest:
		if m.RootKeyMeta != nil {
			m.RootKeyMeta.State = structs.KeyStateActive
		}
	case *structs.NodePoolUpsertRequest:
		for _, p := range m.NodePools {
			if p != nil {
				p.NodeIdentityTTL = 0
			}
		}
	}
}

// TestARequestWithAnythingMissingIsAppliedOrRefused takes a full request of every type and leaves out one thing after
// the other that can be left out. Nothing of it may panic: that would end every server at the same entry.
func TestARequestWithAnythingMissingIsAppliedOrRefused(t *testing.T) {
	requests := map[structs.MessageType]any{
		structs.NodeRegisterMsg: structs.NodeRegisterRequest{}, structs.NodeDeregisterMsg: structs.NodeDeregisterRequest{},
		structs.NodeUpdateStatusMsg: structs.NodeUpdateStatusRequest{}, structs.NodeUpdateDrainMsg: structs.NodeUpdateDrainRequest{},
		structs.AutopilotMsg: structs.AutopilotSetConfigRequest{}, structs.UpsertNodeEventsMsg: structs.EmitNodeEventsRequest{},
		structs.NodeUpdateEligibilityMsg: structs.NodeUpdateEligibilityRequest{},
		structs.BatchNodeUpdateDrainMsg:  structs.BatchNodeUpdateDrainRequest{}, structs.SchedulerConfigMsg: structs.SchedulerSetConfigRequest{},
		structs.NodeBatchDeregisterMsg: structs.NodeBatchDeregisterRequest{}, structs.ClusterMetadataMsg: structs.ClusterMetadata{},
		structs.RootKeyMetaUpsertMsg: structs.RootKeyMetaUpsertRequest{}, structs.RootKeyUpsertMsg: structs.RootKeyUpsertRequest{},
		structs.RootKeyDeleteMsg: structs.KeyringDeleteRequest{}, structs.NodePoolUpsertMsg: structs.NodePoolUpsertRequest{},
		structs.NodePoolDeleteMsg: structs.NodePoolDeleteRequest{}, structs.NamespaceUpsertMsg: structs.NamespaceUpsertRequest{},
		structs.NamespaceDeleteMsg: structs.NamespaceDeleteRequest{}, structs.VarApplyStateMsg: variableKeyUse{},
		structs.AllocUpdateMsg: allocationKeyUses{}, structs.ApplyPlanResultsMsg: allocationKeyUses{},
		structs.StateDigestCheckMsg: structs.StateDigestCheck{}, structs.FeatureGateMsg: structs.FeatureGateRequest{},
		structs.ACLPolicyUpsertMsg: structs.ACLPolicyUpsertRequest{}, structs.ACLPolicyDeleteMsg: structs.ACLPolicyDeleteRequest{},
		structs.ACLTokenUpsertMsg: structs.ACLTokenUpsertRequest{}, structs.ACLTokenDeleteMsg: structs.ACLTokenDeleteRequest{},
		structs.ACLTokenBootstrapMsg: structs.ACLTokenBootstrapCommand{}, structs.OneTimeTokenUpsertMsg: structs.OneTimeToken{},
		structs.OneTimeTokenDeleteMsg: structs.OneTimeTokenDeleteRequest{}, structs.OneTimeTokenExpireMsg: structs.OneTimeTokenExpireRequest{},
		structs.ACLRolesUpsertMsg: structs.ACLRolesUpsertRequest{}, structs.ACLRolesDeleteMsg: structs.ACLRolesDeleteByIDRequest{},
	}
	for typ, cmd := range commands {
		if cmd.apply == nil {
			continue
		}
		sample, ok := requests[structs.MessageType(typ)]
		if !ok {
			t.Errorf("no request for type %d", typ)
			continue
		}
		for missing := 0; ; missing++ {
			skip := missing + 1
			if missing == 0 {
				skip = -1 // nothing is missing
			}
			v := full(reflect.TypeOf(sample), &skip, 0)
			if missing > 0 && skip > 0 {
				break // fewer places than that
			}
			msg := reflect.New(v.Type())
			msg.Elem().Set(v)
			tune(msg.Interface())
			applyAndUse(t, structs.MessageType(typ), missing, msg.Interface())
		}
	}
}

// applyAndUse applies the request to a state with a node, and again; then saves what came of it and restores that.
func applyAndUse(t *testing.T, typ structs.MessageType, missing int, msg any) {
	t.Helper()
	defer func() {
		if x := recover(); x != nil {
			t.Errorf("%s with place %d missing: panic: %v", typ, missing, x)
		}
	}()
	m := New(Config{})
	apply(t, m, 10, structs.RootKeyUpsertMsg, &structs.RootKeyUpsertRequest{WrappedRootKeys: &structs.RootKey{
		KeyID: uuid(1), State: structs.KeyStateActive,
	}})
	apply(t, m, 11, structs.NodeRegisterMsg, &structs.NodeRegisterRequest{Node: &structs.Node{ID: uuid(1), Status: structs.NodeStatusReady}})
	for i := range uint64(2) {
		before := digest(t, m)
		res := m.Apply(&raft.Log{Index: 12 + i, Type: raft.LogCommand, Data: entry(t, 12+i, typ, msg).Data})
		if _, failed := res.(error); failed && digest(t, m) != before {
			t.Errorf("%s with place %d missing: failed with %v and changed the state", typ, missing, res)
		}
	}
	again := New(Config{})
	restore(t, again, persist(t, m))
	sameState(t, fmt.Sprintf("%s with place %d missing", typ, missing), m, again)
}
