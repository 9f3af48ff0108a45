package keyring

import (
	"crypto/sha256"
	"testing"

	"github.com/rollcall-id/rollcall/structs"
)

// len returns how many entries are held, those in both generations counted twice.
func (c *verifyCache) len() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.recent) + len(s.older)
		s.mu.Unlock()
	}
	return n
}

func numbered(n int) tokenDigest { return sha256.Sum256([]byte{byte(n), byte(n >> 8), byte(n >> 16)}) }

func TestTheCacheIsBounded(t *testing.T) {
	const entries = 1024
	c, k := newVerifyCache(entries), &key{}
	for n := range 20 * entries {
		c.put(numbered(n), verified{claims: &structs.IdentityClaims{}, key: k})
		if n%257 == 0 {
			if held := c.len(); held > entries {
				t.Fatalf("%d entries after %d tokens; the bound is %d", held, n, entries)
			}
		}
	}
	if held := c.len(); held < entries/2 {
		t.Errorf("only %d entries are held of %d", held, entries)
	}
}

func TestWhatIsUsedStaysCached(t *testing.T) {
	const entries = 1024
	c, k := newVerifyCache(entries), &key{}
	used := numbered(0)
	c.put(used, verified{claims: &structs.IdentityClaims{ID: "used"}, key: k})
	for n := 1; n < 20*entries; n++ {
		c.put(numbered(n), verified{claims: &structs.IdentityClaims{}, key: k})
		if n%64 != 0 {
			continue
		}
		if v, ok := c.get(used); !ok || v.claims.ID != "used" {
			t.Fatalf("forgotten after %d other tokens", n)
		}
	}
	if _, ok := c.get(numbered(1)); ok {
		t.Error("what was never used again is still there")
	}
}

func TestAHitAllocatesNothing(t *testing.T) {
	k := activeRing(t, structs.AlgES256)
	token := mustSign(t, k, nodeClaims(1))
	allocs := testing.AllocsPerRun(200, func() {
		if _, err := k.Verify(token, testNow); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 1 { // the race detector makes the pool drop buffers
		t.Errorf("%v allocations", allocs)
	}
}
