package state

import (
	"fmt"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// nodeLink is an entry of one of the node table's secondary indexes: the node has this secret, signing key or
// pool. memdb rewrites every index of a table whenever a row changes; as rows of their own, entries are written
// only when they change, which a status update or a heartbeat does not do.
type nodeLink struct {
	key    string
	nodeID string
}

// nodeIndexes are the secondary indexes of the node table. A node without a value has no entry.
var nodeIndexes = []struct {
	table string
	key   func(*structs.Node) string
}{
	{tableNodesBySecret, func(n *structs.Node) string { return string(n.SecretHash) }},
	{tableNodesByKey, func(n *structs.Node) string { return n.IdentitySigningKeyID }},
	{tableNodesByPool, func(n *structs.Node) string { return n.NodePool }},
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
		var before, after string
		if old != nil {
			before = ix.key(old.Node)
		}
		if n != nil {
			after = ix.key(n.Node)
		}
		if before == after {
			continue
		}
		if before != "" {
			if err := t.remove(ix.table, &nodeLink{before, old.ID}); err != nil {
				return err
			}
		}
		if after != "" {
			if err := t.insert(ix.table, &nodeLink{after, n.ID}); err != nil {
				return err
			}
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
	t.dirty[n.ID] = n
	if old == nil {
		t.added++
	}
	return t.insert(TableNodes, n)
}

// linked returns the nodes that have the key in one of the secondary indexes, ordered by ID. Watching it means
// watching all nodes: an entry doesn't change when its node does.
func linked(txn *memdb.Txn, ws memdb.WatchSet, table, key string) (iter.Seq[*structs.Node], error) {
	if ws != nil {
		if _, err := list[nodeRow](txn, ws, TableNodes, ""); err != nil {
			return nil, err
		}
	}
	links, err := list[nodeLink](txn, nil, table, key+"\x00")
	if err != nil {
		return nil, err
	}
	return func(yield func(*structs.Node) bool) {
		for l := range links {
			if l.key != key {
				continue // a key with a zero byte in it
			}
			n, err := getNode(txn, nil, l.nodeID)
			if err != nil || n == nil {
				continue // not possible: setNode writes both
			}
			if !yield(n) {
				return
			}
		}
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
// only an import can bring, it returns the one with the lowest ID. It watches that node and the hash's users.
func (v view) NodeBySecretHash(ws memdb.WatchSet, hash []byte) (*structs.Node, error) {
	if len(hash) == 0 {
		return nil, nil
	}
	txn := v.read()
	ch, raw, err := txn.FirstWatch(tableNodesBySecret, byIDPrefix, string(hash)+"\x00")
	if err != nil {
		return nil, fmt.Errorf("read table %s: %w", tableNodesBySecret, err)
	}
	ws.Add(ch)
	l, ok := raw.(*nodeLink)
	if !ok {
		return nil, nil
	}
	return getNode(txn, ws, l.nodeID)
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
