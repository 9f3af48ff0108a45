package state

import (
	"errors"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// ACLPolicies returns all policies, ordered by name. It watches the table.
func (v view) ACLPolicies(ws memdb.WatchSet) (iter.Seq[*structs.ACLPolicy], error) {
	return list[structs.ACLPolicy](v.read(), ws, TableACLPolicies, "")
}

// ACLPolicyByName returns the policy, nil when there is none. It watches that policy alone.
func (v view) ACLPolicyByName(ws memdb.WatchSet, name string) (*structs.ACLPolicy, error) {
	return get[structs.ACLPolicy](v.read(), ws, TableACLPolicies, name)
}

// UpsertACLPolicies creates or replaces all of the policies, or none (message type 19). The values passed in are not
// changed.
func (t *Txn) UpsertACLPolicies(index uint64, policies []*structs.ACLPolicy) error {
	for _, p := range policies {
		if p == nil || p.Name == "" {
			return errors.New("write ACL policies: a policy is missing or has no name")
		}
	}
	for _, p := range policies {
		old, err := get[structs.ACLPolicy](t.txn, nil, TableACLPolicies, p.Name)
		if err != nil {
			return err
		}
		c := p.Copy()
		c.SetHash()
		c.CreateIndex, c.ModifyIndex = index, index
		if old != nil {
			c.CreateIndex = old.CreateIndex
		}
		if err := t.insert(TableACLPolicies, c); err != nil {
			return err
		}
		t.emitACLPolicy(index, structs.EventACLPolicyUpserted, c)
	}
	return t.touchIf(len(policies) > 0, index, TableACLPolicies)
}

// DeleteACLPolicies deletes the policies (message type 20). One that is not there is passed over, as for the writers
// that we are compatible with.
func (t *Txn) DeleteACLPolicies(index uint64, names []string) error {
	for _, name := range names {
		p, err := get[structs.ACLPolicy](t.txn, nil, TableACLPolicies, name)
		if err != nil {
			return err
		}
		if p == nil {
			continue
		}
		if err := t.remove(TableACLPolicies, p); err != nil {
			return err
		}
		t.emitACLPolicy(index, structs.EventACLPolicyDeleted, p)
	}
	return t.touchIf(len(names) > 0, index, TableACLPolicies)
}

// ACLPolicy loads a policy.
func (r *Restore) ACLPolicy(p *structs.ACLPolicy) error {
	if p == nil || p.Name == "" {
		return errors.New("restore ACL policy: record has no name")
	}
	return r.t.insert(TableACLPolicies, p)
}
