package fsm

import (
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

func (d *dispatchTable) registerACLRoles() {
	register(d, structs.ACLRolesUpsertMsg, func(txn *state.Txn, index uint64, req *structs.ACLRolesUpsertRequest) (any, error) {
		return nil, txn.UpsertACLRoles(index, req.ACLRoles, req.AllowMissingPolicies)
	})
	register(d, structs.ACLRolesDeleteMsg, func(txn *state.Txn, index uint64, req *structs.ACLRolesDeleteByIDRequest) (any, error) {
		return nil, txn.DeleteACLRoles(index, req.ACLRoleIDs)
	})
}

func (l *loaderTable) registerACLRoles() {
	registerRecord(l, structs.ACLRoleRecord, func(r *state.Restore, role *structs.ACLRole) error { return r.ACLRole(role) })
}
