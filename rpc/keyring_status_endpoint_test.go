package rpc

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func TestAnyServerTellsTheStateOfKeysAndOnlyTheLeaderMovesThem(t *testing.T) {
	w := newWorld(t)
	read := &structs.GenericRequest{QueryOptions: structs.QueryOptions{Region: region}}
	move := &structs.KeyringRewrapRequest{ProviderID: "aead.kek1", WriteRequest: structs.WriteRequest{Region: region}}
	all, err := call[structs.KeyringStatusResponse](w, "Keyring.Status", read)
	if err != nil || len(all.Servers) != 2 {
		t.Errorf("status: %+v, %v", all, err)
	}
	one, err := call[structs.KeyringServerStatusResponse](w, "Keyring.ServerStatus", read)
	if err != nil || one.Server.Name != "s1.global" {
		t.Errorf("status of this server: %+v, %v", one, err)
	}
	moved, err := call[structs.KeyringRewrapResponse](w, "Keyring.Rewrap", move)
	if err != nil || !moved.Done || !cmp.Equal(w.custody.to, []string{"aead.kek1"}) {
		t.Errorf("a step: %+v, %v, asked for %v", moved, err, w.custody.to)
	}

	w.custody.err = structs.Coded(409, "another provider")
	var coded *structs.CodedError
	if _, err := call[structs.KeyringRewrapResponse](w, "Keyring.Rewrap", move); !errors.As(err, &coded) || coded.Code != 409 {
		t.Errorf("a step that is refused: %v", err)
	}
	if _, err := call[structs.KeyringStatusResponse](w, "Keyring.Status", read); err == nil {
		t.Error("an error of the status was swallowed")
	}
	w.leader.mu.Lock()
	w.leader.leaseErr = structs.ErrNoLeader
	w.leader.mu.Unlock()
	if _, err := call[structs.KeyringRewrapResponse](w, "Keyring.Rewrap", move); !errors.Is(err, structs.ErrNoLeader) || len(w.custody.to) != 2 {
		t.Errorf("a step without the lease: %v, %d taken", err, len(w.custody.to))
	}
}
