package state

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/rollcall-id/rollcall/structs"
)

// Restore loads a snapshot into a store that nobody has written to yet. Values are handed over: the caller must
// not use them afterwards. It is for one goroutine; nothing is visible before Commit.
type Restore struct {
	t      *Txn
	opaque *opaqueSet
	based  bool
	report RestoreReport
	// rehearsal: nodes are checked and then dropped, since whether one can be loaded does not depend on the others.
	rehearsal bool
	lastNode  string // the greatest ID so far
}

// RestoreReport says what records of older versions were brought up to date.
type RestoreReport struct {
	PoolsBackfilled  int // pools that had no identity TTL and got the default one
	SecretsConverted int // nodes and tokens whose secret ID was replaced by its hash
}

// Restore starts a bulk load. It ends with Commit or Abort; a load that got an error must be aborted.
func (s *Store) Restore() *Restore {
	t := s.WriteTxn()
	t.dirty = nil // a whole state, in which Node knows its way
	return &Restore{t: t, opaque: &opaqueSet{keyUsers: map[string]int{}}}
}

// Rehearse starts a load that can only be aborted. It refuses what Restore refuses, and does less work.
func (s *Store) Rehearse() *Restore {
	r := s.Restore()
	r.rehearsal = true
	return r
}

// Commit makes everything that was loaded visible. A load without a base, which another system's snapshots don't
// have, is a base itself.
func (r *Restore) Commit() error {
	r.opaque.seal()
	r.t.delta.add(r.opaque.digest(&r.t.store.hasher))
	if !r.based {
		d := r.t.Digest()()
		if err := r.Base(structs.StateBase{ID: hex.EncodeToString(d[:])}); err != nil {
			return err
		}
	}
	r.t.Commit()
	return nil
}

// Abort drops everything that was loaded. After Commit it does nothing.
func (r *Restore) Abort() { r.t.Abort() }

// Report returns what has been brought up to date so far.
func (r *Restore) Report() RestoreReport { return r.report }

// Node loads a node, with the defaults of what old versions did not write.
func (r *Restore) Node(n *structs.Node) error {
	if n == nil || n.ID == "" {
		return errors.New("restore node: record has no node ID")
	}
	if n.SecretID != "" {
		r.report.SecretsConverted++
	}
	n.Canonicalize()
	if r.rehearsal {
		return nil
	}
	var old *nodeRow
	if n.ID > r.lastNode { // as in every snapshot that is written in order
		r.lastNode = n.ID
	} else {
		var err error
		if old, err = get[nodeRow](r.t.txn, nil, TableNodes, n.ID); err != nil {
			return err
		}
	}
	return r.t.setNode(old, newNodeRow(n))
}

// NodePool loads a pool in place of a built-in one of its name. One without an identity TTL gets the default.
func (r *Restore) NodePool(p *structs.NodePool) error {
	if p == nil || p.Name == "" {
		return errors.New("restore node pool: record has no pool name")
	}
	if err := structs.ValidateIdentityTTL(p.NodeIdentityTTL); err != nil {
		return fmt.Errorf("restore node pool %q: %w", p.Name, err)
	}
	if p.Canonicalize() {
		r.report.PoolsBackfilled++
	}
	return r.t.insert(TableNodePools, p)
}

// RootKey loads a root key as it is.
func (r *Restore) RootKey(k *structs.RootKey) error {
	if k == nil || k.KeyID == "" {
		return errors.New("restore root key: record has no key ID")
	}
	return r.t.insert(TableRootKeys, k)
}

// Index loads the index entry of a table, also of tables that don't exist here.
func (r *Restore) Index(e structs.IndexEntry) error {
	if e.Key == "" {
		return errors.New("restore index: record names no table")
	}
	return r.t.insert(tableIndex, &e)
}

// ClusterMetadata loads what names the cluster.
func (r *Restore) ClusterMetadata(m *structs.ClusterMetadata) error {
	if m == nil {
		return errors.New("restore cluster metadata: record is empty")
	}
	return r.t.insert(tableClusterMetadata, m)
}

// AutopilotConfig loads the configuration of autopilot.
func (r *Restore) AutopilotConfig(c *structs.AutopilotConfig) error {
	if c == nil {
		return errors.New("restore autopilot configuration: record is empty")
	}
	return r.t.insert(tableAutopilotConfig, c)
}

// SchedulerConfig loads the scheduler configuration.
func (r *Restore) SchedulerConfig(c *structs.SchedulerConfiguration) error {
	if c == nil {
		return errors.New("restore scheduler configuration: record is empty")
	}
	return r.t.insert(TableSchedulerConfig, c)
}

// Namespace loads a namespace in place of the built-in one of its name.
func (r *Restore) Namespace(n *structs.Namespace) error {
	if n == nil || n.Name == "" {
		return errors.New("restore namespace: record has no name")
	}
	return r.t.insert(TableNamespaces, n)
}

// Base notes what the state grew from.
func (r *Restore) Base(b structs.StateBase) error {
	r.based = true
	return r.t.insert(tableBase, &b)
}

// Opaque keeps a record of a type that is not read here. Records that need a root key count as its users.
func (r *Restore) Opaque(rec structs.OpaqueRecord) error {
	if len(r.opaque.records) == 0 {
		if err := r.t.insert(tableOpaque, r.opaque); err != nil {
			return err
		}
	}
	return r.opaque.add(rec)
}

// KeyUse loads a note of a skipped log entry that uses a root key.
func (r *Restore) KeyUse(u structs.KeyUse) error { return r.t.NoteKeyUse(0, u) }
