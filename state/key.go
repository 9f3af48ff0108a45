package state

import (
	"errors"
	"fmt"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// RootKeys returns all root keys, ordered by ID. It watches the table.
func (v view) RootKeys(ws memdb.WatchSet) (iter.Seq[*structs.RootKey], error) {
	return list[structs.RootKey](v.read(), ws, TableRootKeys, "")
}

// RootKeyByID returns the key, nil when there is none. It watches that key alone.
func (v view) RootKeyByID(ws memdb.WatchSet, id string) (*structs.RootKey, error) {
	return get[structs.RootKey](v.read(), ws, TableRootKeys, id)
}

// ActiveRootKey returns the key that signs and encrypts, nil before there is one. It watches all keys.
func (v view) ActiveRootKey(ws memdb.WatchSet) (*structs.RootKey, error) {
	keys, err := v.RootKeys(ws)
	if err != nil {
		return nil, err
	}
	for k := range keys {
		if k.IsActive() {
			return k, nil
		}
	}
	return nil, nil
}

// rootKey returns the key as the transaction sees it, nil when there is none.
func (t *Txn) rootKey(id string) (*structs.RootKey, error) {
	return get[structs.RootKey](t.txn, nil, TableRootKeys, id)
}

// UpsertRootKey writes a root key or its new state (message types 51 and 62). A key that becomes active demotes
// the one that was: to inactive, or with rekey together with all inactive ones to rekeying. A key written without
// its material, as old versions do, keeps what it has. The key passed in is not changed.
//
// Errors: rekey without a newly active key; a change that would leave the cluster without an active key.
func (t *Txn) UpsertRootKey(index uint64, key *structs.RootKey, rekey bool) error {
	if key == nil || key.KeyID == "" {
		return errors.New("write root key: key is missing or has no ID")
	}
	if !key.State.Valid() {
		return fmt.Errorf("write root key %s: state %q is not known", key.KeyID, key.State)
	}
	old, err := t.rootKey(key.KeyID)
	if err != nil {
		return err
	}
	rotation := key.IsActive() && (old == nil || !old.IsActive())
	if rekey && !rotation {
		return fmt.Errorf("write root key %s: cannot rekey without setting the new key active", key.KeyID)
	}
	if old != nil && old.IsActive() && !key.IsActive() {
		return fmt.Errorf("write root key %s: the active key can't become %s: make another key active", key.KeyID, key.State)
	}
	if rotation {
		if err := t.demote(index, rekey); err != nil {
			return err
		}
	}

	k := *key
	k.CreateIndex, k.ModifyIndex = index, index
	if old != nil {
		k.CreateIndex, k.CreateTime = old.CreateIndex, old.CreateTime
		if len(k.WrappedKeys) == 0 {
			k.WrappedKeys, k.SigningAlgorithm = old.WrappedKeys, old.SigningAlgorithm
		}
	}
	if err := t.insert(TableRootKeys, &k); err != nil {
		return err
	}
	t.emitKey(index, keyEventType(old, &k), &k)
	return t.touch(index, TableRootKeys)
}

// RootKeyUnchanged returns an error that wraps structs.ErrConflict unless the key is there as it was written at the index.
func (t *Txn) RootKeyUnchanged(id string, index uint64) error {
	key, err := t.rootKey(id)
	switch {
	case err != nil:
		return err
	case key == nil:
		return fmt.Errorf("write root key %s: %w: it was deleted", id, structs.ErrConflict)
	case key.ModifyIndex != index:
		return fmt.Errorf("write root key %s: %w: it was written at index %d, not %d", id, structs.ErrConflict, key.ModifyIndex, index)
	}
	return nil
}

// demote makes room for a new active key.
func (t *Txn) demote(index uint64, rekey bool) error {
	keys, err := list[structs.RootKey](t.txn, nil, TableRootKeys, "")
	if err != nil {
		return err
	}
	for k := range keys {
		c := *k
		c.ModifyIndex = index
		switch {
		case rekey && (k.State == structs.KeyStateActive || k.State == structs.KeyStateInactive):
			c.State = structs.KeyStateRekeying
		case k.IsActive():
			c.State = structs.KeyStateInactive
		default:
			continue
		}
		if err := t.insert(TableRootKeys, &c); err != nil {
			return err
		}
		t.emitKey(index, structs.EventKeyringUpdated, &c)
	}
	return nil
}

// DeleteRootKey deletes a root key (message type 52). A request that carries the proposer's time is checked here
// once more, since an identity may have been signed between the proposer's check and now. Force lifts the check
// for what the key encrypts or signed outside of this system, never the one for nodes' identities.
//
// Errors: structs.ErrRootKeyNotFound, structs.ErrRootKeyActive, structs.ErrRootKeyInUse.
func (t *Txn) DeleteRootKey(index uint64, req *structs.KeyringDeleteRequest) error {
	key, err := t.rootKey(req.KeyID)
	switch {
	case err != nil:
		return err
	case key == nil:
		return fmt.Errorf("delete root key %q: %w", req.KeyID, structs.ErrRootKeyNotFound)
	case key.IsActive():
		return fmt.Errorf("delete root key %s: %w", req.KeyID, structs.ErrRootKeyActive)
	}
	if req.At != 0 {
		users, err := keyUsers(t.txn, req.KeyID, req.At)
		if err != nil {
			return err
		}
		if users.Nodes > 0 {
			return fmt.Errorf("delete root key %s: %w: it signed valid identities of %d nodes", req.KeyID, structs.ErrRootKeyInUse, users.Nodes)
		}
		if users.Foreign > 0 && !req.Force {
			return fmt.Errorf("delete root key %s: %w: %d variables or allocations need it", req.KeyID, structs.ErrRootKeyInUse, users.Foreign)
		}
	}
	if err := t.forgetKeyUses(req.KeyID); err != nil {
		return err
	}
	if err := t.remove(TableRootKeys, key); err != nil {
		return err
	}
	t.emitKey(index, structs.EventKeyringRemoved, key)
	return t.touch(index, TableRootKeys)
}
