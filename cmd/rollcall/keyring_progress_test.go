package main

import (
	"testing"

	"github.com/rollcall-id/rollcall/structs"
)

func TestProgressCountsTheKeysThatEveryServerReadsByTheActiveProviderAlone(t *testing.T) {
	old := &structs.KeyringProvider{ID: "aead", Clear: true}
	kek := &structs.KeyringProvider{ID: "aead.kek1", Active: true, Check: "0123"}
	key := func(id string, copies ...*structs.RootKeyCopy) *structs.RootKeyStatus {
		return &structs.RootKeyStatus{KeyID: id, Copies: copies}
	}
	before := &structs.RootKeyCopy{ID: "c1", ProviderID: "aead", Clear: true, Readable: true}
	after := &structs.RootKeyCopy{ID: "c2", ProviderID: "aead.kek1", Readable: true}
	server := func(active *structs.KeyringProvider, keys ...*structs.RootKeyStatus) *structs.KeyringServerStatus {
		return &structs.KeyringServerStatus{Name: "s1", Providers: []*structs.KeyringProvider{old, active}, Keys: keys}
	}
	for _, test := range []struct {
		name    string
		servers []*structs.KeyringServerStatus
		want    string
	}{
		{"nothing is moved yet", []*structs.KeyringServerStatus{server(kek, key("a", before), key("b", before))},
			"0 of 2 root keys (0 %) are wrapped by aead.kek1 alone and readable on every server."},
		{"a key that kept its old copy is not moved", []*structs.KeyringServerStatus{server(kek, key("a", before, after), key("b", after))},
			"1 of 2 root keys (50 %) are wrapped by aead.kek1 alone and readable on every server."},
		{"all are moved", []*structs.KeyringServerStatus{server(kek, key("a", after)), server(kek, key("a", after))},
			"1 of 1 root keys (100 %) are wrapped by aead.kek1 alone and readable on every server."},
		{"a server that can't read it", []*structs.KeyringServerStatus{server(kek, key("a", after)),
			server(kek, key("a", &structs.RootKeyCopy{ID: "c2", ProviderID: "aead.kek1", Error: "wrong key"}))},
			"0 of 1 root keys (0 %) are wrapped by aead.kek1 alone and readable on every server."},
		{"a server that has not received a key", []*structs.KeyringServerStatus{server(kek, key("a", after), key("b", after)), server(kek, key("a", after))},
			"1 of 2 root keys (50 %) are wrapped by aead.kek1 alone and readable on every server."},
		{"a server that does not answer", []*structs.KeyringServerStatus{server(kek, key("a", after)), {Name: "s2", Error: "no route"}},
			"0 of 1 root keys (0 %) are wrapped by aead.kek1 alone and readable on every server."},
		{"a copy by the active provider's name in the form that opens itself", []*structs.KeyringServerStatus{
			server(&structs.KeyringProvider{ID: "aead", Active: true, Check: "0123"}, key("a", before))},
			"0 of 1 root keys (0 %) are wrapped by aead alone and readable on every server."},
		{"the form that opens itself is the active one", []*structs.KeyringServerStatus{
			server(&structs.KeyringProvider{ID: "aead", Active: true, Clear: true}, key("a", before))},
			"1 of 1 root keys (100 %) are wrapped by aead (key beside it) alone and readable on every server."},
		{"servers in the middle of being restarted", []*structs.KeyringServerStatus{server(kek, key("a", before)),
			server(&structs.KeyringProvider{ID: "aead", Active: true, Clear: true}, key("a", before))},
			"The active providers of the servers differ: give all servers the same keyring blocks before keys are moved."},
		{"one key-encryption key is another", []*structs.KeyringServerStatus{server(kek, key("a", before)),
			server(&structs.KeyringProvider{ID: "aead.kek1", Active: true, Check: "4567"}, key("a", before))},
			"The active providers of the servers differ: give all servers the same keyring blocks before keys are moved."},
		{"no server answers", []*structs.KeyringServerStatus{{Name: "s1", Error: "no route"}}, "No server tells of root keys."},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := custodyProgress(test.servers); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
