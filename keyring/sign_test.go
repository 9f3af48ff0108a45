package keyring

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func TestTheHeaderIsThatOfTheField(t *testing.T) {
	for _, alg := range testAlgs {
		token := mustSign(t, activeRing(t, alg), nodeClaims(1))
		header, _, _ := strings.Cut(token, ".")
		got, err := base64.RawURLEncoding.DecodeString(header)
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"alg":"` + alg + `","kid":"` + keyID(1) + `","typ":"JWT"}`; string(got) != want {
			t.Errorf("header %s, want %s", got, want)
		}
	}
}

func TestNoTokenWithoutExpiry(t *testing.T) {
	k := newKeyring(t, Config{Issuer: "https://issuer.example"}, testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive))
	for name, change := range map[string]func(*structs.IdentityClaims){
		"no expiry":              func(c *structs.IdentityClaims) { c.Expiry = 0 },
		"a negative expiry":      func(c *structs.IdentityClaims) { c.Expiry = -5 },
		"expiry at the issue":    func(c *structs.IdentityClaims) { c.Expiry = c.IssuedAt },
		"expiry before issue":    func(c *structs.IdentityClaims) { c.Expiry = c.IssuedAt - 1 },
		"no kind":                func(c *structs.IdentityClaims) { c.Node = nil },
		"no audience":            func(c *structs.IdentityClaims) { c.Audience = nil },
		"another audience":       func(c *structs.IdentityClaims) { c.Audience = []string{"x"} },
		"another issuer":         func(c *structs.IdentityClaims) { c.Issuer = "https://other.example" },
		"more than fits a token": func(c *structs.IdentityClaims) { c.Node.Class = strings.Repeat("x", MaxTokenSize) },
	} {
		c := nodeClaims(1)
		change(c)
		if s, err := k.Sign(c); !errors.Is(err, ErrUnsignable) || s.Token != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := k.Sign(nil); !errors.Is(err, ErrUnsignable) {
		t.Errorf("no claims: %v", err)
	}
}

func TestOnlyTheActiveKeySigns(t *testing.T) {
	for _, state := range []structs.KeyState{structs.KeyStateInactive, structs.KeyStateRekeying, structs.KeyStatePrepublished, structs.KeyStateDeprecated} {
		k := newKeyring(t, Config{}, testRootKey(t, structs.AlgES256, 1, state))
		if _, err := k.Sign(nodeClaims(1)); !errors.Is(err, ErrNoActiveKey) {
			t.Errorf("%s key: %v", state, err)
		}
	}
	// Two active keys are never replicated; every server must pick the same all the same.
	a, b := testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive), testRootKey(t, structs.AlgES256, 2, structs.KeyStateActive)
	for _, keys := range [][]*structs.RootKey{{a, b}, {b, a}} {
		s, err := newKeyring(t, Config{}, keys...).Sign(nodeClaims(1))
		if err != nil || s.KeyID != b.KeyID {
			t.Errorf("signed by %s: %v", s.KeyID, err)
		}
	}
}

// What Sign remembers for Verify is what Verify would have found out.
func TestSigningForestallsVerifyingFaithfully(t *testing.T) {
	for name, change := range map[string]func(*structs.IdentityClaims){
		"plain":                  func(*structs.IdentityClaims) {},
		"no class":               func(c *structs.IdentityClaims) { c.Node.Class = "" },
		"an issuer":              func(c *structs.IdentityClaims) { c.Issuer = "https://issuer.example" },
		"more audiences":         func(c *structs.IdentityClaims) { c.Audience = []string{"a", structs.IdentityAudience} },
		"text that JSON escapes": func(c *structs.IdentityClaims) { c.Node.Class = "<a&b>\u2028\"" },
		"text that is no UTF-8":  func(c *structs.IdentityClaims) { c.Node.Class = "a\xffb" },
		"audience no UTF-8":      func(c *structs.IdentityClaims) { c.Audience = append(c.Audience, "\xff") },
		"two kinds":              func(c *structs.IdentityClaims) { c.Introduction = introClaims().Introduction },
		"a subject of its own":   func(c *structs.IdentityClaims) { c.Subject = "x" },
	} {
		root := testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive)
		signer, other := newKeyring(t, Config{}, root), newKeyring(t, Config{}, root)
		c := nodeClaims(1)
		change(c)
		token := mustSign(t, signer, c)
		c.Node.NodeID, c.Audience[0] = "changed after signing", "changed after signing"
		here, err := signer.Verify(token, testNow)
		if err != nil {
			t.Fatal(name, err)
		}
		there, err := other.Verify(token, testNow)
		if err != nil {
			t.Fatal(name, err)
		}
		if d := cmp.Diff(there, here); d != "" {
			t.Errorf("%s (-verified +remembered):\n%s", name, d)
		}
	}
}

func TestSigningSurvivesTheKeyBeingDropped(t *testing.T) {
	k := activeRing(t, structs.AlgES256)
	r := k.current.Load()
	k.Set(context.Background(), nil)
	k.current.Store(r) // a signer that looked before the key was dropped
	if _, err := k.Sign(nodeClaims(1)); !errors.Is(err, ErrActiveKeyNotLoaded) {
		t.Errorf("got %v", err)
	}
}

func TestSigningWaitsForAKeyThatIsBeingUnwrapped(t *testing.T) {
	kms := &fakeKMS{}
	root := kmsKey(t, kms, 2)
	root.State = structs.KeyStateActive
	kms.set(nil, true) // does not answer
	synctest.Test(t, func(t *testing.T) {
		k := newKeyring(t, kmsConfig(kms))
		ctx, cancel := context.WithCancel(context.Background())
		set := make(chan struct{})
		go func() {
			defer close(set)
			k.Set(ctx, []*structs.RootKey{root})
		}()
		synctest.Wait()
		start := time.Now()
		if _, err := k.SignWait(context.Background(), nodeClaims(1)); !errors.Is(err, ErrActiveKeyNotLoaded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		cancel()
		<-set
		go func() {
			time.Sleep(300 * time.Millisecond)
			kms.set(nil, false)
			k.Set(context.Background(), []*structs.RootKey{root})
		}()
		start = time.Now()
		if _, err := k.SignWait(context.Background(), nodeClaims(1)); err != nil || time.Since(start) != 300*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestSigningDoesNotWaitForAKeyThatCannotBeUnwrapped(t *testing.T) {
	kms := &fakeKMS{}
	root := kmsKey(t, kms, 2)
	root.State = structs.KeyStateActive
	kms.set(errors.New("unreachable"), false)
	synctest.Test(t, func(t *testing.T) {
		k := newKeyring(t, kmsConfig(kms))
		k.Set(context.Background(), []*structs.RootKey{root})
		start := time.Now()
		if _, err := k.SignWait(context.Background(), nodeClaims(1)); !errors.Is(err, ErrActiveKeyNotLoaded) || time.Since(start) != 0 {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}
