package keyring

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"

	"github.com/rollcall-id/rollcall/structs"
)

// fakeKMS stands for a provider elsewhere: it can be down, and it can hang.
type fakeKMS struct {
	mu    sync.Mutex
	err   error
	hangs bool
	calls int
}

func (f *fakeKMS) set(err error, hangs bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.hangs = err, hangs
}

func (f *fakeKMS) called() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *fakeKMS) Type(context.Context) (wrapping.WrapperType, error) { return "fake", nil }
func (f *fakeKMS) KeyId(context.Context) (string, error)              { return "fake", nil } //nolint:revive // the interface's spelling
func (f *fakeKMS) SetConfig(context.Context, ...wrapping.Option) (*wrapping.WrapperConfig, error) {
	return nil, nil
}

func (f *fakeKMS) Encrypt(_ context.Context, clear []byte, _ ...wrapping.Option) (*wrapping.BlobInfo, error) {
	return &wrapping.BlobInfo{Ciphertext: xor(clear), KeyInfo: &wrapping.KeyInfo{KeyId: "v1", Mechanism: 7,
		KeyPurposes: []wrapping.KeyPurpose{wrapping.KeyPurpose_Encrypt}}}, nil
}

func (f *fakeKMS) Decrypt(ctx context.Context, in *wrapping.BlobInfo, _ ...wrapping.Option) ([]byte, error) {
	f.mu.Lock()
	err, hangs := f.err, f.hangs
	f.calls++
	f.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	if in.KeyInfo.GetKeyId() != "v1" || in.KeyInfo.GetMechanism() != 7 || len(in.KeyInfo.GetKeyPurposes()) != 1 {
		return nil, errors.New("key info was lost")
	}
	return xor(in.Ciphertext), nil
}

func xor(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = b[i] ^ 0x5a
	}
	return out
}

// kmsConfig has a fake provider for new keys and aead for others.
func kmsConfig(f *fakeKMS) Config {
	return Config{Clock: time.Now, Wrappers: []WrapperConfig{
		{Provider: "fake", Name: "main", Active: true, Wrapper: f}, {Provider: ProviderAEAD},
	}}
}

func kmsKey(t *testing.T, f *fakeKMS, n int) *structs.RootKey {
	t.Helper()
	root, err := newKeyring(t, kmsConfig(f)).NewRootKey(KeySpec{ID: keyID(n), Now: testNow, State: structs.KeyStateInactive})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestNotReadyBeforeTheFirstSet(t *testing.T) {
	k := newKeyring(t, Config{})
	if ok, _, _ := k.Ready(); ok {
		t.Error("ready before it was told of any keys")
	}
	if !k.Usable(keyID(1)) {
		t.Error("a key that it was not told of yet would be replaced")
	}
	k.Set(context.Background(), nil)
	if ok, _, _ := k.Ready(); !ok {
		t.Error("not ready although there are no keys")
	}
	if _, err := k.Sign(nodeClaims(1)); !errors.Is(err, ErrNoActiveKey) {
		t.Errorf("sign without keys: %v", err)
	}
}

func TestOneUndecryptableKeyBlocksNoOther(t *testing.T) {
	bad := testRootKey(t, structs.AlgES256, 2, structs.KeyStateInactive)
	bad.WrappedKeys[0].WrappedDataEncryptionKey.Ciphertext[20] ^= 1
	good := testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive)
	k := newKeyring(t, Config{})
	k.Set(context.Background(), []*structs.RootKey{bad, nil, good})
	ok, pending, failed := k.Ready()
	if !ok || len(pending) != 0 || len(failed) != 1 || failed[bad.KeyID] == nil {
		t.Fatalf("ready %v, pending %v, failed %v", ok, pending, failed)
	}
	mustSign(t, k, nodeClaims(1))
}

func TestDamagedKeysFailWithTheirReason(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*structs.RootKey)
	}{
		{"no wrapped copy", func(r *structs.RootKey) { r.WrappedKeys = nil }},
		{"a nil copy", func(r *structs.RootKey) { r.WrappedKeys = []*structs.WrappedKey{nil} }},
		{"no data encryption key", func(r *structs.RootKey) { r.WrappedKeys[0].WrappedDataEncryptionKey = nil }},
		{"an empty ciphertext", func(r *structs.RootKey) { r.WrappedKeys[0].WrappedDataEncryptionKey.Ciphertext = nil }},
		{"a ciphertext of five bytes", func(r *structs.RootKey) { r.WrappedKeys[0].WrappedDataEncryptionKey.Ciphertext = []byte("12345") }},
		{"a ciphertext without its end", func(r *structs.RootKey) {
			b := r.WrappedKeys[0].WrappedDataEncryptionKey
			b.Ciphertext = b.Ciphertext[:len(b.Ciphertext)-1]
		}},
		{"another key-encryption key", func(r *structs.RootKey) { r.WrappedKeys[0].KeyEncryptionKey[0] ^= 1 }},
		{"a key-encryption key of the wrong length", func(r *structs.RootKey) { r.WrappedKeys[0].KeyEncryptionKey = []byte("short") }},
		{"no key-encryption key", func(r *structs.RootKey) { r.WrappedKeys[0].KeyEncryptionKey = nil }},
		{"a provider that is not configured", func(r *structs.RootKey) {
			r.WrappedKeys[0].ProviderID, r.WrappedKeys[0].KeyEncryptionKey = "transit.main", nil
		}},
		{"a signing key spoilt", func(r *structs.RootKey) { r.WrappedKeys[0].WrappedECKey.Ciphertext[15] ^= 1 }},
		{"a signing key of another kind", func(r *structs.RootKey) {
			r.WrappedKeys[0].WrappedRSAKey, r.WrappedKeys[0].WrappedECKey = r.WrappedKeys[0].WrappedECKey, nil
			r.SigningAlgorithm = ""
		}},
		{"the data encryption key as signing key", func(r *structs.RootKey) {
			r.WrappedKeys[0].WrappedECKey = r.WrappedKeys[0].WrappedDataEncryptionKey
		}},
		{"two signing keys", func(r *structs.RootKey) { r.WrappedKeys[0].WrappedRSAKey = r.WrappedKeys[0].WrappedECKey }},
		{"a signing key where a data encryption key belongs", func(r *structs.RootKey) {
			r.WrappedKeys[0].WrappedDataEncryptionKey = r.WrappedKeys[0].WrappedECKey
		}},
		{"an algorithm that is not its material's", func(r *structs.RootKey) { r.SigningAlgorithm = structs.AlgEdDSA }},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive)
			c.spoil(root)
			k := newKeyring(t, Config{})
			k.Set(context.Background(), []*structs.RootKey{root})
			if _, _, failed := k.Ready(); failed[root.KeyID] == nil {
				t.Fatal("loaded")
			}
			if _, err := k.Sign(nodeClaims(1)); !errors.Is(err, ErrActiveKeyNotLoaded) {
				t.Errorf("sign: %v", err)
			}
			if len(k.Public()) != 0 {
				t.Error("published")
			}
		})
	}
}

func TestAHangingProviderHoldsUpNoOtherKey(t *testing.T) {
	kms := &fakeKMS{}
	slow, fast := kmsKey(t, kms, 2), testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive)
	kms.set(nil, true)
	synctest.Test(t, func(t *testing.T) {
		k := newKeyring(t, kmsConfig(kms))
		done := make(chan struct{})
		go func() {
			defer close(done)
			k.Set(context.Background(), []*structs.RootKey{slow, fast})
		}()
		synctest.Wait()
		if _, err := k.Sign(nodeClaims(1)); err != nil {
			t.Errorf("sign while another key hangs: %v", err)
		}
		if ok, pending, _ := k.Ready(); ok || len(pending) != 1 {
			t.Errorf("ready %v, pending %v", ok, pending)
		}
		// Another Set is not held up either, and what it drops stays dropped.
		k.Set(context.Background(), []*structs.RootKey{fast})
		if ok, _, failed := k.Ready(); !ok || len(failed) != 0 {
			t.Errorf("ready %v, failed %v", ok, failed)
		}
		<-done
		if ok, _, failed := k.Ready(); !ok || len(failed) != 0 {
			t.Errorf("after the first Set: ready %v, failed %v", ok, failed)
		}
	})
}

func TestFailedKeysAreRetriedWithGrowingPauses(t *testing.T) {
	kms := &fakeKMS{}
	root := kmsKey(t, kms, 1)
	kms.set(errors.New("unreachable"), false)
	synctest.Test(t, func(t *testing.T) {
		k := newKeyring(t, kmsConfig(kms))
		ctx := context.Background()
		k.Set(ctx, []*structs.RootKey{root})
		before := kms.called()
		var pauses []time.Duration
		for range 8 {
			wait := k.Retry(ctx)
			pauses = append(pauses, wait)
			time.Sleep(wait)
		}
		if got, want := fmt.Sprint(pauses), "[1s 2s 4s 5s 5s 5s 5s 5s]"; got != want {
			t.Errorf("pauses %s, want %s", got, want)
		}
		if tries := kms.called() - before; tries != 7 {
			t.Errorf("%d tries", tries)
		}
		if k.Usable(root.KeyID) {
			t.Error("usable after eight failures")
		}
		kms.set(nil, false)
		if wait := k.Retry(ctx); wait != 0 {
			t.Errorf("still %v to wait", wait)
		}
		if _, _, failed := k.Ready(); len(failed) != 0 || !k.Usable(root.KeyID) {
			t.Errorf("not loaded by the retry: %v", failed)
		}
	})
}

func TestSetRetriesAtOnce(t *testing.T) {
	kms := &fakeKMS{}
	root := kmsKey(t, kms, 1)
	k := newKeyring(t, kmsConfig(kms))
	kms.set(errors.New("unreachable"), false)
	k.Set(context.Background(), []*structs.RootKey{root})
	if !k.Usable(root.KeyID) {
		t.Error("given up after one failure")
	}
	kms.set(nil, false)
	k.Set(context.Background(), []*structs.RootKey{root})
	if _, _, failed := k.Ready(); len(failed) != 0 {
		t.Error(failed)
	}
}

func TestACancelledSetLeavesKeysPending(t *testing.T) {
	kms := &fakeKMS{}
	root := kmsKey(t, kms, 1)
	k := newKeyring(t, kmsConfig(kms))
	kms.set(nil, true)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	k.Set(ctx, []*structs.RootKey{root})
	ok, pending, failed := k.Ready()
	if ok || len(pending) != 1 || len(failed) != 0 {
		t.Fatalf("ready %v, pending %v, failed %v", ok, pending, failed)
	}
	if err := k.WaitReady(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("wait: %v", err)
	}
	kms.set(nil, false)
	if wait := k.Retry(context.Background()); wait != 0 {
		t.Errorf("still %v to wait", wait)
	}
	if err := k.WaitReady(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestMetadataOnlyKeysAreNeitherLoadedNorRetried(t *testing.T) {
	legacy := testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive).Meta().RootKey()
	k := newKeyring(t, Config{})
	k.Set(context.Background(), []*structs.RootKey{legacy})
	if _, _, failed := k.Ready(); !errors.Is(failed[legacy.KeyID], ErrNoMaterial) {
		t.Fatalf("failed: %v", failed)
	}
	if k.Usable(legacy.KeyID) {
		t.Error("usable")
	}
	if wait := k.Retry(context.Background()); wait != 0 {
		t.Errorf("would be retried in %v", wait)
	}
	// Its material may still arrive.
	k.Set(context.Background(), []*structs.RootKey{testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive)})
	mustSign(t, k, nodeClaims(1))
}

func TestWaitLoaded(t *testing.T) {
	good, bad := testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive), testRootKey(t, structs.AlgES256, 2, structs.KeyStateInactive)
	bad.WrappedKeys[0].KeyEncryptionKey[0] ^= 1
	synctest.Test(t, func(t *testing.T) {
		k := newKeyring(t, Config{})
		go func() {
			time.Sleep(time.Second)
			k.Set(context.Background(), []*structs.RootKey{good, bad})
		}()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := k.WaitLoaded(ctx, good.KeyID); err != nil || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := k.WaitLoaded(ctx, bad.KeyID); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the reason is not told: %v", err)
		}
		if err := k.WaitLoaded(ctx, keyID(99)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a key that never comes: %v", err)
		}
	})
}

func TestAPromotionKeepsTheLoadedKey(t *testing.T) {
	a, b := testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive), testRootKey(t, structs.AlgEdDSA, 2, structs.KeyStatePrepublished)
	k := newKeyring(t, Config{}, a, b)
	before := k.current.Load().keys[b.KeyID]
	a2, b2 := a.Copy(), b.Copy()
	a2.State, b2.State = structs.KeyStateInactive, structs.KeyStateActive
	k.Set(context.Background(), []*structs.RootKey{a2, b2})
	if k.current.Load().keys[b.KeyID] != before {
		t.Error("unwrapped again")
	}
	if s, err := k.Sign(nodeClaims(1)); err != nil || s.KeyID != b.KeyID {
		t.Errorf("signed by %s: %v", s.KeyID, err)
	}
}

func TestOtherMaterialUnderTheSameIDReplacesTheKey(t *testing.T) {
	a := testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive)
	k := newKeyring(t, Config{}, a)
	token := mustSign(t, k, nodeClaims(1))
	b := testRootKey(t, structs.AlgES256, 2, structs.KeyStateActive)
	b.KeyID = a.KeyID
	k.Set(context.Background(), []*structs.RootKey{b})
	if _, err := k.Verify(token, testNow); !errors.Is(err, structs.ErrTokenInvalid) {
		t.Errorf("a token of the old material: %v", err)
	}
	mustSign(t, k, nodeClaims(2))
}

func TestDroppedKeysAreOverwritten(t *testing.T) {
	k := newKeyring(t, Config{}, testRootKey(t, structs.AlgEdDSA, 1, structs.KeyStateActive),
		testRootKey(t, structs.AlgES256, 2, structs.KeyStateInactive), testRootKey(t, structs.AlgRS256, 3, structs.KeyStateInactive))
	r := k.current.Load()
	seed := r.keys[keyID(1)].priv.(ed25519.PrivateKey)
	k.Set(context.Background(), nil)
	for i, b := range seed {
		if b != 0 {
			t.Fatalf("byte %d of the Ed25519 key is still there", i)
		}
	}
	for id, key := range r.keys {
		if _, err := key.sign("x"); !errors.Is(err, errKeyDropped) || key.priv != nil {
			t.Errorf("%s signs after it was dropped: %v", id, err)
		}
	}
}

// Run with the race detector: signing, verifying and changing the set at the same time.
func TestKeysChangeUnderSigningAndVerifying(t *testing.T) {
	var sets [][]*structs.RootKey
	for i, alg := range testAlgs {
		root := testRootKey(t, alg, i+1, structs.KeyStateActive)
		sets = append(sets, []*structs.RootKey{root}, []*structs.RootKey{root, testRootKey(t, structs.AlgES256, 7, structs.KeyStateInactive)})
	}
	k := newKeyring(t, Config{CacheEntries: 64}, sets[0]...)
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				signed, err := k.Sign(nodeClaims(w*1000 + n%50))
				if err != nil {
					if !errors.Is(err, ErrActiveKeyNotLoaded) {
						t.Errorf("sign: %v", err)
					}
					continue
				}
				c, err := k.VerifyWait(t.Context(), signed.Token, testNow)
				if err == nil && c.ID != nodeClaims(w*1000+n%50).ID {
					t.Errorf("claims of another token: %s", c.ID)
				}
				if err != nil && !errors.Is(err, ErrNoSuchKey) {
					t.Errorf("verify: %v", err)
				}
				k.Public()
				k.JWKS()
				k.Ready()
			}
		})
	}
	for i := range 60 {
		k.Set(context.Background(), sets[i%len(sets)])
	}
	close(stop)
	k.Set(context.Background(), append(sets[0], sets[2][0], sets[4][0]))
	workers.Wait()
}
