package fsm

import (
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

func (d *dispatchTable) registerACLPolicies() {
	register(d, structs.ACLPolicyUpsertMsg, func(txn *state.Txn, index uint64, req *structs.ACLPolicyUpsertRequest) (any, error) {
		return nil, txn.UpsertACLPolicies(index, req.Policies)
	})
	register(d, structs.ACLPolicyDeleteMsg, func(txn *state.Txn, index uint64, req *structs.ACLPolicyDeleteRequest) (any, error) {
		return nil, txn.DeleteACLPolicies(index, req.Names)
	})
}

func (l *loaderTable) registerACLPolicies() {
	registerRecord(l, structs.ACLPolicyRecord, func(r *state.Restore, p *structs.ACLPolicy) error { return r.ACLPolicy(p) })
}
