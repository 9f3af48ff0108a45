package rpc

import (
	"fmt"

	"github.com/rollcall-id/rollcall/structs"
)

// admit decides whether the caller may register under the node's ID, and as what: it sets those parts of n that are not
// the node's own word.
func (s *Server) admit(c *Call, n, existing *structs.Node) error {
	n.Admission = nil // whatever the node says of it
	if existing != nil && len(existing.SecretHash) > 0 {
		if !existing.SecretMatches(n.SecretID) {
			return structs.ErrSecretMismatch
		}
		s.readmit(c, n, existing)
		return nil
	}
	// A secret names one node: two that share one could not be told apart.
	other, err := c.state().NodeBySecretHash(structs.HashSecret(n.SecretID))
	if err != nil {
		return fmt.Errorf("look up node by secret: %w", err)
	}
	if other != nil && other.ID != n.ID {
		return structs.Coded(400, "the secret ID of node %s belongs to another node; give every machine its own state directory", n.ID)
	}
	if existing != nil {
		s.readmit(c, n, existing)
		return nil
	}
	return s.introduce(c, n)
}

// introduce decides whether a node that was never seen may join (wire.md §3.5).
func (s *Server) introduce(c *Call, n *structs.Node) error {
	matches, mismatch := s.introduced(c, n)
	level := s.cfg.Introduction.Enforcement
	if matches || level == EnforceNone {
		return nil
	}
	s.deps.Metrics.IncrCounter([]string{"client", "introduction_violation_num"}, 1)
	denied := c.caller.Err != nil || mismatch || level == EnforceStrict
	s.hostile.Warn("node registers without a matching introduction", "node_id", n.ID, "node_pool", n.NodePool,
		"enforcement", level, "denied", denied)
	if denied {
		return structs.ErrPermissionDenied
	}
	return nil
}

// introduced reports whether the caller's identity lets it in, and takes over what that says of the node. mismatch is an
// introduction that is for another node or pool.
func (s *Server) introduced(c *Call, n *structs.Node) (matches, mismatch bool) {
	if c.caller.Err != nil {
		return false, false
	}
	switch c.caller.Kind {
	case CallerIntroduction:
		in := c.caller.Claims.Introduction
		if n.NodePool != "" && n.NodePool != in.Pool || in.Name != "" && in.Name != n.Name {
			return false, true
		}
		s.bind(n, structs.NodeAdmission{Pool: in.Pool, Class: in.Class, Datacenter: in.Datacenter})
		return true, false
	case CallerNode: // the pipeline has compared the IDs
		if id := c.caller.Claims; id != nil && s.cfg.Introduction.Enforcement == EnforceStrict {
			s.bind(n, structs.NodeAdmission{Pool: id.Node.Pool, Class: id.Node.Class, Datacenter: id.Node.Datacenter})
		}
		return true, false
	}
	return false, false
}

// readmit decides what a registered node that registers again has to be. An introduction that it brings along anew
// replaces what was said before.
func (s *Server) readmit(c *Call, n, existing *structs.Node) {
	if c.caller.Err == nil && c.caller.Kind == CallerIntroduction {
		if matches, _ := s.introduced(c, n); matches {
			return
		}
	}
	if n.NodePool == "" {
		n.NodePool = existing.NodePool
	}
	if existing.Admission != nil {
		s.bind(n, *existing.Admission)
	}
}

// bind makes the node what its introduction says, now and at later registrations. A pool, which every introduction
// names, binds for longer than the present registration only where introductions are required at all.
func (s *Server) bind(n *structs.Node, a structs.NodeAdmission) {
	if n.NodePool == "" {
		n.NodePool = a.Pool
	}
	if s.cfg.Introduction.Enforcement != EnforceStrict {
		a.Pool = ""
	}
	if a == (structs.NodeAdmission{}) {
		return
	}
	n.Admission = &a
	override(&n.NodePool, a.Pool)
	override(&n.NodeClass, a.Class)
	override(&n.Datacenter, a.Datacenter)
}

func override(own *string, said string) {
	if said != "" {
		*own = said
	}
}
