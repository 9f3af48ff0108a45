package keyring

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/structs"
)

var testKEK = bytes.Repeat([]byte{0xa7}, kekSize)

// The root keys that another program wrote unwrap to the very keys that it published.
func TestKeysFromElsewhereUnwrap(t *testing.T) {
	raw, err := os.ReadFile("testdata/nomad-1.10.5/root_keys.msgpack")
	if err != nil {
		t.Fatal(err)
	}
	var roots []*structs.RootKey
	if err := structs.Decode(raw, &roots); err != nil {
		t.Fatal(err)
	}
	k := newKeyring(t, Config{}, roots...)
	published, err := os.ReadFile("testdata/nomad-1.10.5/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := json.Marshal(k.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.TrimSpace(string(published)), string(ours)); d != "" {
		t.Errorf("JWKS (-theirs +ours):\n%s", d)
	}
	signed, err := k.Sign(nodeClaims(1))
	if err != nil {
		t.Fatal(err)
	}
	if want := "562e28bb-2fd7-809c-57c5-26c9a2279a9d"; signed.KeyID != want {
		t.Errorf("signed by %s, want the active key %s", signed.KeyID, want)
	}
}

func TestNewKeysHaveTheirForm(t *testing.T) {
	for _, c := range []struct {
		name     string
		wrappers []WrapperConfig
		provider string
		kek      int // bytes stored beside the key
	}{
		{"nothing configured", nil, "aead", kekSize},
		{"aead with a name", []WrapperConfig{{Provider: "aead", Name: "blue", Active: true}}, "aead.blue", kekSize},
		{"aead with a key-encryption key", []WrapperConfig{{Provider: "aead", Active: true, KEK: testKEK}}, "aead", 0},
		{"both", []WrapperConfig{{Provider: "aead", Name: "blue", Active: true, KEK: testKEK}}, "aead.blue", 0},
		{"a second, passive provider", []WrapperConfig{{Provider: "aead", Active: true, KEK: testKEK}, {Provider: "aead", Name: "old"}}, "aead", 0},
	} {
		for _, alg := range testAlgs {
			t.Run(c.name+" "+alg, func(t *testing.T) {
				k := newKeyring(t, Config{Wrappers: c.wrappers, Algorithm: alg})
				root, err := k.NewRootKey(KeySpec{ID: keyID(1), Now: testNow, State: structs.KeyStatePrepublished, PublishTime: testNow.Add(time.Hour)})
				if err != nil {
					t.Fatal(err)
				}
				w := root.WrappedKeys[0]
				root.WrappedKeys = nil
				want := &structs.RootKey{KeyID: keyID(1), Algorithm: "aes256-gcm", SigningAlgorithm: alg, CreateTime: testNow.UnixNano(),
					PublishTime: testNow.Add(time.Hour).UnixNano(), State: structs.KeyStatePrepublished}
				if d := cmp.Diff(want, root); d != "" {
					t.Errorf("root key (-want +got):\n%s", d)
				}
				if w.Provider != "aead" || w.ProviderID != c.provider || len(w.KeyEncryptionKey) != c.kek {
					t.Errorf("provider %q, ID %q, key-encryption key of %d bytes", w.Provider, w.ProviderID, len(w.KeyEncryptionKey))
				}
				if b := w.WrappedDataEncryptionKey; len(b.Ciphertext) != 12+dekSize+16 || b.KeyInfo == nil || b.KeyInfo.KeyId != keyID(1) {
					t.Errorf("wrapped data encryption key: %d bytes, info %+v", len(b.Ciphertext), b.KeyInfo)
				}
				if (w.WrappedECKey != nil) != (alg == structs.AlgES256) || (w.WrappedRSAKey != nil) != (alg == structs.AlgRS256) {
					t.Errorf("signing keys: P-256 %v, RSA %v", w.WrappedECKey != nil, w.WrappedRSAKey != nil)
				}
				root.WrappedKeys, root.State = []*structs.WrappedKey{w}, structs.KeyStateActive
				loaded := newKeyring(t, Config{Wrappers: c.wrappers}, root)
				if got := loaded.Public()[0].Algorithm; got != alg {
					t.Errorf("signs with %s", got)
				}
				mustSign(t, loaded, nodeClaims(1))
			})
		}
	}
}

func TestAConfiguredKEKIsNeeded(t *testing.T) {
	configured := []WrapperConfig{{Provider: "aead", Active: true, KEK: testKEK}}
	root, err := newKeyring(t, Config{Wrappers: configured}).NewRootKey(KeySpec{ID: keyID(1), Now: testNow, State: structs.KeyStateActive})
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Clone(testKEK)
	other[0] ^= 1
	for name, wrappers := range map[string][]WrapperConfig{"none": nil, "another": {{Provider: "aead", Active: true, KEK: other, Source: "file /etc/kek"}}} {
		k := newKeyring(t, Config{Wrappers: wrappers})
		k.Set(context.Background(), []*structs.RootKey{root})
		_, _, failed := k.Ready()
		if failed[root.KeyID] == nil {
			t.Errorf("unwrapped with %s", name)
		} else if text := failed[root.KeyID].Error(); name == "another" && !strings.Contains(text, "keyring provider aead (file /etc/kek)") || strings.Contains(text, "\n") {
			t.Errorf("with %s: %q, want one line that names provider and file", name, text)
		}
	}
	// A key of before, with its own key-encryption key beside it, needs no configuration.
	newKeyring(t, Config{Wrappers: configured}, testRootKey(t, structs.AlgES256, 2, structs.KeyStateActive), root)
}

func TestAnyCopyThatOpensWillDo(t *testing.T) {
	root := testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive)
	spoilt := root.WrappedKeys[0].Copy()
	spoilt.WrappedDataEncryptionKey.Ciphertext[13] ^= 1
	foreign := root.WrappedKeys[0].Copy()
	foreign.ProviderID, foreign.KeyEncryptionKey = "awskms", nil
	root.WrappedKeys = []*structs.WrappedKey{spoilt, foreign, root.WrappedKeys[0]}
	root.WrappedKeys[2].ProviderID = "" // as old versions leave it
	mustSign(t, newKeyring(t, Config{}, root), nodeClaims(1))
}

func TestConfigurationsThatCannotWork(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		text string
	}{
		{"an unknown algorithm", Config{Algorithm: "HS256"}, "HS256"},
		{"no active provider", Config{Wrappers: []WrapperConfig{{Provider: "aead"}}}, "0 keyring providers are active"},
		{"two active providers", Config{Wrappers: []WrapperConfig{{Provider: "aead", Active: true}, {Provider: "aead", Name: "b", Active: true}}}, "2 keyring providers"},
		{"two of one ID", Config{Wrappers: []WrapperConfig{{Provider: "aead", Active: true}, {Provider: "aead"}}}, "twice"},
		{"a provider without implementation", Config{Wrappers: []WrapperConfig{{Provider: "awskms", Active: true}}}, "awskms"},
		{"a short key-encryption key", Config{Wrappers: []WrapperConfig{{Provider: "aead", Active: true, KEK: []byte("short")}}}, "5 bytes"},
		{"an aead of one's own", Config{Wrappers: []WrapperConfig{{Provider: "aead", Active: true, Wrapper: &fakeKMS{}}}}, "built in"},
	} {
		if _, err := New(c.cfg); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestKeySpecsThatCannotWork(t *testing.T) {
	k := newKeyring(t, Config{})
	good := KeySpec{ID: keyID(1), Now: testNow, State: structs.KeyStateActive}
	for name, change := range map[string]func(*KeySpec){
		"no ID":                       func(s *KeySpec) { s.ID = "" },
		"no state":                    func(s *KeySpec) { s.State = "" },
		"prepublished without a time": func(s *KeySpec) { s.State = structs.KeyStatePrepublished },
		"an unknown algorithm":        func(s *KeySpec) { s.Algorithm = "none" },
	} {
		spec := good
		change(&spec)
		if _, err := k.NewRootKey(spec); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Nothing that prints prints a secret.
func TestSecretsAreNotPrinted(t *testing.T) {
	var log bytes.Buffer
	cfg := Config{
		Logger:   hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Trace}),
		Wrappers: []WrapperConfig{{Provider: "aead", Active: true, KEK: testKEK}},
	}
	maker := newKeyring(t, cfg)
	root, err := maker.NewRootKey(KeySpec{ID: keyID(1), Now: testNow, State: structs.KeyStateActive, Algorithm: structs.AlgEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	m, err := maker.wrappers.unwrap(context.Background(), root)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := root.Copy()
	spoilt.KeyID = keyID(2)
	spoilt.WrappedKeys[0].WrappedDataEncryptionKey.Ciphertext[20] ^= 1
	k := newKeyring(t, cfg)
	k.Set(context.Background(), []*structs.RootKey{root, spoilt})
	_, _, failed := k.Ready()
	k.Retry(context.Background())
	loaded := k.current.Load().keys[root.KeyID]
	k.Set(context.Background(), nil)

	text := log.String() + fmt.Sprint(failed)
	for _, v := range []any{k, cfg.Wrappers[0], cfg.Wrappers, m, loaded} {
		text += fmt.Sprintf("%v %+v %#v %s", v, v, v, v)
	}
	if !strings.Contains(text, "can't be loaded") || !strings.Contains(text, "dropped") {
		t.Fatal("the log lacks what was to be looked at")
	}
	for name, secret := range map[string][]byte{"the key-encryption key": testKEK, "the seed": m.dek} {
		for _, form := range []string{string(secret), fmt.Sprintf("%x", secret), b64(secret), fmt.Sprint(secret), fmt.Sprintf("%#v", secret),
			strings.Trim(fmt.Sprint(secret), "[]")} {
			if strings.Contains(text, form) {
				t.Errorf("%s is printed", name)
			}
		}
	}
}
