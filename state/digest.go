package state

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// DigestVersion says how digests are computed and what commands do to the state. It grows whenever the same log
// would give another digest: digests of different versions can't be compared.
const DigestVersion = 1

// digest returns what the sum over all records is published as: the SHA-256 of a name with the version, and the
// sum's lanes, least significant byte first.
func (s digestSum) digest() [sha256.Size]byte {
	b := fmt.Appendf(make([]byte, 0, 64), "rollcall state digest %d\n", DigestVersion)
	b = binary.LittleEndian.AppendUint64(b, s[0])
	return sha256.Sum256(binary.LittleEndian.AppendUint64(b, s[1]))
}

// foldAt is how many changes of nodes wait for a goroutine to hash them and add them up. Until then, and while it
// runs, whoever asks for the digest does. Fewer would wake a goroutine more often than hashing is worth, more would
// keep more of the nodes in memory that were replaced.
const foldAt = 1024

// digested is a state as far as its digest goes: the sum over its records, but for some changes of nodes that have
// not been hashed yet. Hashing a node takes too long to be done while commands are applied.
type digested struct {
	sum     digestSum
	changes []nodeChange // only ever appended to
}

func (d *digested) add(more digested) {
	d.sum.add(more.sum)
	d.changes = append(d.changes, more.changes...)
}

// clip returns d as it is now.
func (d *digested) clip() digested { return digested{d.sum, slices.Clip(d.changes)} }

// total returns the sum over all records.
func (d *digested) total(h *hasher) digestSum {
	sum := d.sum
	for _, c := range d.changes {
		sum.add(c.sum(h))
	}
	return sum
}

func (d *digested) digest() [sha256.Size]byte {
	var h hasher
	return d.total(&h).digest()
}

// fold hashes the changes that wait and adds them up, until there are few.
func (s *Store) fold() {
	var h hasher
	s.commit.Lock()
	defer s.commit.Unlock()
	for len(s.digested.changes) >= foldAt {
		d := s.digested.clip()
		s.commit.Unlock()
		sum := d.total(&h)
		sum.sub(d.sum)
		s.commit.Lock()
		s.digested.sum.add(sum)
		s.digested.changes = slices.Clone(s.digested.changes[len(d.changes):])
	}
	s.folding = false
}

// Digest returns a fingerprint of everything in the state: records, index entries and what is only kept. Equal
// states have equal digests, whichever way they came about. It follows every commit, so that asking for it takes a
// few milliseconds at most, whatever the size of the state. What the state grew from (Base) is not in it.
func (s *Store) Digest() ([sha256.Size]byte, error) {
	s.commit.Lock()
	d := s.digested.clip()
	s.commit.Unlock()
	return d.digest(), nil
}

// Digest returns the fingerprint of the state as it was, see Store.Digest.
func (s *Snapshot) Digest() ([sha256.Size]byte, error) { return s.digested.digest(), nil }

// Digest returns a function that returns the digest which the state would have if the transaction were committed
// now. It does its work at its first call, and may be called by any goroutine at any time.
func (t *Txn) Digest() func() [sha256.Size]byte {
	s := t.store
	s.commit.Lock()
	d := s.digested.clip()
	s.commit.Unlock()
	d.add(digested{t.written(), t.changes})
	return sync.OnceValue(d.digest)
}

// written returns delta with the index entries that the transaction writes. They change with every command, so
// only the last values are hashed.
func (t *Txn) written() digestSum {
	sum := t.delta
	if t.store.undigested {
		return sum
	}
	for _, touched := range t.touched {
		if touched.existed {
			sum.sub(t.store.hasher.indexEntry(touched.row.Key, touched.before))
		}
		sum.add(t.store.hasher.indexEntry(touched.row.Key, touched.row.Value))
	}
	return sum
}

// account takes the hash of the row that is about to be replaced or deleted out of the sum, and puts that of the
// new row in. Nodes have setNode for that, touched index entries written, and opaque records Restore.Commit.
func (t *Txn) account(table string, row any, stays bool) error {
	if t.store.undigested {
		return nil
	}
	key, digested := recordKey(row)
	if !digested {
		return nil
	}
	old, err := t.txn.First(table, byID, key)
	if err != nil {
		return fmt.Errorf("read table %s: %w", table, err)
	}
	if old != nil {
		t.delta.sub(t.store.hasher.record(old))
	}
	if stays {
		t.delta.add(t.store.hasher.record(row))
	}
	return nil
}

// recordKey returns the key of a row of the tables that account covers.
func recordKey(row any) (key string, digested bool) {
	switch r := row.(type) {
	case *structs.NodePool:
		return r.Name, true
	case *structs.RootKey:
		return r.KeyID, true
	case *structs.Namespace:
		return r.Name, true
	case *structs.KeyUse:
		return keyUseKey(r), true
	case *structs.FeatureGate:
		return r.Name, true
	case *structs.ACLPolicy:
		return r.Name, true
	case *structs.ACLToken:
		return r.AccessorID, true
	case *structs.ACLRole:
		return r.ID, true
	case *structs.OneTimeToken:
		return hex.EncodeToString(r.SecretHash), true
	case *structs.IndexEntry:
		return r.Key, true
	case *structs.ClusterMetadata, *structs.AutopilotConfig, *structs.SchedulerConfiguration:
		return singletonKey, true
	}
	return "", false
}

// record returns the hash of a row that recordKey has a key for.
func (h *hasher) record(row any) digestSum {
	switch r := row.(type) {
	case *structs.NodePool:
		return h.nodePool(r)
	case *structs.RootKey:
		return h.rootKey(r)
	case *structs.Namespace:
		return h.namespace(r)
	case *structs.KeyUse:
		return h.keyUse(r)
	case *structs.FeatureGate:
		return h.featureGate(r)
	case *structs.ACLPolicy:
		return h.aclPolicy(r)
	case *structs.ACLToken:
		return h.aclToken(r)
	case *structs.ACLRole:
		return h.aclRole(r)
	case *structs.OneTimeToken:
		return h.oneTimeToken(r)
	case *structs.IndexEntry:
		return h.indexEntry(r.Key, r.Value)
	case *structs.ClusterMetadata:
		return h.clusterMetadata(r)
	case *structs.AutopilotConfig:
		return h.autopilotConfig(r)
	case *structs.SchedulerConfiguration:
		return h.schedulerConfig(r)
	}
	panic(fmt.Sprintf("state: a %T is not part of the digest", row)) // tables are fixed, and tests write to each
}

// digestedTables are those that account covers.
var digestedTables = []string{
	TableNodePools, TableRootKeys, TableNamespaces, tableKeyUses, tableIndex, tableClusterMetadata, tableAutopilotConfig,
	TableSchedulerConfig, tableFeatureGates, TableACLPolicies, TableACLTokens, TableACLRoles, TableOneTimeTokens,
}

// RecomputeDigest returns what Digest does, computed anew from every record. It takes a few microseconds for each
// node.
func (v view) RecomputeDigest() ([sha256.Size]byte, error) {
	var h hasher
	var sum digestSum
	txn := v.read()
	nodes, err := list[nodeRow](txn, nil, TableNodes, "")
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	for r := range nodes {
		sum.add(h.nodeFixed(r.Node))
		sum.add(h.nodeOwn(r.Node))
	}
	for _, table := range digestedTables {
		rows, err := txn.Get(table, byID)
		if err != nil {
			return [sha256.Size]byte{}, fmt.Errorf("read table %s: %w", table, err)
		}
		for row := rows.Next(); row != nil; row = rows.Next() {
			sum.add(h.record(row))
		}
	}
	opaque, err := get[opaqueSet](txn, nil, tableOpaque, singletonKey)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	if opaque != nil {
		sum.add(opaque.digest(&h))
	}
	return sum.digest(), nil
}

// Base returns what the state grew from. Digests can only be compared between states with the same base.
func (v view) Base() (structs.StateBase, error) {
	b, err := get[structs.StateBase](v.read(), nil, tableBase, singletonKey)
	if err != nil || b == nil {
		return structs.StateBase{}, err
	}
	return *b, nil
}

// touchedIndex is an index entry that a transaction has written. Until the transaction is committed the row is
// the transaction's to change.
type touchedIndex struct {
	row     *structs.IndexEntry
	before  uint64
	existed bool
}

func newTouched(base *memdb.Txn, name string) (touchedIndex, error) {
	t := touchedIndex{row: &structs.IndexEntry{Key: name}}
	old, err := get[structs.IndexEntry](base, nil, tableIndex, name)
	if err == nil && old != nil {
		t.before, t.existed = old.Value, true
	}
	return t, err
}
