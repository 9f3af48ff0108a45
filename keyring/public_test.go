package keyring

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

// An OpenID Connect library that knows nothing of us finds the keys by discovery and verifies our tokens.
func TestAnyoneVerifiesByDiscovery(t *testing.T) {
	var k *Keyring
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var doc any
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			doc = Discovery(server.URL)
		case "/.well-known/jwks.json":
			doc = k.JWKS()
		default:
			http.NotFound(w, r)
			return
		}
		if err := json.NewEncoder(w).Encode(doc); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	client := server.Client()
	defer client.CloseIdleConnections()
	ctx := oidc.ClientContext(context.Background(), client)

	for i, alg := range testAlgs {
		t.Run(alg, func(t *testing.T) {
			var roots []*structs.RootKey // all kinds are published, one signs
			for j, a := range testAlgs {
				state := structs.KeyStateInactive
				if i == j {
					state = structs.KeyStateActive
				}
				roots = append(roots, testRootKey(t, a, j+1, state))
			}
			k = newKeyring(t, Config{Issuer: server.URL}, roots...)
			provider, err := oidc.NewProvider(ctx, server.URL)
			if err != nil {
				t.Fatal(err)
			}
			c := nodeClaims(1)
			c.Issuer = server.URL
			verifier := provider.VerifierContext(ctx, &oidc.Config{ClientID: structs.IdentityAudience, Now: func() time.Time { return testNow }})
			token := mustSign(t, k, c)
			id, err := verifier.Verify(ctx, token)
			if err != nil {
				t.Fatal(err)
			}
			var claims map[string]any
			if err := id.Claims(&claims); err != nil {
				t.Fatal(err)
			}
			if id.Subject != c.Subject || claims["nomad_node_id"] != c.Node.NodeID {
				t.Errorf("subject %q, claims %v", id.Subject, claims)
			}
			if _, err := verifier.Verify(ctx, token[:len(token)-8]+"AAAAAAAA"); err == nil {
				t.Error("a spoilt signature was accepted: the test proves nothing")
			}
		})
	}
}

func TestPublicKeysAreListed(t *testing.T) {
	roots := []*structs.RootKey{
		testRootKey(t, structs.AlgRS256, 3, structs.KeyStatePrepublished), testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive),
		testRootKey(t, structs.AlgEdDSA, 2, structs.KeyStateRekeying), testRootKey(t, structs.AlgES256, 4, structs.KeyStateDeprecated),
	}
	k := newKeyring(t, Config{}, roots...)
	var got []structs.PublicKey
	for _, p := range k.Public() {
		if len(p.PublicKey) == 0 {
			t.Errorf("%s has no key", p.KeyID)
		}
		c := *p
		c.PublicKey = nil
		got = append(got, c)
	}
	want := []structs.PublicKey{
		{KeyID: keyID(1), Algorithm: "ES256", Use: "sig", CreateTime: roots[1].CreateTime},
		{KeyID: keyID(2), Algorithm: "EdDSA", Use: "sig", CreateTime: roots[2].CreateTime},
		{KeyID: keyID(3), Algorithm: "RS256", Use: "sig", CreateTime: roots[0].CreateTime},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("public keys (-want +got):\n%s", d)
	}
	if pub, err := x509.ParsePKIXPublicKey(k.Public()[0].PublicKey); err != nil {
		t.Error(err)
	} else if _, ok := pub.(*ecdsa.PublicKey); !ok {
		t.Errorf("ES256 key is a %T", pub)
	}
	if n := len(k.Public()[1].PublicKey); n != ed25519.PublicKeySize {
		t.Errorf("EdDSA key has %d bytes", n)
	}
	if _, err := x509.ParsePKCS1PublicKey(k.Public()[2].PublicKey); err != nil {
		t.Error(err)
	}
	var kinds []string
	for _, j := range k.JWKS().Keys {
		kinds = append(kinds, j.KeyID+" "+j.KeyType+" "+j.Curve+" "+j.Algorithm+" "+j.Use)
	}
	if d := cmp.Diff([]string{keyID(1) + " EC P-256 ES256 sig", keyID(2) + " OKP Ed25519 EdDSA sig", keyID(3) + " RSA  RS256 sig"}, kinds); d != "" {
		t.Errorf("JWKS (-want +got):\n%s", d)
	}
	// A deprecated key is not published, and still verifies what it signed.
	signer := newKeyring(t, Config{}, testRootKey(t, structs.AlgES256, 4, structs.KeyStateActive))
	if _, err := k.Verify(mustSign(t, signer, nodeClaims(1)), testNow); err != nil {
		t.Error(err)
	}
}

// The coordinates of one key in a few hundred start with a zero byte, which must not be left out (RFC 7518 §6.2.1.2).
func TestECCoordinatesHaveFullLength(t *testing.T) {
	for range 600 {
		m, err := generate(structs.AlgES256)
		if err != nil {
			t.Fatal(err)
		}
		k, err := newKey(keyID(1), m)
		if err != nil {
			t.Fatal(err)
		}
		if len(k.jwk.X) != 43 || len(k.jwk.Y) != 43 {
			t.Fatalf("coordinates %q, %q", k.jwk.X, k.jwk.Y)
		}
	}
}

func TestAnEmptyKeySetIsAnEmptyArray(t *testing.T) {
	k := newKeyring(t, Config{})
	for range 2 {
		if b, err := json.Marshal(k.JWKS()); err != nil || string(b) != `{"keys":[]}` {
			t.Errorf("%s, %v", b, err)
		}
		k.Set(context.Background(), nil)
	}
}

func TestKeySetMaxAge(t *testing.T) {
	const threshold = 720 * time.Hour
	root := testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive)
	created := root.Created()
	for _, c := range []struct {
		name string
		keys []*structs.RootKey
		now  time.Time
		want time.Duration
	}{
		{"no keys", nil, created, 15 * time.Minute},
		{"a new key", []*structs.RootKey{root}, created, threshold / 2},
		{"half way", []*structs.RootKey{root}, created.Add(threshold / 2), threshold / 4},
		{"near the rotation", []*structs.RootKey{root}, created.Add(threshold - time.Minute), 15 * time.Minute},
		{"long past it", []*structs.RootKey{root}, created.Add(10 * threshold), 15 * time.Minute},
		{"a key from the future", []*structs.RootKey{root}, created.Add(-10 * threshold), threshold / 2},
	} {
		k := newKeyring(t, Config{}, c.keys...)
		seen := map[time.Duration]bool{}
		for range 100 {
			got := k.JWKSMaxAge(c.now, threshold)
			if got < c.want || got > c.want+c.want/10+1 {
				t.Fatalf("%s: %v, want %v to a tenth more", c.name, got, c.want)
			}
			seen[got] = true
		}
		if len(seen) < 50 {
			t.Errorf("%s: not spread: %d values of 100", c.name, len(seen))
		}
	}
	if longest := minJWKSMaxAge + minJWKSMaxAge/10; PublishLead <= longest {
		t.Errorf("a key may sign %v after it is published, while verifiers keep the old set for %v", PublishLead, longest)
	}
}

func TestDiscoveryDocument(t *testing.T) {
	if Discovery("") != nil {
		t.Error("a document without an issuer")
	}
	for _, issuer := range []string{"https://id.example", "https://id.example/"} {
		b, err := json.Marshal(Discovery(issuer))
		if err != nil {
			t.Fatal(err)
		}
		want := `{"issuer":"` + issuer + `","jwks_uri":"https://id.example/.well-known/jwks.json",` +
			`"id_token_signing_alg_values_supported":["ES256","EdDSA","RS256"],"response_types_supported":["code"],"subject_types_supported":["public"]}`
		if string(b) != want {
			t.Errorf("got  %s\nwant %s", b, want)
		}
	}
}

func TestUnknownKeyTextIsThatOfTheField(t *testing.T) {
	k := newKeyring(t, Config{})
	_, err := k.Verify(mustSign(t, activeRing(t, structs.AlgES256), nodeClaims(1)), testNow)
	if !errors.Is(err, ErrNoSuchKey) || !strings.Contains(err.Error(), `no such key "`+keyID(1)+`" in keyring`) {
		t.Errorf("got %v", err)
	}
}
