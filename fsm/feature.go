package fsm

import (
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

func (d *dispatchTable) registerFeatures() {
	register(d, structs.FeatureGateMsg, func(txn *state.Txn, _ uint64, req *structs.FeatureGateRequest) (any, error) {
		return nil, txn.OpenFeatures(req.Gates)
	})
}

func (l *loaderTable) registerFeatures() {
	registerRecord(l, structs.FeatureGateRecord, func(r *state.Restore, g *structs.FeatureGate) error { return r.FeatureGate(g) })
}
