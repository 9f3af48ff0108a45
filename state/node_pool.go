package state

import (
	"errors"
	"fmt"
	"iter"
	"net/http"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// NodePools returns all pools, ordered by name. It watches the table.
func (v view) NodePools(ws memdb.WatchSet) (iter.Seq[*structs.NodePool], error) {
	return list[structs.NodePool](v.read(), ws, TableNodePools, "")
}

// NodePoolByName returns the pool, nil when there is none. It watches that pool alone.
func (v view) NodePoolByName(ws memdb.WatchSet, name string) (*structs.NodePool, error) {
	return get[structs.NodePool](v.read(), ws, TableNodePools, name)
}

// missingPool returns the pool that a registration at index creates, nil when there is one of that name.
func (t *Txn) missingPool(index uint64, name string) (*structs.NodePool, error) {
	old, err := get[structs.NodePool](t.txn, nil, TableNodePools, name)
	if err != nil || old != nil {
		return nil, err
	}
	p := &structs.NodePool{Name: name, CreateIndex: index, ModifyIndex: index}
	p.Canonicalize()
	return p, nil
}

// UpsertNodePools creates or replaces all of the pools, or none (message type 59). A pool without an identity TTL
// gets the default one here, so that pools in logs of versions without TTLs have one when the log is replayed.
// The pools passed in are not changed.
//
// Errors: a structs.CodedError for a built-in pool, which can't be changed.
func (t *Txn) UpsertNodePools(index uint64, pools []*structs.NodePool) error {
	for _, p := range pools {
		switch {
		case p == nil || p.Name == "":
			return errors.New("write node pools: a pool is missing or has no name")
		case p.IsBuiltin():
			return structs.Coded(http.StatusBadRequest, "modifying node pool %q is not allowed", p.Name)
		}
		if err := structs.ValidateIdentityTTL(p.NodeIdentityTTL); err != nil {
			return structs.Coded(http.StatusBadRequest, "write node pool %q: %w", p.Name, err)
		}
	}
	if len(pools) == 0 {
		return nil
	}
	for _, p := range pools {
		old, err := get[structs.NodePool](t.txn, nil, TableNodePools, p.Name)
		if err != nil {
			return err
		}
		c := *p
		c.CreateIndex, c.ModifyIndex = index, index
		if old != nil {
			c.CreateIndex = old.CreateIndex
		}
		c.Canonicalize()
		if err := t.insert(TableNodePools, &c); err != nil {
			return err
		}
		t.emitNodePool(index, structs.EventNodePoolUpserted, &c)
	}
	return t.touch(index, TableNodePools)
}

// DeleteNodePools deletes all of the pools, or none (message type 60).
//
// Errors: structs.ErrNodePoolNotFound when one of them does not exist or is named twice; a structs.CodedError for
// a built-in pool; an error for a pool with nodes in it.
func (t *Txn) DeleteNodePools(index uint64, names []string) error {
	pools := make([]*structs.NodePool, 0, len(names))
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		p, err := get[structs.NodePool](t.txn, nil, TableNodePools, name)
		if err != nil {
			return err
		}
		switch {
		case name == "":
			return structs.Coded(http.StatusBadRequest, "delete node pools: a name is empty")
		case p == nil || seen[name]:
			return fmt.Errorf("delete node pool %q: %w", name, structs.ErrNodePoolNotFound)
		case p.IsBuiltin():
			return structs.Coded(http.StatusBadRequest, "deleting node pool %q is not allowed", name)
		}
		nodes, err := linked(t.txn, nil, tableNodesByPool, name)
		if err != nil {
			return err
		}
		for range nodes {
			return fmt.Errorf("node pool %q has nodes: move or deregister them first", name)
		}
		seen[name] = true
		pools = append(pools, p)
	}
	if len(pools) == 0 {
		return nil
	}
	for _, p := range pools {
		if err := t.remove(TableNodePools, p); err != nil {
			return err
		}
		t.emitNodePool(index, structs.EventNodePoolDeleted, p)
	}
	return t.touch(index, TableNodePools)
}
