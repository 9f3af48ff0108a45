package keyring

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rollcall-id/rollcall/structs"
)

// Whoever has a snapshot has the replicated keys, and no configuration of the servers.
func TestASnapshotSignsOnlyWithWhatOpensItsKeys(t *testing.T) {
	kms := &fakeKMS{}
	for _, c := range []struct {
		name     string
		wrappers []WrapperConfig
		signs    bool
	}{
		{"what opens them is beside them", nil, true},
		{"a key-encryption key", []WrapperConfig{{Provider: "aead", Active: true, KEK: testKEK}}, false},
		{"a service", kmsConfig(kms).Wrappers, false},
	} {
		for _, alg := range testAlgs {
			t.Run(c.name+" "+alg, func(t *testing.T) {
				root, err := newKeyring(t, Config{Wrappers: c.wrappers}).NewRootKey(KeySpec{ID: keyID(1), Now: testNow, State: structs.KeyStateActive, Algorithm: alg})
				if err != nil {
					t.Fatal(err)
				}
				thief := newKeyring(t, Config{})
				thief.Set(t.Context(), []*structs.RootKey{root})
				if _, err := thief.Sign(nodeClaims(1)); (err == nil) != c.signs {
					t.Errorf("signing without configuration: %v", err)
				}
			})
		}
	}
}

func TestAMovedKeyStaysLoadedAndSignsAllTheWhile(t *testing.T) {
	for _, alg := range testAlgs {
		t.Run(alg, func(t *testing.T) {
			old := testRootKey(t, alg, 1, structs.KeyStateActive)
			k := newKeyring(t, Config{Wrappers: []WrapperConfig{{Provider: "aead", Name: "kek", Active: true, KEK: testKEK}}}, old)
			token := mustSign(t, k, nodeClaims(1))
			loaded := k.current.Load().keys[old.KeyID]
			target, err := k.Target(t.Context())
			if err != nil || target.ProviderID != "aead.kek" || k.Find(t.Context(), old, target) != -1 {
				t.Fatalf("target %+v, %v", target, err)
			}
			both, err := k.WrapAgain(t.Context(), old)
			if err != nil || len(both.WrappedKeys) != 2 || len(old.WrappedKeys) != 1 {
				t.Fatalf("%v", err)
			}
			at := k.Find(t.Context(), both, target)
			if at != 1 || len(both.WrappedKeys[at].KeyEncryptionKey) != 0 {
				t.Fatalf("found at %d", at)
			}
			alone := both.Copy()
			alone.WrappedKeys = alone.WrappedKeys[1:]
			for _, root := range []*structs.RootKey{both, alone} {
				k.Set(t.Context(), []*structs.RootKey{root})
				if k.current.Load().keys[old.KeyID] != loaded {
					t.Error("the key was loaded anew")
				}
				mustSign(t, k, nodeClaims(2))
				if _, err := k.Verify(token, testNow); err != nil {
					t.Error(err)
				}
			}
			// Who starts with the new copy alone has the same key.
			fresh := newKeyring(t, Config{Wrappers: []WrapperConfig{{Provider: "aead", Name: "kek", Active: true, KEK: testKEK}}}, alone)
			if d := cmp.Diff(k.Public(), fresh.Public()); d != "" {
				t.Errorf("public keys differ:\n%s", d)
			}
		})
	}
}

func TestStatusTriesEachCopyByItself(t *testing.T) {
	kms := &fakeKMS{}
	clock := testNow
	cfg := kmsConfig(kms)
	cfg.Clock = func() time.Time { return clock }
	root := kmsKey(t, kms, 1)
	other := testRootKey(t, structs.AlgES256, 2, structs.KeyStateActive)
	root.WrappedKeys = append(root.WrappedKeys, other.WrappedKeys[0]) // of another key: it opens and is the wrong one
	k := newKeyring(t, cfg)
	one := root.Copy()
	one.WrappedKeys = one.WrappedKeys[:1]
	k.Set(t.Context(), []*structs.RootKey{one})
	k.Set(t.Context(), []*structs.RootKey{root})
	state := func() *structs.RootKeyStatus {
		t.Helper()
		all := k.Status(t.Context())
		if len(all) != 1 || len(all[0].Copies) != 2 {
			t.Fatalf("status %+v", all)
		}
		return all[0]
	}
	got := state()
	if !got.Loaded || !got.Copies[0].Readable || got.Copies[0].ProviderID != "fake.main" || got.Copies[0].ID == got.Copies[1].ID {
		t.Errorf("got %+v, %+v", got, got.Copies[0])
	}
	if c := got.Copies[1]; c.Readable || c.Error != errOtherKey.Error() || !c.Clear {
		t.Errorf("a copy of another key: %+v", c)
	}
	calls := kms.called()
	kms.set(errors.New("away"), false)
	if !state().Copies[0].Readable || kms.called() != calls {
		t.Error("a copy that was found good was tried again")
	}
	two := kmsKey(t, kms, 3)
	k.Set(t.Context(), []*structs.RootKey{two})
	bad := func() bool { return k.Status(t.Context())[0].Copies[0].Readable }
	if bad() {
		t.Error("readable while the provider is away")
	}
	kms.set(nil, false)
	if bad() {
		t.Error("tried again at once")
	}
	clock = clock.Add(retryMin)
	if !bad() {
		t.Error("not tried again after the pause")
	}
	if len(k.probes) != 1 {
		t.Errorf("%d copies of keys that are gone are remembered", len(k.probes)-1)
	}
	if p := k.Providers(); len(p) != 2 || p[0].ID != "aead" || !p[0].Clear || p[1].ID != "fake.main" || !p[1].Active || p[1].Check != "" {
		t.Errorf("providers %+v, %+v", p[0], p[1])
	}
}

func TestChecksTellKeysApartAndGiveNothingAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.Byte(), kekSize, kekSize).Draw(t, "a")
		b := rapid.SliceOfN(rapid.Byte(), kekSize, kekSize).Draw(t, "b")
		if (checkOf(a) == checkOf(b)) != bytes.Equal(a, b) || len(checkOf(a)) != 16 {
			t.Errorf("checks %s and %s", checkOf(a), checkOf(b))
		}
	})
	if checkOf(nil) != "" {
		t.Error("no key has a check")
	}
}

// Whatever a snapshot or a log says of a key, unwrapping it ends with an error or a key.
func FuzzUnwrap(f *testing.F) {
	k, err := New(Config{Wrappers: []WrapperConfig{{Provider: "aead", Active: true, KEK: testKEK}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, alg := range []string{structs.AlgES256, structs.AlgEdDSA} {
		root, err := k.NewRootKey(KeySpec{ID: keyID(1), Now: testNow, State: structs.KeyStateActive, Algorithm: alg})
		if err != nil {
			f.Fatal(err)
		}
		raw, err := structs.EncodeBytes(root)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		root := new(structs.RootKey)
		if structs.Decode(raw, root) != nil {
			return
		}
		k, err := New(Config{Wrappers: []WrapperConfig{{Provider: "aead", Active: true, KEK: testKEK}}})
		if err != nil {
			t.Fatal(err)
		}
		k.Set(context.Background(), []*structs.RootKey{root})
		for _, s := range k.Status(context.Background()) {
			for _, c := range s.Copies {
				if c.Readable == (c.Error != "") {
					t.Errorf("copy %+v", c)
				}
			}
		}
		for _, w := range root.WrappedKeys {
			blobsRoundTrip(t, w)
		}
		_ = k.String()
	})
}

// blobsRoundTrip holds the two forms of a blob, msgpack in the log and JSON in files, to what was read.
func blobsRoundTrip(t *testing.T, w *structs.WrappedKey) {
	if w == nil || w.WrappedDataEncryptionKey == nil {
		return
	}
	before := w.WrappedDataEncryptionKey.Copy()
	raw, err := structs.EncodeBytes(before)
	if err != nil {
		t.Fatal(err)
	}
	var after structs.BlobInfo
	if err := structs.Decode(raw, &after); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before.Ciphertext, after.Ciphertext) || !bytes.Equal(before.Iv, after.Iv) || (before.KeyInfo == nil) != (after.KeyInfo == nil) {
		t.Errorf("msgpack changed %+v to %+v", before, after)
	}
	before.ClientData = nil
	text, err := json.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	after = structs.BlobInfo{}
	if err := json.Unmarshal(text, &after); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before.Ciphertext, after.Ciphertext) || !bytes.Equal(before.Hmac, after.Hmac) {
		t.Errorf("JSON changed %+v to %+v", before, after)
	}
}
