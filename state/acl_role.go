package state

import (
	"errors"
	"fmt"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// ACLRoles returns all roles, ordered by ID. It watches the table.
func (v view) ACLRoles(ws memdb.WatchSet) (iter.Seq[*structs.ACLRole], error) {
	return list[structs.ACLRole](v.read(), ws, TableACLRoles, "")
}

// ACLRolesByIDPrefix returns the roles whose IDs begin so, ordered by ID.
func (v view) ACLRolesByIDPrefix(ws memdb.WatchSet, prefix string) (iter.Seq[*structs.ACLRole], error) {
	return list[structs.ACLRole](v.read(), ws, TableACLRoles, prefix)
}

// ACLRoleByID returns the role, nil when there is none. It watches that role alone.
func (v view) ACLRoleByID(ws memdb.WatchSet, id string) (*structs.ACLRole, error) {
	return get[structs.ACLRole](v.read(), ws, TableACLRoles, id)
}

// ACLRoleByName returns the role of that name, nil when there is none.
func (v view) ACLRoleByName(ws memdb.WatchSet, name string) (*structs.ACLRole, error) {
	return first[structs.ACLRole](v.read(), ws, TableACLRoles, byName, name)
}

// UpsertACLRoles creates or replaces all of the roles, or none (message type 53). The values passed in are not changed.
//
// Errors: a name that another role has; unless allowMissing, a policy that does not exist.
func (t *Txn) UpsertACLRoles(index uint64, roles []*structs.ACLRole, allowMissing bool) error {
	names := make(map[string]string, len(roles)) // to ID, of the request
	for _, r := range roles {
		if r == nil || r.ID == "" || r.Name == "" {
			return errors.New("write ACL roles: a role is missing, or has no ID or name")
		}
		same, err := first[structs.ACLRole](t.txn, nil, TableACLRoles, byName, r.Name)
		if err != nil {
			return err
		}
		if id, twice := names[r.Name]; same != nil && same.ID != r.ID || twice && id != r.ID {
			return fmt.Errorf("write ACL role %s: a role with the name %q exists already", r.ID, r.Name)
		}
		names[r.Name] = r.ID
		for _, link := range r.Policies {
			if link == nil || allowMissing {
				continue
			}
			p, err := get[structs.ACLPolicy](t.txn, nil, TableACLPolicies, link.Name)
			if err != nil {
				return err
			}
			if p == nil {
				return fmt.Errorf("write ACL role %q: %w: %s", r.Name, structs.ErrACLPolicyNotFound, link.Name)
			}
		}
	}
	for _, r := range roles {
		old, err := get[structs.ACLRole](t.txn, nil, TableACLRoles, r.ID)
		if err != nil {
			return err
		}
		c := r.Copy()
		c.SetHash()
		c.CreateIndex, c.ModifyIndex = index, index
		if old != nil {
			c.CreateIndex = old.CreateIndex
		}
		if err := t.insert(TableACLRoles, c); err != nil {
			return err
		}
		t.emitACLRole(index, structs.EventACLRoleUpserted, c)
	}
	return t.touchIf(len(roles) > 0, index, TableACLRoles)
}

// DeleteACLRoles deletes all of the roles, or none (message type 54).
func (t *Txn) DeleteACLRoles(index uint64, ids []string) error {
	rows := make([]*structs.ACLRole, 0, len(ids))
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		r, err := get[structs.ACLRole](t.txn, nil, TableACLRoles, id)
		if err != nil {
			return err
		}
		if r == nil || seen[id] {
			return fmt.Errorf("delete ACL role %s: %w", id, structs.ErrACLRoleNotFound)
		}
		seen[id] = true
		rows = append(rows, r)
	}
	for _, r := range rows {
		if err := t.remove(TableACLRoles, r); err != nil {
			return err
		}
		t.emitACLRole(index, structs.EventACLRoleDeleted, r)
	}
	return t.touchIf(len(rows) > 0, index, TableACLRoles)
}

// ACLRole loads a role.
func (r *Restore) ACLRole(role *structs.ACLRole) error {
	if role == nil || role.ID == "" {
		return errors.New("restore ACL role: record has no ID")
	}
	return r.t.insert(TableACLRoles, role)
}
