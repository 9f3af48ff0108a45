package state

import (
	"iter"
	"strings"

	"github.com/hashicorp/go-memdb"
	"github.com/tidwall/btree"

	"github.com/rollcall-id/rollcall/structs"
)

// nodeSet is a row of one of the node table's secondary indexes: the nodes that have a signing key or a pool in common,
// by ID, or all secrets with their nodes. memdb rewrites every index of a table whenever a row changes, and an entry of
// an index takes half a kilobyte; in sets of their own, entries are written only when they change, which a status
// update or a heartbeat does not do, and take some fifty bytes. Copying a set costs next to nothing: what a committed
// row refers to is shared with its copies and never changes.
type nodeSet struct {
	key     string
	members *btree.Set[string]
}

// nodeIndex says of which sets of a table a node is a member. A node without a value is in none.
type nodeIndex struct {
	table string
	value func(*structs.Node) string
	// together: values are hardly ever shared, and all are in one set, each followed by the node's ID.
	together bool
}

var nodeIndexes = []nodeIndex{
	{tableNodesBySecret, func(n *structs.Node) string { return string(n.SecretHash) }, true},
	{tableNodesByKey, func(n *structs.Node) string { return n.IdentitySigningKeyID }, false},
	{tableNodesByPool, func(n *structs.Node) string { return n.NodePool }, false},
}

// entry returns the key of the set and what the set has of a node with that value.
func (ix nodeIndex) entry(value, id string) (key, member string) {
	if ix.together {
		return singletonKey, value + id
	}
	return value, id
}

// nodeSetAt is the place of a row.
type nodeSetAt struct{ table, key string }

// nodeSet returns the set as the transaction's own, to be changed. An empty one is not in its table.
func (t *Txn) nodeSet(at nodeSetAt) (*nodeSet, error) {
	if own := t.sets[at]; own != nil {
		return own, nil
	}
	own := &nodeSet{key: at.key, members: new(btree.Set[string])}
	old, err := get[nodeSet](t.base, nil, at.table, at.key)
	if err != nil {
		return nil, err
	}
	if t.sets == nil {
		t.sets = map[nodeSetAt]*nodeSet{}
	}
	t.sets[at] = own
	if old == nil {
		return own, nil
	}
	own.members = old.members.Copy()
	return own, t.insert(at.table, own)
}

func (t *Txn) addMember(at nodeSetAt, member string) error {
	set, err := t.nodeSet(at)
	if err != nil {
		return err
	}
	first := set.members.Len() == 0
	set.members.Load(member) // which is quick for what comes in order, as in a snapshot
	if first {
		return t.insert(at.table, set)
	}
	return nil
}

func (t *Txn) removeMember(at nodeSetAt, member string) error {
	set, err := t.nodeSet(at)
	if err != nil {
		return err
	}
	if set.members.Delete(member); set.members.Len() == 0 {
		return t.remove(at.table, set)
	}
	return nil
}

// reindex writes what differs between old and n in an index.
func (t *Txn) reindex(ix nodeIndex, old, n *nodeRow) error {
	var before, after string
	if old != nil {
		before = ix.value(old.Node)
	}
	if n != nil {
		after = ix.value(n.Node)
	}
	if before == after {
		return nil
	}
	if before != "" {
		key, member := ix.entry(before, old.ID)
		if err := t.removeMember(nodeSetAt{ix.table, key}, member); err != nil {
			return err
		}
	}
	if after != "" {
		key, member := ix.entry(after, n.ID)
		return t.addMember(nodeSetAt{ix.table, key}, member)
	}
	return nil
}

// node returns the node as the transaction sees it, nil when there is none.
func (t *Txn) node(id string) (*nodeRow, error) {
	if n, ok := t.dirty[id]; ok {
		return n, nil
	}
	return get[nodeRow](t.base, nil, TableNodes, id)
}

// setNode puts n in old's place, with its index entries. old is nil for a new node and n nil to delete old.
func (t *Txn) setNode(old, n *nodeRow) error {
	for _, ix := range nodeIndexes {
		if err := t.reindex(ix, old, n); err != nil {
			return err
		}
	}
	if !t.store.undigested {
		t.changes = append(t.changes, nodeChange{old, n})
	}
	if n == nil {
		t.dirty[old.ID] = nil
		t.added--
		return t.remove(TableNodes, old)
	}
	if t.dirty != nil {
		t.dirty[n.ID] = n
	}
	if old == nil {
		t.added++
	}
	return t.insert(TableNodes, n)
}

// linked returns the nodes that have the value in one of the secondary indexes, ordered by ID. Watching it means
// watching all nodes: a set doesn't change when one of its nodes does.
func linked(txn *memdb.Txn, ws memdb.WatchSet, table, value string) (iter.Seq[*structs.Node], error) {
	if ws != nil {
		if _, err := list[nodeRow](txn, ws, TableNodes, ""); err != nil {
			return nil, err
		}
	}
	set, err := get[nodeSet](txn, nil, table, value)
	if err != nil {
		return nil, err
	}
	return func(yield func(*structs.Node) bool) {
		if set == nil {
			return
		}
		set.members.Scan(func(id string) bool {
			n, err := getNode(txn, nil, id)
			return err != nil || n == nil || yield(n) // setNode writes both, so that there is always a node
		})
	}, nil
}

// getNode returns the node, or nil.
func getNode(txn *memdb.Txn, ws memdb.WatchSet, id string) (*structs.Node, error) {
	r, err := get[nodeRow](txn, ws, TableNodes, id)
	if err != nil || r == nil {
		return nil, err
	}
	return r.Node, nil
}

// NodeByID returns the node, nil when there is none. It watches that node alone.
func (v view) NodeByID(ws memdb.WatchSet, id string) (*structs.Node, error) {
	return getNode(v.read(), ws, id)
}

// NodeBySecretHash returns the node whose secret ID has the SHA-256 hash, nil when there is none. Of several, as
// only an import can bring, it returns the one with the lowest ID.
func (v view) NodeBySecretHash(hash []byte) (*structs.Node, error) {
	if len(hash) == 0 {
		return nil, nil
	}
	txn := v.read()
	set, err := get[nodeSet](txn, nil, tableNodesBySecret, singletonKey)
	if err != nil || set == nil {
		return nil, err
	}
	var id string
	set.members.Ascend(string(hash), func(member string) bool {
		id, _ = strings.CutPrefix(member, string(hash))
		if id == member {
			id = ""
		}
		return false
	})
	if id == "" {
		return nil, nil
	}
	return getNode(txn, nil, id)
}

// Nodes returns all nodes, ordered by ID. It watches the table.
func (v view) Nodes(ws memdb.WatchSet) (iter.Seq[*structs.Node], error) {
	return v.NodesByIDPrefix(ws, "")
}

// NodesByIDPrefix returns the nodes whose IDs start with prefix, ordered by ID. The comparison is exact: dashes
// count and so does case. It watches the nodes with the prefix.
func (v view) NodesByIDPrefix(ws memdb.WatchSet, prefix string) (iter.Seq[*structs.Node], error) {
	rows, err := list[nodeRow](v.read(), ws, TableNodes, prefix)
	if err != nil {
		return nil, err
	}
	return func(yield func(*structs.Node) bool) {
		for r := range rows {
			if !yield(r.Node) {
				return
			}
		}
	}, nil
}

// NodesByPool returns the nodes of a pool, ordered by ID; the built-in pool "all" has all nodes. It watches all
// nodes.
func (v view) NodesByPool(ws memdb.WatchSet, pool string) (iter.Seq[*structs.Node], error) {
	if pool == structs.NodePoolAll {
		return v.Nodes(ws)
	}
	return linked(v.read(), ws, tableNodesByPool, pool)
}

// NodesBySigningKey returns the nodes whose latest identity was signed with the root key, ordered by ID, in time
// proportional to their number. It watches all nodes.
func (v view) NodesBySigningKey(ws memdb.WatchSet, keyID string) (iter.Seq[*structs.Node], error) {
	return linked(v.read(), ws, tableNodesByKey, keyID)
}
