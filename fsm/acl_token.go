package fsm

import (
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

func (d *dispatchTable) registerACLTokens() {
	register(d, structs.ACLTokenUpsertMsg, func(txn *state.Txn, index uint64, req *structs.ACLTokenUpsertRequest) (any, error) {
		return nil, txn.UpsertACLTokens(index, req.Tokens)
	})
	register(d, structs.ACLTokenDeleteMsg, func(txn *state.Txn, index uint64, req *structs.ACLTokenDeleteRequest) (any, error) {
		return nil, txn.DeleteACLTokens(index, req.AccessorIDs)
	})
	register(d, structs.ACLTokenBootstrapMsg, func(txn *state.Txn, index uint64, req *structs.ACLTokenBootstrapCommand) (any, error) {
		return nil, txn.BootstrapACLToken(index, req.ResetIndex, req.Token)
	})
	register(d, structs.OneTimeTokenUpsertMsg, func(txn *state.Txn, index uint64, req *structs.OneTimeToken) (any, error) {
		return nil, txn.UpsertOneTimeToken(index, req)
	})
	register(d, structs.OneTimeTokenDeleteMsg, func(txn *state.Txn, index uint64, req *structs.OneTimeTokenDeleteRequest) (any, error) {
		return nil, txn.DeleteOneTimeTokens(index, req.AccessorIDs)
	})
	register(d, structs.OneTimeTokenExpireMsg, func(txn *state.Txn, index uint64, req *structs.OneTimeTokenExpireRequest) (any, error) {
		return nil, txn.ExpireOneTimeTokens(index, req.Timestamp)
	})
}

func (l *loaderTable) registerACLTokens() {
	registerRecord(l, structs.ACLTokenRecord, func(r *state.Restore, t *structs.ACLToken) error { return r.ACLToken(t) })
	registerRecord(l, structs.OneTimeTokenRecord, func(r *state.Restore, t *structs.OneTimeToken) error { return r.OneTimeToken(t) })
}
