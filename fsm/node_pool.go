package fsm

import (
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

func (d *dispatchTable) registerNodePools() {
	register(d, structs.NodePoolUpsertMsg, func(txn *state.Txn, index uint64, req *structs.NodePoolUpsertRequest) (any, error) {
		return nil, txn.UpsertNodePools(index, req.NodePools)
	})
	register(d, structs.NodePoolDeleteMsg, func(txn *state.Txn, index uint64, req *structs.NodePoolDeleteRequest) (any, error) {
		return nil, txn.DeleteNodePools(index, req.Names)
	})
}

func (l *loaderTable) registerNodePools() {
	registerRecord(l, structs.NodePoolRecord, func(r *state.Restore, pool *structs.NodePool) error { return r.NodePool(pool) })
}
