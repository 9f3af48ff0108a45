package fsm

import (
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

func (d *dispatchTable) registerNamespaces() {
	register(d, structs.NamespaceUpsertMsg, func(txn *state.Txn, index uint64, req *structs.NamespaceUpsertRequest) (any, error) {
		return nil, txn.UpsertNamespaces(index, req.Namespaces)
	})
	register(d, structs.NamespaceDeleteMsg, func(txn *state.Txn, index uint64, req *structs.NamespaceDeleteRequest) (any, error) {
		return nil, txn.DeleteNamespaces(index, req.Namespaces)
	})
}

func (l *loaderTable) registerNamespaces() {
	registerRecord(l, structs.NamespaceRecord, func(r *state.Restore, ns *structs.Namespace) error { return r.Namespace(ns) })
}
