package state

import (
	"fmt"
	"slices"

	"github.com/rollcall-id/rollcall/structs"
)

// touch notes that the command at index has changed the tables. A batch writes the entry of a table once, however
// many of its commands change the table.
func (t *Txn) touch(index uint64, tables ...string) error {
	for _, name := range tables {
		i := slices.IndexFunc(t.touched, func(e touchedIndex) bool { return e.row.Key == name })
		if i < 0 {
			e, err := newTouched(t.base, name)
			if err != nil {
				return err
			}
			if err := t.txn.Insert(tableIndex, e.row); err != nil {
				return fmt.Errorf("write table %s: %w", tableIndex, err)
			}
			i, t.touched = len(t.touched), append(t.touched, e)
		}
		t.touched[i].row.Value = index
	}
	return nil
}

// index is what touch has last written for the table, in this transaction or before.
func (t *Txn) index(table string) (uint64, error) {
	for _, e := range t.touched {
		if e.row.Key == table {
			return e.row.Value, nil
		}
	}
	e, err := get[structs.IndexEntry](t.base, nil, tableIndex, table)
	if err != nil || e == nil {
		return 0, err
	}
	return e.Value, nil
}

// Index returns the index of the last command that changed the table, 0 if none has.
func (v view) Index(table string) (uint64, error) {
	e, err := get[structs.IndexEntry](v.read(), nil, tableIndex, table)
	if err != nil || e == nil {
		return 0, err
	}
	return e.Value, nil
}

// LatestIndex returns the index of the last command that changed any table.
func (v view) LatestIndex() (uint64, error) {
	entries, err := list[structs.IndexEntry](v.read(), nil, tableIndex, "")
	if err != nil {
		return 0, err
	}
	var latest uint64
	for e := range entries {
		latest = max(latest, e.Value)
	}
	return latest, nil
}

// Indexes returns the index entries of all tables, also of those that are only kept from an import, sorted by
// table.
func (v view) Indexes() ([]structs.IndexEntry, error) {
	entries, err := list[structs.IndexEntry](v.read(), nil, tableIndex, "")
	if err != nil {
		return nil, err
	}
	var all []structs.IndexEntry
	for e := range entries {
		all = append(all, *e)
	}
	return all, nil
}
