package state

import (
	"errors"
	"fmt"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// Namespaces returns all namespaces, ordered by name. It watches the table.
func (v view) Namespaces(ws memdb.WatchSet) (iter.Seq[*structs.Namespace], error) {
	return list[structs.Namespace](v.read(), ws, TableNamespaces, "")
}

// NamespaceByName returns the namespace, nil when there is none. It watches that namespace alone.
func (v view) NamespaceByName(ws memdb.WatchSet, name string) (*structs.Namespace, error) {
	return get[structs.Namespace](v.read(), ws, TableNamespaces, name)
}

// UpsertNamespaces creates or replaces all of the namespaces, or none (message type 64). The values passed in are
// not changed.
func (t *Txn) UpsertNamespaces(index uint64, namespaces []*structs.Namespace) error {
	for _, n := range namespaces {
		if n == nil || n.Name == "" {
			return errors.New("write namespaces: a namespace is missing or has no name")
		}
	}
	if len(namespaces) == 0 {
		return nil
	}
	for _, n := range namespaces {
		old, err := get[structs.Namespace](t.txn, nil, TableNamespaces, n.Name)
		if err != nil {
			return err
		}
		c := *n
		c.CreateIndex, c.ModifyIndex = index, index
		if old != nil {
			c.CreateIndex = old.CreateIndex
		}
		if err := t.insert(TableNamespaces, &c); err != nil {
			return err
		}
	}
	return t.touch(index, TableNamespaces)
}

// DeleteNamespaces deletes all of the namespaces, or none (message type 65). The default one stays.
func (t *Txn) DeleteNamespaces(index uint64, names []string) error {
	rows := make([]*structs.Namespace, 0, len(names))
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		n, err := get[structs.Namespace](t.txn, nil, TableNamespaces, name)
		switch {
		case err != nil:
			return err
		case name == structs.DefaultNamespace:
			return errors.New("delete namespaces: the default namespace can't be deleted")
		case n == nil || seen[name]:
			return fmt.Errorf("delete namespaces: namespace %q not found", name)
		}
		seen[name] = true
		rows = append(rows, n)
	}
	if len(rows) == 0 {
		return nil
	}
	for _, n := range rows {
		if err := t.remove(TableNamespaces, n); err != nil {
			return err
		}
	}
	return t.touch(index, TableNamespaces)
}
