package state

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func keyStates(t *testing.T, s *Store) map[string]structs.KeyState {
	out := map[string]structs.KeyState{}
	for _, k := range all[*structs.RootKey](t)(s.RootKeys(nil)) {
		out[k.KeyID[len(k.KeyID)-1:]] = k.State
	}
	return out
}

func TestRootKeyStates(t *testing.T) {
	put := func(i int, state structs.KeyState, rekey bool) func(*Txn) error {
		return func(t *Txn) error { return t.UpsertRootKey(uint64(10+i), newKey(i, state), rekey) }
	}
	base := []func(*Txn) error{put(1, "active", false), put(2, "inactive", false), put(3, "prepublished", false), put(4, "deprecated", false)}
	for _, c := range []struct {
		name    string
		command func(*Txn) error
		want    map[string]structs.KeyState
		refused bool
	}{
		{"a rotation demotes the active key", put(5, "active", false),
			map[string]structs.KeyState{"1": "inactive", "2": "inactive", "3": "prepublished", "4": "deprecated", "5": "active"}, false},
		{"a full rotation demotes all inactive keys to rekeying", put(5, "active", true),
			map[string]structs.KeyState{"1": "rekeying", "2": "rekeying", "3": "prepublished", "4": "deprecated", "5": "active"}, false},
		{"a prepublished key is promoted", put(3, "active", false),
			map[string]structs.KeyState{"1": "inactive", "2": "inactive", "3": "active", "4": "deprecated"}, false},
		{"a prepublished key leaves the active one", put(5, "prepublished", false),
			map[string]structs.KeyState{"1": "active", "2": "inactive", "3": "prepublished", "4": "deprecated", "5": "prepublished"}, false},
		{"writing the active key again is no rotation", put(1, "active", false),
			map[string]structs.KeyState{"1": "active", "2": "inactive", "3": "prepublished", "4": "deprecated"}, false},
		{"a full rotation needs a new active key", put(1, "active", true), nil, true},
		{"a full rotation can't prepublish", put(5, "prepublished", true), nil, true},
		{"the active key can't step down alone", put(1, "inactive", false), nil, true},
		{"an unknown state", put(5, "sleeping", false), nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New()
			must(t, s, base...)
			if c.refused {
				_ = unchanged(t, s, c.command)
				return
			}
			must(t, s, c.command)
			if diff := cmp.Diff(c.want, keyStates(t, s)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestPromotionKeepsCreationAndMaterial(t *testing.T) {
	s := New()
	first := newKey(3, structs.KeyStatePrepublished)
	first.PublishTime = 77
	must(t, s, putKey(5, first))
	promoted := first.Meta().RootKey()
	promoted.State, promoted.CreateTime = structs.KeyStateActive, 999
	must(t, s, putKey(6, promoted))
	want := first.Copy()
	want.State, want.CreateIndex, want.ModifyIndex = structs.KeyStateActive, 5, 6
	if diff := cmp.Diff(want, value[*structs.RootKey](t)(s.RootKeyByID(nil, first.KeyID))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDeletingRootKeys(t *testing.T) {
	const now, hour = 10_000, int64(time.Hour / time.Second)
	user := func(i int, status string, at int64, ttl time.Duration) func(*Txn) error {
		n := newNode(i)
		n.Status, n.StatusUpdatedAt, n.IdentitySigningKeyID, n.IdentityTTL = status, at, keyID(2), ttl
		return register(8, n)
	}
	note := func(t *Txn) error { return t.NoteKeyUse(8, structs.KeyUse{KeyID: keyID(2), User: "variable"}) }
	for _, c := range []struct {
		name  string
		setup []func(*Txn) error
		req   structs.KeyringDeleteRequest
		want  error
	}{
		{"unused: deleted", nil, structs.KeyringDeleteRequest{KeyID: keyID(2), At: now}, nil},
		{"unknown", nil, structs.KeyringDeleteRequest{KeyID: keyID(9), At: now}, structs.ErrRootKeyNotFound},
		{"active", nil, structs.KeyringDeleteRequest{KeyID: keyID(1), At: now}, structs.ErrRootKeyActive},
		{"active, by an imported log", nil, structs.KeyringDeleteRequest{KeyID: keyID(1)}, structs.ErrRootKeyActive},
		{"used by a ready node", []func(*Txn) error{user(1, "ready", 0, time.Hour)}, structs.KeyringDeleteRequest{KeyID: keyID(2), At: now}, structs.ErrRootKeyInUse},
		{"used by a ready node, forced", []func(*Txn) error{user(1, "ready", 0, time.Hour)}, structs.KeyringDeleteRequest{KeyID: keyID(2), At: now, Force: true}, structs.ErrRootKeyInUse},
		{"used by a ready node, by an imported log", []func(*Txn) error{user(1, "ready", 0, time.Hour)}, structs.KeyringDeleteRequest{KeyID: keyID(2)}, nil},
		{"used by a node that went down just now", []func(*Txn) error{user(1, "down", now-hour-60, time.Hour)}, structs.KeyringDeleteRequest{KeyID: keyID(2), At: now}, structs.ErrRootKeyInUse},
		{"the last identity of a node that is down has expired: deleted", []func(*Txn) error{user(1, "down", now-hour-61, time.Hour)}, structs.KeyringDeleteRequest{KeyID: keyID(2), At: now}, nil},
		{"a node that is down has an identity of unknown TTL", []func(*Txn) error{user(1, "down", 0, 0)}, structs.KeyringDeleteRequest{KeyID: keyID(2), At: now}, structs.ErrRootKeyInUse},
		{"needed by a variable", []func(*Txn) error{note, note}, structs.KeyringDeleteRequest{KeyID: keyID(2), At: now}, structs.ErrRootKeyInUse},
		{"needed by a variable, forced: deleted", []func(*Txn) error{note}, structs.KeyringDeleteRequest{KeyID: keyID(2), At: now, Force: true}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New()
			must(t, s, append([]func(*Txn) error{putKey(5, newKey(1, "active")), putKey(6, newKey(2, "inactive"))}, c.setup...)...)
			del := func(t *Txn) error { return t.DeleteRootKey(9, &c.req) }
			if c.want != nil {
				if err := unchanged(t, s, del); !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				return
			}
			must(t, s, del)
			if k := value[*structs.RootKey](t)(s.RootKeyByID(nil, c.req.KeyID)); k != nil || len(s.KeyUses()) != 0 {
				t.Errorf("left behind: %v, %v", k, s.KeyUses())
			}
		})
	}
}
