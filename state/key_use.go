package state

import (
	"fmt"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// KeyUsers says what keeps a root key from being deleted.
type KeyUsers struct {
	Nodes   int // nodes with an identity that it signed and that may still verify
	Foreign int // imported variables and allocations, and notes of such records in skipped log entries
}

// InUse reports whether anything needs the key.
func (u KeyUsers) InUse() bool { return u.Nodes > 0 || u.Foreign > 0 }

// KeyUsers counts what needs the root key at now (Unix seconds), in time proportional to the nodes that have it
// as their signing key.
func (v view) KeyUsers(keyID string, now int64) (KeyUsers, error) {
	return keyUsers(v.read(), keyID, now)
}

// KeyInUse reports whether anything needs the root key at now (Unix seconds). It stops at the first user.
func (v view) KeyInUse(keyID string, now int64) (bool, error) {
	txn := v.read()
	foreign, err := foreignUsers(txn, keyID)
	if err != nil || foreign > 0 {
		return foreign > 0, err
	}
	nodes, err := linked(txn, nil, tableNodesByKey, keyID)
	if err != nil {
		return false, err
	}
	for n := range nodes {
		if n.UsesKey(keyID, now) {
			return true, nil
		}
	}
	return false, nil
}

func keyUsers(txn *memdb.Txn, keyID string, now int64) (KeyUsers, error) {
	nodes, err := linked(txn, nil, tableNodesByKey, keyID)
	if err != nil {
		return KeyUsers{}, err
	}
	var u KeyUsers
	for n := range nodes {
		if n.UsesKey(keyID, now) {
			u.Nodes++
		}
	}
	u.Foreign, err = foreignUsers(txn, keyID)
	return u, err
}

func foreignUsers(txn *memdb.Txn, keyID string) (int, error) {
	opaque, err := get[opaqueSet](txn, nil, tableOpaque, singletonKey)
	if err != nil {
		return 0, err
	}
	uses, err := list[structs.KeyUse](txn, nil, tableKeyUses, keyID+"\x00")
	if err != nil {
		return 0, err
	}
	count := 0
	if opaque != nil {
		count = opaque.keyUsers[keyID]
	}
	for range uses {
		count++
	}
	return count, nil
}

// NoteKeyUse remembers that a log entry which is skipped here uses a root key. Noting the same twice is noting it
// once. The note goes when the key does.
func (t *Txn) NoteKeyUse(index uint64, use structs.KeyUse) error {
	if use.KeyID == "" || use.User == "" {
		return fmt.Errorf("note use of root key %q by %q at index %d: key or user is not named", use.KeyID, use.User, index)
	}
	old, err := get[structs.KeyUse](t.txn, nil, tableKeyUses, keyUseKey(&use))
	if err != nil || old != nil {
		return err
	}
	return t.insert(tableKeyUses, &use)
}

// keyUseKey is the note's key in its table.
func keyUseKey(u *structs.KeyUse) string { return u.KeyID + "\x00" + u.User }

func (t *Txn) forgetKeyUses(keyID string) error {
	uses, err := list[structs.KeyUse](t.txn, nil, tableKeyUses, keyID+"\x00")
	if err != nil {
		return err
	}
	for u := range uses {
		if err := t.remove(tableKeyUses, u); err != nil {
			return err
		}
	}
	return nil
}

// KeyUses returns the notes of skipped log entries that use root keys, sorted by key and user.
func (v view) KeyUses() []structs.KeyUse {
	uses, err := list[structs.KeyUse](v.read(), nil, tableKeyUses, "")
	if err != nil {
		return nil // the schema has the table: it can't fail
	}
	var all []structs.KeyUse
	for u := range uses {
		all = append(all, *u)
	}
	return all
}
