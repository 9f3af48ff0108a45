package fsm

import (
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// The two configurations answer a change that was to be made only if nothing else had changed with a bool: whether
// it was made.
func (d *dispatchTable) registerCluster() {
	register(d, structs.ClusterMetadataMsg, func(txn *state.Txn, index uint64, meta *structs.ClusterMetadata) (any, error) {
		return nil, txn.SetClusterMetadata(index, meta)
	})
	register(d, structs.AutopilotMsg, func(txn *state.Txn, index uint64, req *structs.AutopilotSetConfigRequest) (any, error) {
		if req.CAS {
			return txn.CASAutopilotConfig(index, &req.Config)
		}
		return nil, txn.SetAutopilotConfig(index, &req.Config)
	})
	register(d, structs.SchedulerConfigMsg, func(txn *state.Txn, index uint64, req *structs.SchedulerSetConfigRequest) (any, error) {
		if req.CAS {
			return txn.CASSchedulerConfig(index, &req.Config)
		}
		return nil, txn.SetSchedulerConfig(index, &req.Config)
	})
}

func (l *loaderTable) registerCluster() {
	registerRecord(l, structs.IndexRecord, func(r *state.Restore, e *structs.IndexEntry) error { return r.Index(*e) })
	registerRecord(l, structs.ClusterMetadataRecord, func(r *state.Restore, m *structs.ClusterMetadata) error {
		return r.ClusterMetadata(m)
	})
	registerRecord(l, structs.AutopilotConfigRecord, func(r *state.Restore, c *structs.AutopilotConfig) error {
		return r.AutopilotConfig(c)
	})
	registerRecord(l, structs.SchedulerConfigRecord, func(r *state.Restore, c *structs.SchedulerConfiguration) error {
		return r.SchedulerConfig(c)
	})
}
