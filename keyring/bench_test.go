package keyring

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"runtime"
	"testing"

	"github.com/rollcall-id/rollcall/structs"
)

// The floor under Sign with ES256.
func BenchmarkBareES256(b *testing.B) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ecdsa.SignASN1(rand.Reader, priv, digest[:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	for _, alg := range testAlgs {
		b.Run(alg, func(b *testing.B) {
			k, c := activeRing(b, alg), nodeClaims(1)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Sign(c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifyMiss(b *testing.B) {
	for _, alg := range testAlgs {
		b.Run(alg, func(b *testing.B) {
			k := activeRing(b, alg)
			token := mustSign(b, k, nodeClaims(1))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.verifyFull(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifyHit(b *testing.B) {
	k := activeRing(b, structs.AlgES256)
	token := mustSign(b, k, nodeClaims(1))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := k.Verify(token, testNow); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkCacheMemory reports what one remembered identity costs.
func BenchmarkCacheMemory(b *testing.B) {
	for b.Loop() {
		k := newKeyring(b, Config{}, testRootKey(b, structs.AlgEdDSA, 1, structs.KeyStateActive))
		before := heap()
		for n := range 16 << 10 {
			mustSign(b, k, nodeClaims(n))
		}
		b.ReportMetric(float64(heap()-before)/float64(k.cache.len()), "B/entry")
		runtime.KeepAlive(k)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
