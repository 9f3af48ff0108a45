package httpapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestJWKSHoldsEveryKindOfKey(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalPKIXPublicKey(&ecKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384DER, err := x509.MarshalPKIXPublicKey(&p384.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	key := func(id, alg string, der []byte) *structs.PublicKey {
		return &structs.PublicKey{KeyID: id, Algorithm: alg, Use: "sig", PublicKey: der}
	}
	rpc := &fakeRPC{answer: map[string]any{"Keyring.ListPublic": structs.KeyringListPublicResponse{QueryMeta: meta, PublicKeys: []*structs.PublicKey{
		key("rsa", "RS256", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)), key("ed", "EdDSA", edKey), key("ec", "ES256", ecDER),
		// None of these may show up, or keep the others from it.
		key("cut", "RS256", []byte{0x30}), key("short", "EdDSA", edKey[:31]), key("p384", "ES256", p384DER), key("junk", "ES256", []byte("junk")),
		key("hmac", "HS256", []byte("secret")), key("none", "none", nil),
	}}}}
	w := do(newAPI(t, rpc, nil, nil), "GET", "/.well-known/jwks.json", "")
	var got struct{ Keys []map[string]string }
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Keys) != 3 {
		t.Fatalf("%s: %v", w.Body, err)
	}
	r, o, e := got.Keys[0], got.Keys[1], got.Keys[2]
	if r["kty"] != "RSA" || r["kid"] != "rsa" || r["alg"] != "RS256" || r["use"] != "sig" || r["e"] != "AQAB" ||
		new(big.Int).SetBytes(unbase64(t, r["n"])).Cmp(rsaKey.N) != 0 || len(r) != 6 {
		t.Errorf("RSA key %v", r)
	}
	if o["kty"] != "OKP" || o["crv"] != "Ed25519" || o["alg"] != "EdDSA" || string(unbase64(t, o["x"])) != string(edKey) || len(o) != 6 {
		t.Errorf("Ed25519 key %v", o)
	}
	point, err := ecKey.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if e["kty"] != "EC" || e["crv"] != "P-256" || e["alg"] != "ES256" ||
		string(unbase64(t, e["x"]))+string(unbase64(t, e["y"])) != string(point[1:]) || len(e) != 7 {
		t.Errorf("EC key %v", e)
	}
	for name, value := range readHeaders {
		if got := w.Header().Get(name); got != value {
			t.Errorf("header %s is %q, want %q", name, got, value)
		}
	}
}

func TestJWKSCacheControl(t *testing.T) {
	now := time.Unix(1_795_000_000, 0)
	for _, tc := range []struct {
		name    string
		created time.Time
		jitter  bool
		want    string
	}{
		{"a fresh key", now, false, "max-age=1296000"},
		{"a fresh key with the full jitter", now, true, "max-age=1425600"},
		{"a key half through", now.Add(-360 * time.Hour), false, "max-age=648000"},
		{"a key from a clock that was ahead", now.Add(7200 * time.Hour), false, "max-age=1296000"},
		{"a key that is overdue", now.Add(-7200 * time.Hour), false, "max-age=900"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rpc := &fakeRPC{answer: map[string]any{"Keyring.ListPublic": structs.KeyringListPublicResponse{
				RotationThreshold: 720 * time.Hour,
				PublicKeys:        []*structs.PublicKey{{CreateTime: 1}, {CreateTime: tc.created.UnixNano()}},
			}}}
			api := newAPI(t, rpc, nil, nil)
			api.now = func() time.Time { return now }
			api.jitter = func(d time.Duration) time.Duration {
				if tc.jitter {
					return d
				}
				return 0
			}
			w := do(api, "GET", "/.well-known/jwks.json", "")
			want(t, w, 200, `{"keys":[]}`)
			if got := w.Header().Get("Cache-Control"); got != tc.want {
				t.Errorf("Cache-Control is %q, want %q", got, tc.want)
			}
		})
	}
}

func TestKeysAreServedWithoutALeader(t *testing.T) {
	stale := func(v any) func(context.Context, any) (any, error) {
		return func(_ context.Context, args any) (any, error) {
			if !args.(*structs.GenericRequest).AllowStale {
				return nil, wireError("rpc error: No cluster leader")
			}
			return v, nil
		}
	}
	rpc := &fakeRPC{answer: map[string]any{
		"Keyring.ListPublic": stale(structs.KeyringListPublicResponse{}),
		"Keyring.GetConfig":  stale(structs.KeyringGetConfigResponse{OIDCDiscovery: &structs.OIDCDiscovery{}}),
		"Keyring.List":       stale(structs.KeyringListResponse{}),
	}}
	api := newAPI(t, rpc, nil, nil)
	for path, code := range map[string]int{"/.well-known/jwks.json": 200, "/.well-known/openid-configuration": 200, "/v1/operator/keyring/keys": 500} {
		if w := do(api, "GET", path, ""); w.Code != code {
			t.Errorf("%s answered %d %s, want %d", path, w.Code, w.Body, code)
		}
	}
	rpc.answer["Keyring.ListPublic"] = structs.ErrPermissionDenied
	w := do(api, "GET", "/.well-known/jwks.json", "")
	want(t, w, 403, "Permission denied")
	if got := w.Header().Get("Cache-Control"); got != "" {
		t.Errorf("an error may be cached: %q", got)
	}
}
