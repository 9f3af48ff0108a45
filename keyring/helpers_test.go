package keyring

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/internal/leak"
	"github.com/rollcall-id/rollcall/structs"
)

func TestMain(m *testing.M) { leak.Main(m) }

var (
	testNow  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	testAlgs = []string{structs.AlgES256, structs.AlgEdDSA, structs.AlgRS256}
)

func keyID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

// rootKeys caches one wrapped key for each algorithm and number: making RSA keys is slow.
var rootKeys sync.Map

func testRootKey(t testing.TB, alg string, n int, state structs.KeyState) *structs.RootKey {
	t.Helper()
	name := fmt.Sprint(alg, n)
	if cached, ok := rootKeys.Load(name); ok {
		c := cached.(*structs.RootKey).Copy()
		c.State = state
		return c
	}
	k := newKeyring(t, Config{})
	spec := KeySpec{ID: keyID(n), Now: testNow.Add(time.Duration(n) * time.Minute), State: structs.KeyStateActive, Algorithm: alg}
	root, err := k.NewRootKey(spec)
	if err != nil {
		t.Fatal(err)
	}
	rootKeys.Store(name, root)
	c := root.Copy()
	c.State = state
	return c
}

func newKeyring(t testing.TB, cfg Config, keys ...*structs.RootKey) *Keyring {
	t.Helper()
	k, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) > 0 {
		k.Set(context.Background(), keys)
		if ok, pending, failed := k.Ready(); !ok || len(failed) > 0 {
			t.Fatalf("keyring is not ready: pending %v, failed %v", pending, failed)
		}
	}
	return k
}

// ring of one active key of the algorithm.
func activeRing(t testing.TB, alg string) *Keyring {
	t.Helper()
	return newKeyring(t, Config{}, testRootKey(t, alg, 1, structs.KeyStateActive))
}

func testLifetime(n int) structs.Lifetime {
	return structs.Lifetime{ID: fmt.Sprintf("10000000-0000-4000-8000-%012x", n), Now: testNow, TTL: 24 * time.Hour}
}

func nodeClaims(n int) *structs.IdentityClaims {
	return structs.NewNodeClaims("global", &structs.Node{
		ID: fmt.Sprintf("20000000-0000-4000-8000-%012x", n), NodePool: "default", NodeClass: "large", Datacenter: "dc1",
	}, testLifetime(n))
}

func introClaims() *structs.IdentityClaims {
	return structs.NewIntroductionClaims("global", "default", "web-1", testLifetime(1))
}

func workloadClaims() *structs.IdentityClaims {
	return &structs.IdentityClaims{
		ID: keyID(9), Subject: "global:default:web:group:task:id", Audience: []string{"vault.example", "other"},
		IssuedAt: testNow.Unix(), NotBefore: testNow.Unix(), Expiry: testNow.Add(time.Hour).Unix(),
		Workload: &structs.WorkloadClaims{Namespace: "default", JobID: "web", AllocationID: keyID(8), Task: "task",
			ExtraClaims: map[string]string{"team": "a"}},
	}
}

func mustSign(t testing.TB, k *Keyring, c *structs.IdentityClaims) string {
	t.Helper()
	s, err := k.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return s.Token
}
