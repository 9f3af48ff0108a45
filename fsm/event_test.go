package fsm

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/events"
	"github.com/rollcall-id/rollcall/structs"
)

// recorder keeps what is published.
type recorder struct {
	events []structs.Event
	firsts []uint64
	resets []uint64
}

func (r *recorder) Publish(first uint64, events []structs.Event) {
	r.firsts = append(r.firsts, first)
	r.events = append(r.events, events...)
}
func (r *recorder) Reset(index uint64) { r.resets = append(r.resets, index) }

// taken returns what was published since it was last called, in short form.
func (r *recorder) taken() []string {
	var out []string
	for _, e := range r.events {
		out = append(out, fmt.Sprintf("%d %s %s %s", e.Index, e.Topic, e.Type, e.Key))
	}
	r.events = nil
	return out
}

func TestCommandsBecomeEvents(t *testing.T) {
	rec := &recorder{}
	f := New(Config{Events: rec})
	node, key, second := uuid(1), uuid(901), uuid(902)
	minted := func(keyID string) *structs.NodeRegisterRequest {
		r := registration(1, 2)
		r.Node.IdentitySigningKeyID, r.Node.IdentityTTL = keyID, time.Hour
		return r
	}
	status := func(keyID string) *structs.NodeUpdateStatusRequest {
		return &structs.NodeUpdateStatusRequest{NodeID: node, Status: "ready", IdentitySigningKeyID: keyID, IdentityTTL: time.Hour, UpdatedAt: 1_700_000_000}
	}
	inPool := minted(second)
	inPool.Node.NodePool, inPool.CreateNodePool = "edge", true
	prepublished := activeKey(2)
	prepublished.WrappedRootKeys.State, prepublished.WrappedRootKeys.PublishTime = structs.KeyStatePrepublished, 1
	for i, tc := range []struct {
		name string
		t    structs.MessageType
		msg  any
		want []string
	}{
		{"the first key", structs.RootKeyUpsertMsg, activeKey(1), []string{"Keyring KeyringRotated " + key}},
		{"a registration without an identity", structs.NodeRegisterMsg, registration(1, 2), []string{"Node NodeRegistration " + node}},
		{"a registration with the first", structs.NodeRegisterMsg, minted(key), []string{"Node NodeRegistration " + node, "Identity IdentityIssued " + node}},
		{"a registration that keeps the key", structs.NodeRegisterMsg, minted(key), []string{"Node NodeRegistration " + node}},
		{"a status", structs.NodeUpdateStatusMsg, status(""), []string{"Node NodeStreamEvent " + node}},
		{"a renewal", structs.NodeUpdateStatusMsg, status(key), []string{"Node NodeStreamEvent " + node, "Identity IdentityRenewed " + node}},
		{"a key ahead of use", structs.RootKeyUpsertMsg, prepublished, []string{"Keyring KeyringPrepublished " + second}},
		{"its promotion", structs.RootKeyUpsertMsg, activeKey(2), []string{"Keyring KeyringUpdated " + key, "Keyring KeyringPromoted " + second}},
		{"a pool made by a registration", structs.NodeRegisterMsg, inPool,
			[]string{"NodePool NodePoolUpserted edge", "Node NodeRegistration " + node, "Identity IdentityRenewed " + node}},
		{"a node's own events", structs.UpsertNodeEventsMsg, &structs.EmitNodeEventsRequest{NodeEvents: map[string][]*structs.NodeEvent{node: {{Message: "m"}, {Message: "n"}}}},
			[]string{"Node NodeStreamEvent " + node}},
		{"a drain", structs.NodeUpdateDrainMsg, &structs.NodeUpdateDrainRequest{NodeID: node, DrainStrategy: &structs.DrainStrategy{}}, []string{"Node NodeDrain " + node}},
		{"drains", structs.BatchNodeUpdateDrainMsg, &structs.BatchNodeUpdateDrainRequest{Updates: map[string]*structs.DrainUpdate{node: {}}}, []string{"Node NodeDrain " + node}},
		{"an eligibility", structs.NodeUpdateEligibilityMsg, &structs.NodeUpdateEligibilityRequest{NodeID: node, Eligibility: "ineligible"}, []string{"Node NodeEligibility " + node}},
		{"a pool", structs.NodePoolUpsertMsg, &structs.NodePoolUpsertRequest{NodePools: []*structs.NodePool{{Name: "gpu"}}}, []string{"NodePool NodePoolUpserted gpu"}},
		{"the end of a pool", structs.NodePoolDeleteMsg, &structs.NodePoolDeleteRequest{Names: []string{"gpu"}}, []string{"NodePool NodePoolDeleted gpu"}},
		{"the end of a node", structs.NodeDeregisterMsg, &structs.NodeDeregisterRequest{NodeID: node}, []string{"Node NodeDeregistration " + node}},
		{"a policy", structs.ACLPolicyUpsertMsg, &structs.ACLPolicyUpsertRequest{Policies: []*structs.ACLPolicy{{Name: "p"}, {Name: "q"}}},
			[]string{"ACLPolicy ACLPolicyUpserted p", "ACLPolicy ACLPolicyUpserted q"}},
		{"the end of policies, of which one is not there", structs.ACLPolicyDeleteMsg, &structs.ACLPolicyDeleteRequest{Names: []string{"p", "none"}}, []string{"ACLPolicy ACLPolicyDeleted p"}},
		{"a role", structs.ACLRolesUpsertMsg, &structs.ACLRolesUpsertRequest{ACLRoles: []*structs.ACLRole{{ID: uuid(7), Name: "r"}}}, []string{"ACLRole ACLRoleUpserted " + uuid(7)}},
		{"the end of a role", structs.ACLRolesDeleteMsg, &structs.ACLRolesDeleteByIDRequest{ACLRoleIDs: []string{uuid(7)}}, []string{"ACLRole ACLRoleDeleted " + uuid(7)}},
		{"the first token", structs.ACLTokenBootstrapMsg, &structs.ACLTokenBootstrapCommand{Token: managementToken(8)}, []string{"ACLToken ACLTokenUpserted " + uuid(8)}},
		{"a token", structs.ACLTokenUpsertMsg, &structs.ACLTokenUpsertRequest{Tokens: []*structs.ACLToken{managementToken(9)}}, []string{"ACLToken ACLTokenUpserted " + uuid(9)}},
		{"the end of tokens, of which one is not there", structs.ACLTokenDeleteMsg, &structs.ACLTokenDeleteRequest{AccessorIDs: []string{uuid(9), uuid(10)}}, []string{"ACLToken ACLTokenDeleted " + uuid(9)}},
		{"the end of a key", structs.RootKeyDeleteMsg, &structs.KeyringDeleteRequest{KeyID: key}, []string{"Keyring KeyringRemoved " + key}},
	} {
		index := uint64(10 + i)
		apply(t, f, index, tc.t, tc.msg)
		for j := range tc.want {
			tc.want[j] = fmt.Sprintf("%d %s", index, tc.want[j])
		}
		if diff := cmp.Diff(tc.want, rec.taken()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
	applyErr(t, f, 50, structs.NodeDeregisterMsg, &structs.NodeDeregisterRequest{NodeID: node}, structs.ErrNodeNotFound)
	if got := rec.taken(); got != nil {
		t.Errorf("a command that was refused made events %q", got)
	}
}

func managementToken(n int) *structs.ACLToken {
	return &structs.ACLToken{AccessorID: uuid(n), SecretID: uuid(100 + n), Type: structs.ACLTokenManagement}
}

func TestCollectedNodesBecomeEvents(t *testing.T) {
	rec := &recorder{}
	f := New(Config{Events: rec})
	f.ApplyBatch([]*raft.Log{entry(t, 2, structs.NodeRegisterMsg, registration(1, 1)), entry(t, 3, structs.NodeRegisterMsg, registration(2, 1))})
	if diff := cmp.Diff([]uint64{2}, rec.firsts); diff != "" {
		t.Errorf("first indexes of the batches (-want +got):\n%s", diff)
	}
	rec.taken()
	apply(t, f, 4, structs.NodeBatchDeregisterMsg, &structs.NodeBatchDeregisterRequest{NodeIDs: []string{uuid(1), uuid(2)}})
	want := []string{"4 Node NodeDeregistration " + uuid(1), "4 Node NodeDeregistration " + uuid(2)}
	if diff := cmp.Diff(want, rec.taken()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// Events of what was applied before an entry that stops the server are given out, those of after it are not.
func TestAFatalEntryEndsTheEvents(t *testing.T) {
	rec := &recorder{}
	f := New(Config{Events: rec, OnFatal: func(error) {}})
	f.ApplyBatch([]*raft.Log{entry(t, 2, structs.NodeRegisterMsg, registration(1, 1)), rawEntry(3, 99), entry(t, 4, structs.NodeRegisterMsg, registration(2, 1))})
	if diff := cmp.Diff([]string{"2 Node NodeRegistration " + uuid(1)}, rec.taken()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestARestoreResetsTheEvents(t *testing.T) {
	old := New(Config{})
	apply(t, old, 4, structs.NodeRegisterMsg, registration(1, 1))
	rec := &recorder{}
	restore(t, New(Config{Events: rec}), persist(t, old))
	if diff := cmp.Diff([]uint64{4}, rec.resets); diff != "" {
		t.Errorf("resets (-want +got):\n%s", diff)
	}
}

// What is shown of an event holds neither a secret, nor its hash, nor key material.
func TestEventsHoldNoSecrets(t *testing.T) {
	rec := &recorder{}
	f := New(Config{Events: rec})
	key := activeKey(1)
	material := key.WrappedRootKeys.WrappedKeys[0]
	apply(t, f, 2, structs.RootKeyUpsertMsg, key)
	reg := registration(1, 1)
	secret := reg.Node.SecretID
	reg.AuthToken = "the-token-of-a-request"
	apply(t, f, 3, structs.NodeRegisterMsg, reg)
	token := managementToken(2)
	apply(t, f, 4, structs.ACLTokenUpsertMsg, &structs.ACLTokenUpsertRequest{Tokens: []*structs.ACLToken{token}})
	var shown strings.Builder
	for i := range rec.events {
		b, err := json.Marshal(&rec.events[i])
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(b)
	}
	if !strings.Contains(shown.String(), `"SecretID":""`) || !strings.Contains(shown.String(), uuid(901)) {
		t.Errorf("events are not what is looked into: %s", shown.String())
	}
	hidden := map[string]any{
		"secret ID": secret, "request token": reg.AuthToken, "secret hash": structs.HashSecret(secret),
		"token's secret": token.SecretID, "hash of a token's secret": structs.HashSecret(token.SecretID),
		"wrapped key": material.WrappedDataEncryptionKey.Ciphertext,
	}
	for name, v := range hidden {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(shown.String(), strings.Trim(string(text), `"`)) || strings.Contains(shown.String(), "Wrapped") {
			t.Errorf("the events show the %s", name)
		}
	}
}

// BenchmarkApplyEvents is what keeping events costs an apply while nobody follows them.
func BenchmarkApplyEvents(b *testing.B) {
	for _, batch := range []int{1, 64} {
		for _, kept := range []bool{false, true} {
			b.Run(fmt.Sprintf("batch=%d/events=%t", batch, kept), func(b *testing.B) {
				f := fleet(b, benchNodes)
				if kept {
					f.events = events.New(events.Config{})
				}
				run(b, f, batch, func(i int) *raft.Log {
					return entry(b, uint64(1_000_000+i), structs.NodeUpdateStatusMsg, &structs.NodeUpdateStatusRequest{
						NodeID: uuid(i * 7 % benchNodes), Status: structs.NodeStatusReady, UpdatedAt: 1_700_000_000,
					})
				})
			})
		}
	}
}
