package acl

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
)

// maxCached is how many ACLs are kept: a cluster has few different sets of policies. When there are more, all are made anew.
const maxCached = 1024

// Cache keeps compiled ACLs by the text of the policies that they were made of: what is found in it is never stale. It is
// safe for concurrent use, and its zero value is ready.
type Cache struct {
	mu   sync.Mutex // guards acls
	acls map[[sha256.Size]byte]*ACL
}

// Source is a stored policy.
type Source struct{ Name, Rules string }

// Compile returns the ACL of the policies, in any order and however often each is there. An error names the policy that
// can't be read: one that may refuse something must not be left out.
func (c *Cache) Compile(sources []Source) (*ACL, error) {
	rules := make([]string, len(sources))
	for i, s := range sources {
		rules[i] = s.Rules
	}
	slices.Sort(rules)
	rules = slices.Compact(rules)
	h := sha256.New()
	var size [8]byte
	for _, r := range rules {
		binary.LittleEndian.PutUint64(size[:], uint64(len(r)))
		h.Write(size[:])
		h.Write([]byte(r))
	}
	key := [sha256.Size]byte(h.Sum(nil))
	c.mu.Lock()
	a := c.acls[key]
	c.mu.Unlock()
	if a != nil {
		return a, nil
	}
	policies := make([]*Policy, len(sources))
	for i, s := range sources {
		p, err := Parse(s.Rules)
		if err != nil {
			return nil, fmt.Errorf("read policy %q: %w", s.Name, err)
		}
		policies[i] = p
	}
	a = Compile(policies...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acls == nil || len(c.acls) >= maxCached {
		c.acls = make(map[[sha256.Size]byte]*ACL)
	}
	c.acls[key] = a
	return a, nil
}
