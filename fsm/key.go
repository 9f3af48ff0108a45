package fsm

import (
	"errors"

	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

var errNoKey = errors.New("root key is missing in the request")

func (d *dispatchTable) registerKeys() {
	register(d, structs.RootKeyUpsertMsg, func(txn *state.Txn, index uint64, req *structs.RootKeyUpsertRequest) (any, error) {
		if req.WrappedRootKeys == nil {
			return nil, errNoKey
		}
		if req.IfIndex != 0 {
			if err := txn.RootKeyUnchanged(req.WrappedRootKeys.KeyID, req.IfIndex); err != nil {
				return nil, err
			}
		}
		return nil, txn.UpsertRootKey(index, req.WrappedRootKeys, req.Rekey)
	})
	register(d, structs.RootKeyMetaUpsertMsg, func(txn *state.Txn, index uint64, req *structs.RootKeyMetaUpsertRequest) (any, error) {
		if req.RootKeyMeta == nil {
			return nil, errNoKey
		}
		return nil, txn.UpsertRootKey(index, req.RootKeyMeta.RootKey(), req.Rekey)
	})
	register(d, structs.RootKeyDeleteMsg, func(txn *state.Txn, index uint64, req *structs.KeyringDeleteRequest) (any, error) {
		return nil, txn.DeleteRootKey(index, req)
	})
	registerPartial(d, structs.VarApplyStateMsg, func(txn *state.Txn, index uint64, req *variableKeyUse) (any, error) {
		return nil, noteKeyUses(txn, index, "variable", req.Var.KeyID)
	})
	for _, t := range []structs.MessageType{structs.AllocUpdateMsg, structs.ApplyPlanResultsMsg} {
		registerPartial(d, t, func(txn *state.Txn, index uint64, req *allocationKeyUses) (any, error) {
			keys := make([]string, 0, len(req.Alloc)+len(req.AllocsUpdated))
			for _, a := range append(req.Alloc, req.AllocsUpdated...) {
				if !a.terminal() {
					keys = append(keys, a.SigningKeyID)
				}
			}
			return nil, noteKeyUses(txn, index, "allocation", keys...)
		})
	}
}

// variableKeyUse is what matters of a variable's change: the key that encrypts it.
type variableKeyUse struct {
	Var struct{ KeyID string }
}

// allocationKeyUses is what matters of new allocations: the keys that signed their identities.
type allocationKeyUses struct {
	Alloc         []allocationKeyUse
	AllocsUpdated []allocationKeyUse
}

type allocationKeyUse struct {
	SigningKeyID string
	ClientStatus string
}

// terminal reports whether the allocation runs no more and needs no key.
func (a allocationKeyUse) terminal() bool {
	switch a.ClientStatus {
	case "complete", "failed", "lost":
		return true
	}
	return false
}

// noteKeyUses remembers that something which is not kept here needs the keys. When it no longer does is not known
// here either: whoever is sure deletes such a key by force.
func noteKeyUses(txn *state.Txn, index uint64, user string, keys ...string) error {
	for _, id := range keys {
		if id == "" {
			continue
		}
		if err := txn.NoteKeyUse(index, structs.KeyUse{KeyID: id, User: user}); err != nil {
			return err
		}
	}
	return nil
}

func (l *loaderTable) registerKeys() {
	registerRecord(l, structs.RootKeyRecord, func(r *state.Restore, key *structs.RootKey) error { return r.RootKey(key) })
	registerRecord(l, structs.RootKeyMetaRecord, func(r *state.Restore, meta *structs.RootKeyMeta) error {
		return r.RootKey(meta.RootKey())
	})
	registerRecord(l, structs.KeyUseRecord, func(r *state.Restore, use *structs.KeyUse) error { return r.KeyUse(*use) })
}
