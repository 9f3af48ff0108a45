package state

import (
	"github.com/rollcall-id/rollcall/structs"
)

// touch notes that the command at index has changed the tables.
func (t *Txn) touch(index uint64, tables ...string) error {
	for _, name := range tables {
		if err := t.insert(tableIndex, &structs.IndexEntry{Key: name, Value: index}); err != nil {
			return err
		}
	}
	return nil
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
