package server

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

func TestThreeServersRegisterAndRenewANode(t *testing.T) {
	servers := cluster(t, 3, nil)
	pool := newPool(t)
	for _, s := range servers {
		n := testNode()
		id, secret := n.ID, n.SecretID
		reply := register(t, pool, s.RPCAddr(), n, "")
		if reply.SignedIdentity == nil {
			t.Fatalf("registration over %s brought no identity", s.cfg.NodeName)
		}
		if len(reply.Servers) != 3 {
			t.Errorf("reply names %d servers, want 3", len(reply.Servers))
		}
		token := *reply.SignedIdentity
		if reply, err := heartbeat(pool, t, s.RPCAddr(), id, token, false); err != nil || reply.NodeModifyIndex == 0 {
			t.Fatalf("first heartbeat: index %d, %v", reply.NodeModifyIndex, err)
		}
		steady, err := heartbeat(pool, t, s.RPCAddr(), id, token, false)
		if err != nil || steady.Index != 0 || steady.SignedIdentity != nil || steady.HeartbeatTTL < 10*time.Second {
			t.Fatalf("steady heartbeat: %+v, %v", steady, err)
		}
		renewed, err := heartbeat(pool, t, s.RPCAddr(), id, token, true)
		if err != nil || renewed.SignedIdentity == nil || renewed.Index != 0 {
			t.Fatalf("forced renewal: %+v, %v", renewed, err)
		}
		for _, v := range servers {
			claims, err := v.endpointKeyring().Verify(t.Context(), *renewed.SignedIdentity, time.Now())
			if err != nil || claims.Node.NodeID != id {
				t.Errorf("%s does not verify the identity: %v", v.cfg.NodeName, err)
			}
		}
		stored, err := waitLeader(t, servers...).fsm.State().NodeByID(nil, id)
		if err != nil || stored.SecretID != "" || !stored.SecretMatches(secret) {
			t.Errorf("stored secret is not the hash alone")
		}
	}
}

func TestAFollowerTakesOverWithEverythingAcknowledged(t *testing.T) {
	servers := cluster(t, 3, nil)
	pool := newPool(t)
	leader := waitLeader(t, servers...)
	var ids []string
	tokens := map[string]string{}
	for range 20 {
		n := testNode()
		reply := register(t, pool, leader.RPCAddr(), n, "")
		ids = append(ids, n.ID)
		tokens[n.ID] = *reply.SignedIdentity
	}
	if err := leader.Shutdown(); err != nil {
		t.Fatal(err)
	}
	var rest []*Server
	for _, s := range servers {
		if s != leader {
			rest = append(rest, s)
		}
	}
	next := waitLeader(t, rest...)
	if next.heartbeats.count.Load() != int64(len(ids)) {
		t.Errorf("new leader has %d heartbeat timers, want %d", next.heartbeats.count.Load(), len(ids))
	}
	for _, id := range ids {
		renew(t, pool, rest[0].RPCAddr(), id, tokens[id])
	}
}

func TestAServerThatRestartsKeepsItsStateAndID(t *testing.T) {
	dir := t.TempDir()
	conf := testConfig(t, "s1", 1)
	conf.DataDir = dir
	s, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	waitLeader(t, s)
	pool := newPool(t)
	n := testNode()
	reply := register(t, pool, s.RPCAddr(), n, "")
	id := s.id
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}

	again := testConfig(t, "s1", 1)
	again.DataDir = dir
	s2 := start(t, again)
	waitLeader(t, s2)
	if s2.id != id {
		t.Errorf("server ID changed from %s to %s", id, s2.id)
	}
	if _, err := heartbeat(pool, t, s2.RPCAddr(), n.ID, *reply.SignedIdentity, false); err != nil {
		t.Errorf("identity from before the restart: %v", err)
	}
}

func TestASecondProcessOnTheSameDataDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	conf := testConfig(t, "s1", 1)
	conf.DataDir = dir
	start(t, conf)
	other := testConfig(t, "s2", 1)
	other.DataDir = dir
	if s, err := New(other); err == nil {
		_ = s.Shutdown()
		t.Fatal("two servers share a data directory")
	}
}

func TestKeysRotateAndTheOldOneGoesOnlyWhenUnused(t *testing.T) {
	s := cluster(t, 1, nil)[0]
	pool := newPool(t)
	n := testNode()
	reply := register(t, pool, s.RPCAddr(), n, "")
	token := *reply.SignedIdentity
	before, err := s.fsm.State().ActiveRootKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	write := structs.WriteRequest{Region: testRegion}
	var rotated structs.KeyringRotateResponse
	if err := s.RPC(t.Context(), "Keyring.Rotate", &structs.KeyringRotateRequest{WriteRequest: write}, &rotated); err != nil {
		t.Fatal(err)
	}
	del := &structs.KeyringDeleteRequest{KeyID: before.KeyID, Force: true, WriteRequest: write}
	if err := s.RPC(t.Context(), "Keyring.Delete", del, &structs.GenericResponse{}); err == nil {
		t.Fatal("a key in use was deleted")
	}
	eventually(t, "renewal under the new key", func() error {
		reply, err := heartbeat(pool, t, s.RPCAddr(), n.ID, token, true)
		if err != nil {
			return err
		}
		if reply.SignedIdentity == nil {
			return errors.New("the new key is not loaded yet")
		}
		token = *reply.SignedIdentity
		stored, err := s.fsm.State().NodeByID(nil, n.ID)
		if err == nil && stored.IdentitySigningKeyID != rotated.Key.KeyID {
			err = fmt.Errorf("node uses key %s", stored.IdentitySigningKeyID)
		}
		return err
	})
	if err := s.RPC(t.Context(), "Keyring.Delete", del, &structs.GenericResponse{}); err != nil {
		t.Fatalf("unused key not deleted: %v", err)
	}
}
