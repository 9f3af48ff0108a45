package state

import (
	"sync"

	"github.com/rollcall-id/rollcall/structs"
)

// nodeRow is a node as its table keeps it: with its share of the digest, once that is known. The share is of this
// process alone and not stored with the node. Like the node, a row that was written is never changed.
type nodeRow struct {
	*structs.Node
	fixed *nodeHash // of what only registrations change, see hasher.nodeFixed; rows of one registration share it
	own   nodeHash  // of everything else
}

// nodeHash is a hash that is computed when somebody needs it.
type nodeHash struct {
	once sync.Once
	sum  digestSum
}

// newNodeRow returns the row of a node, which it takes over.
func newNodeRow(n *structs.Node) *nodeRow { return &nodeRow{Node: n, fixed: &nodeHash{}} }

// next returns a copy to be changed in fields that hasher.nodeFixed does not take.
func (r *nodeRow) next() *nodeRow { return &nodeRow{Node: r.ShallowCopy(), fixed: r.fixed} }

// fixedSum returns the share of what a registration sets.
func (r *nodeRow) fixedSum(h *hasher) digestSum {
	r.fixed.once.Do(func() { r.fixed.sum = h.nodeFixed(r.Node) })
	return r.fixed.sum
}

// ownSum returns the share of the rest.
func (r *nodeRow) ownSum(h *hasher) digestSum {
	r.own.once.Do(func() { r.own.sum = h.nodeOwn(r.Node) })
	return r.own.sum
}

// nodeChange is what a command made of a node: old is nil for a new one and now for one that it deleted.
type nodeChange struct{ old, now *nodeRow }

// sum returns what the change adds to the digest.
func (c nodeChange) sum(h *hasher) (s digestSum) {
	if c.now != nil {
		s.add(c.now.ownSum(h))
	}
	if c.old != nil {
		s.sub(c.old.ownSum(h))
	}
	if c.now != nil && c.old != nil && c.now.fixed == c.old.fixed {
		return s
	}
	if c.now != nil {
		s.add(c.now.fixedSum(h))
	}
	if c.old != nil {
		s.sub(c.old.fixedSum(h))
	}
	return s
}

// What nodeFixed and nodeOwn hash begins with, so that one is never taken for the other.
const (
	fixedPart uint64 = iota
	ownPart
)

// nodeFixed returns the hash of all that a node says of itself when it registers. Nothing else changes it.
func (h *hasher) nodeFixed(n *structs.Node) digestSum {
	h.begin(structs.NodeRecord)
	h.uint(fixedPart)
	h.strings(n.ID, n.SecretID, n.Datacenter, n.Name, n.CgroupParent, n.HTTPAddr, n.NodeClass, n.NodePool, n.ComputedClass)
	h.bools(n.TLSEnabled, n.GCVolumesOnNodeGC)
	h.packedMap(n.Attributes)
	h.packedMap(n.Links)
	h.packedMap(n.Meta)
	h.raws(n.NodeResources, n.ReservedResources, n.Resources, n.Reserved, n.Drivers, n.CSIControllerPlugins,
		n.CSINodePlugins, n.HostVolumes, n.HostNetworks)
	h.uints(uint64(n.NodeMaxAllocs), n.CreateIndex)
	h.bytes(n.SecretHash)
	if a := n.Admission; a != nil {
		h.strings(a.Pool, a.Class, a.Datacenter)
	}
	return h.end()
}

// nodeOwn returns the hash of the fields that nodeFixed leaves out, and of the ID to which they belong.
func (h *hasher) nodeOwn(n *structs.Node) digestSum {
	h.begin(structs.NodeRecord)
	h.uint(ownPart)
	h.uints(uint64(n.StatusUpdatedAt), uint64(n.IdentityTTL), n.LastMissedHeartbeatIndex, n.LastAllocUpdateIndex, n.ModifyIndex)
	h.strings(n.ID, n.SchedulingEligibility, n.Status, n.StatusDescription, n.IdentitySigningKeyID)
	h.bools(n.DrainStrategy != nil, n.LastDrain != nil)
	if d := n.DrainStrategy; d != nil {
		h.int(int64(d.Deadline))
		h.bool(d.IgnoreSystemJobs)
		h.time(d.ForceDeadline)
		h.time(d.StartedAt)
	}
	if d := n.LastDrain; d != nil {
		h.time(d.StartedAt)
		h.time(d.UpdatedAt)
		h.strings(d.Status, d.AccessorID)
		h.stringMap(d.Meta)
	}
	h.uint(uint64(len(n.Events)))
	for _, e := range n.Events {
		h.bool(e != nil)
		if e != nil {
			h.strings(e.Message, e.Subsystem)
			h.stringMap(e.Details)
			h.time(e.Timestamp)
			h.uint(e.CreateIndex)
		}
	}
	return h.end()
}
