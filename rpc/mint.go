package rpc

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-version"

	"github.com/rollcall-id/rollcall/structs"
)

// identity is a freshly signed one.
type identity struct {
	token string
	keyID string
	ttl   time.Duration
}

// mint signs an identity for the node. It is the only way to one, for registration and heartbeat alike: the TTL
// is the pool's and never nothing, and this server must be the verified leader, so that the pool and the active
// key are those of the whole cluster.
func (s *Server) mint(c *Call, n *structs.Node) (*identity, error) {
	if err := s.deps.Leader.VerifyLease(c.ctx); err != nil {
		return nil, err
	}
	ttl, err := s.identityTTL(c, n.NodePool)
	if err != nil {
		return nil, err
	}
	claims := structs.NewNodeClaims(s.cfg.Region, n, structs.Lifetime{
		ID: s.deps.NewUUID(), Now: c.now, TTL: ttl, Issuer: s.cfg.Issuer,
	})
	token, keyID, err := s.deps.Keyring.Sign(claims)
	if err != nil {
		return nil, err
	}
	s.deps.Metrics.IncrCounter([]string{"identity", "minted"}, 1)
	return &identity{token: token, keyID: keyID, ttl: ttl}, nil
}

// identityTTL is the TTL of identities in the pool; the default one while the pool does not exist.
func (s *Server) identityTTL(c *Call, pool string) (time.Duration, error) {
	p, err := c.state().NodePoolByName(nil, pool)
	if err != nil {
		return 0, fmt.Errorf("look up node pool %s: %w", pool, err)
	}
	if p == nil || p.NodeIdentityTTL <= 0 {
		return structs.DefaultNodeIdentityTTL, nil
	}
	return p.NodeIdentityTTL, nil
}

// mintsAtRegister is the first table of wire.md §3.3.
func (s *Server) mintsAtRegister(c *Call, n *structs.Node) bool {
	if !s.deps.Cluster.CanMint() {
		return false
	}
	if c.caller.Expired() {
		return true
	}
	if !s.versions.takesIdentity(n) {
		return false
	}
	if c.caller.Kind != CallerNode || c.caller.BySecret || unrecorded(n) {
		return true
	}
	claims := c.caller.Claims.Node
	if claims.Pool != n.NodePool || claims.Class != n.NodeClass || claims.Datacenter != n.Datacenter {
		return true
	}
	return s.expiring(c, n.NodePool)
}

// unrecorded reports whether the node shows an identity though its record names no key: it was deleted, or the
// state comes from a snapshot. The key of that identity is in use and nothing says so; a new identity puts it right.
func unrecorded(n *structs.Node) bool { return n.IdentitySigningKeyID == "" }

// mintsAtUpdateStatus is the second table of wire.md §3.3.
func (s *Server) mintsAtUpdateStatus(c *Call, req *structs.NodeUpdateStatusRequest, n *structs.Node) bool {
	if c.caller.Kind != CallerNode || !s.deps.Cluster.CanMint() || !s.versions.takesIdentity(n) {
		return false
	}
	if req.Status == structs.NodeStatusDown {
		return false // a node that is down releases its key in time, so it gets nothing more under it
	}
	return c.caller.BySecret || req.ForceIdentityRenewal || unrecorded(n) || s.expiring(c, n.NodePool)
}

// expiring reports whether the caller's identity is in the last third of the pool's present TTL.
func (s *Server) expiring(c *Call, pool string) bool {
	ttl, err := s.identityTTL(c, pool)
	return err == nil && c.caller.Claims.IsExpiring(c.now, ttl)
}

// minIdentityVersion is the first version of a node's agent that takes identities.
var minIdentityVersion = version.Must(version.NewVersion("1.11.0-beta.1"))

// maxVersions bounds the cache: versions come from nodes, which may say anything.
const maxVersions = 1024

// versionCache remembers which versions take identities; a fleet reports few different ones.
type versionCache struct {
	mu    sync.RWMutex // guards takes
	takes map[agentVersion]bool
}

// agentVersion is what a node reports, of its own kind.
type agentVersion struct {
	text string
	own  bool
}

// maxVersionLength bounds what is parsed and remembered: no version is as long, and nodes may say anything.
const maxVersionLength = 128

// takesIdentity is the version gate: a compatible agent by its nomad.version, our own by rollcall.version,
// every release of which takes identities.
func (v *versionCache) takesIdentity(n *structs.Node) bool {
	a := agentVersion{text: n.Attributes.Get(structs.AttrRollcallVersion), own: true}
	if a.text == "" {
		a = agentVersion{text: n.Attributes.Get(structs.AttrNomadVersion)}
	}
	if a.text == "" || len(a.text) > maxVersionLength {
		return false
	}
	v.mu.RLock()
	takes, known := v.takes[a]
	v.mu.RUnlock()
	if known {
		return takes
	}
	takes = a.takesIdentity()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.takes == nil || len(v.takes) >= maxVersions {
		v.takes = make(map[agentVersion]bool)
	}
	a.text = strings.Clone(a.text) // not the whole request
	v.takes[a] = takes
	return takes
}

// takesIdentity reports whether the version is at least the first capable one; a pre-release of that very
// version counts. Of our own agents all do.
func (a agentVersion) takesIdentity() bool {
	got, err := version.NewVersion(a.text)
	if err != nil || a.own {
		return err == nil
	}
	return got.Core().Equal(minIdentityVersion.Core()) || got.GreaterThanOrEqual(minIdentityVersion)
}
