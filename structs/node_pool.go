package structs

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"golang.org/x/crypto/blake2b"
)

// Built-in pools exist from the start and can be neither changed nor deleted.
const (
	NodePoolAll     = "all"
	NodePoolDefault = "default"

	NodePoolAllDescription     = "Node pool with all nodes in the cluster."
	NodePoolDefaultDescription = "Default node pool."
)

// Identity TTLs of a pool.
const (
	DefaultNodeIdentityTTL = 24 * time.Hour
	MaxNodeIdentityTTL     = 10 * 365 * 24 * time.Hour
	// ShortNodeIdentityTTL is the TTL below which an operator is warned.
	ShortNodeIdentityTTL = time.Minute
)

// MaxNodePoolDescription is the length limit of a description, in bytes.
const MaxNodePoolDescription = 256

var nodePoolName = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,128}$`)

// ValidateNodePoolName reports what is wrong with a pool's name.
func ValidateNodePoolName(name string) error {
	if !nodePoolName.MatchString(name) {
		return fmt.Errorf("invalid node pool name %q: must be 1 to 128 letters, digits, dashes or underscores", name)
	}
	return nil
}

// NodePool is a set of nodes with one identity TTL (wire.md §2.7).
type NodePool struct {
	Name                   string
	Description            string
	Meta                   map[string]string
	SchedulerConfiguration *NodePoolSchedulerConfiguration
	NodeIdentityTTL        time.Duration // 0 becomes DefaultNodeIdentityTTL when stored
	Hash                   []byte
	CreateIndex            uint64
	ModifyIndex            uint64
}

// NodePoolSchedulerConfiguration is kept for imported pools; it can't be set here.
type NodePoolSchedulerConfiguration struct {
	SchedulerAlgorithm            string
	MemoryOversubscriptionEnabled *bool
}

// BuiltinNodePools returns fresh copies of the built-in pools as a new state has them.
func BuiltinNodePools() []*NodePool {
	pools := []*NodePool{
		{Name: NodePoolAll, Description: NodePoolAllDescription, CreateIndex: 1, ModifyIndex: 1},
		{Name: NodePoolDefault, Description: NodePoolDefaultDescription, CreateIndex: 1, ModifyIndex: 1},
	}
	for _, p := range pools {
		p.Canonicalize()
	}
	return pools
}

// IsBuiltin reports whether the pool is one of the built-in ones.
func (p *NodePool) IsBuiltin() bool { return p.Name == NodePoolAll || p.Name == NodePoolDefault }

// Canonicalize gives a pool without a TTL the default one and recomputes the hash. It reports whether the TTL
// was filled in.
func (p *NodePool) Canonicalize() (backfilled bool) {
	if p.NodeIdentityTTL == 0 {
		p.NodeIdentityTTL = DefaultNodeIdentityTTL
		backfilled = true
	}
	p.SetHash()
	return backfilled
}

// Validate reports everything that is wrong with a pool that is about to be stored.
func (p *NodePool) Validate() error {
	if p == nil {
		return errors.New("node pool is missing")
	}
	var errs []error
	if err := ValidateNodePoolName(p.Name); err != nil {
		errs = append(errs, err)
	}
	if len(p.Description) > MaxNodePoolDescription {
		errs = append(errs, fmt.Errorf("node pool description is %d bytes long, more than %d", len(p.Description), MaxNodePoolDescription))
	}
	if p.SchedulerConfiguration != nil {
		errs = append(errs, errors.New("node pool scheduler configuration can't be set here"))
	}
	if err := ValidateIdentityTTL(p.NodeIdentityTTL); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// ValidateIdentityTTL refuses what no identity may be minted with. 0 stands for the default.
func ValidateIdentityTTL(ttl time.Duration) error {
	switch {
	case ttl < 0:
		return fmt.Errorf("node identity TTL %s is negative", ttl)
	case ttl > 0 && ttl < time.Second:
		return fmt.Errorf("node identity TTL %s is under one second, the resolution of a token's times", ttl)
	case ttl > MaxNodeIdentityTTL:
		return fmt.Errorf("node identity TTL %s is longer than ten years", ttl)
	}
	return nil
}

// SetHash computes the BLAKE2b-256 of the pool's content, in the field order of wire.md §2.7.
func (p *NodePool) SetHash() {
	h, _ := blake2b.New256(nil) // an unkeyed hash can't fail
	write := func(s string) { _, _ = h.Write([]byte(s)) }
	write(p.Name)
	write(p.Description)
	write(p.NodeIdentityTTL.String())
	if c := p.SchedulerConfiguration; c != nil {
		write(c.SchedulerAlgorithm)
		if m := c.MemoryOversubscriptionEnabled; m != nil {
			if *m {
				write("memory_oversubscription_enabled")
			} else {
				write("memory_oversubscription_disabled")
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(p.Meta)) {
		write(k)
		write(p.Meta[k])
	}
	p.Hash = h.Sum(nil)
}

// Copy returns a deep copy.
func (p *NodePool) Copy() *NodePool {
	if p == nil {
		return nil
	}
	c := *p
	c.Meta = maps.Clone(p.Meta)
	c.Hash = cloneBytes(p.Hash)
	if p.SchedulerConfiguration != nil {
		sc := *p.SchedulerConfiguration
		if sc.MemoryOversubscriptionEnabled != nil {
			v := *sc.MemoryOversubscriptionEnabled
			sc.MemoryOversubscriptionEnabled = &v
		}
		c.SchedulerConfiguration = &sc
	}
	return &c
}

// NodePoolUpsertRequest is NodePool.UpsertNodePools and Raft type 59.
type NodePoolUpsertRequest struct {
	NodePools []*NodePool
	WriteRequest
}

// NodePoolDeleteRequest is NodePool.DeleteNodePools and Raft type 60.
type NodePoolDeleteRequest struct {
	Names []string
	WriteRequest
}

// NodePoolListRequest is NodePool.List.
type NodePoolListRequest struct {
	QueryOptions
}

// NodePoolListResponse is the reply of NodePool.List, sorted by name.
type NodePoolListResponse struct {
	NodePools []*NodePool
	QueryMeta
}

// NodePoolSpecificRequest is NodePool.GetNodePool.
type NodePoolSpecificRequest struct {
	Name string
	QueryOptions
}

// SingleNodePoolResponse is the reply of NodePool.GetNodePool; NodePool is nil when there is none.
type SingleNodePoolResponse struct {
	NodePool *NodePool
	QueryMeta
}

// NodePoolNodesRequest is NodePool.ListNodes.
type NodePoolNodesRequest struct {
	Name   string
	Fields *NodeStubFields
	QueryOptions
}

// NodePoolJobsRequest is NodePool.ListJobs.
type NodePoolJobsRequest struct {
	Name   string
	Fields Raw
	QueryOptions
}

// NodePoolJobsResponse is the reply of NodePool.ListJobs, empty in a cluster without jobs.
type NodePoolJobsResponse struct {
	Jobs []Raw
	QueryMeta
}
