package fsm

import (
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

func (d *dispatchTable) registerNodes() {
	register(d, structs.NodeRegisterMsg, func(txn *state.Txn, index uint64, req *structs.NodeRegisterRequest) (any, error) {
		return nil, txn.UpsertNode(index, req)
	})
	register(d, structs.NodeDeregisterMsg, func(txn *state.Txn, index uint64, req *structs.NodeDeregisterRequest) (any, error) {
		return nil, txn.DeleteNodes(index, []string{req.NodeID})
	})
	register(d, structs.NodeBatchDeregisterMsg, func(txn *state.Txn, index uint64, req *structs.NodeBatchDeregisterRequest) (any, error) {
		return nil, txn.DeleteNodes(index, req.NodeIDs)
	})
	register(d, structs.NodeUpdateStatusMsg, func(txn *state.Txn, index uint64, req *structs.NodeUpdateStatusRequest) (any, error) {
		return nil, txn.UpdateNodeStatus(index, req)
	})
	register(d, structs.NodeUpdateDrainMsg, func(txn *state.Txn, index uint64, req *structs.NodeUpdateDrainRequest) (any, error) {
		return nil, txn.UpdateNodeDrain(index, req)
	})
	register(d, structs.BatchNodeUpdateDrainMsg, func(txn *state.Txn, index uint64, req *structs.BatchNodeUpdateDrainRequest) (any, error) {
		return nil, txn.BatchUpdateNodeDrain(index, req)
	})
	register(d, structs.NodeUpdateEligibilityMsg, func(txn *state.Txn, index uint64, req *structs.NodeUpdateEligibilityRequest) (any, error) {
		return nil, txn.UpdateNodeEligibility(index, req)
	})
	register(d, structs.UpsertNodeEventsMsg, func(txn *state.Txn, index uint64, req *structs.EmitNodeEventsRequest) (any, error) {
		return nil, txn.UpsertNodeEvents(index, req.NodeEvents)
	})
}

func (l *loaderTable) registerNodes() {
	registerRecord(l, structs.NodeRecord, func(r *state.Restore, node *structs.Node) error { return r.Node(node) })
}
