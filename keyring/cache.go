package keyring

import (
	"crypto/sha256"
	"sync"

	"github.com/rollcall-id/rollcall/structs"
)

// DefaultCacheEntries bounds the remembered verifications. One takes some 450 bytes with its claims, so the
// cache stays under 60 MB; a fleet of 60,000 nodes fits with the identities of one renewal.
const DefaultCacheEntries = 128 << 10

// cacheShards keeps callers on different cores from waiting for one another.
const cacheShards = 64

// tokenDigest names a token in the cache. It covers the whole token, signature included.
type tokenDigest [sha256.Size]byte

// verified is a token whose signature and content were found right. Its times are checked at every use.
type verified struct {
	claims *structs.IdentityClaims
	key    *key
}

// verifyCache remembers verified tokens. Each shard has two generations: a full one becomes the older, and what is
// used of the older moves to the recent, so that what is not used for a whole generation is forgotten.
type verifyCache struct {
	shards     [cacheShards]cacheShard
	generation int // entries of one generation of one shard
}

type cacheShard struct {
	mu     sync.Mutex // guards both maps
	recent map[tokenDigest]verified
	older  map[tokenDigest]verified
	_      [40]byte // a cache line each
}

func newVerifyCache(entries int) *verifyCache {
	if entries <= 0 {
		entries = DefaultCacheEntries
	}
	c := &verifyCache{generation: max(entries/cacheShards/2, 1)}
	for i := range c.shards {
		c.shards[i].recent = map[tokenDigest]verified{}
	}
	return c
}

// get returns what is known of a token, if its key is still in the set.
func (c *verifyCache) get(d tokenDigest) (verified, bool) {
	s := &c.shards[d[0]%cacheShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.recent[d]
	if !ok {
		if v, ok = s.older[d]; ok {
			s.add(d, v, c.generation)
		}
	}
	return v, ok && !v.key.gone.Load()
}

func (c *verifyCache) put(d tokenDigest, v verified) {
	s := &c.shards[d[0]%cacheShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(d, v, c.generation)
}

func (s *cacheShard) add(d tokenDigest, v verified, generation int) {
	if _, known := s.recent[d]; !known && len(s.recent) >= generation {
		s.older, s.recent = s.recent, make(map[tokenDigest]verified, generation)
	}
	s.recent[d] = v
}
