package state

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-id/rollcall/structs"
)

// Few enough that commands meet; the number above is never created.
const modelTokens = 4

// aclModel is the part of the model that is about policies, tokens and roles.
type aclModel struct {
	policies map[string]*structs.ACLPolicy
	tokens   map[string]*structs.ACLToken
	roles    map[string]*structs.ACLRole
	oneTime  map[string]*structs.OneTimeToken // by hash
}

func newACLModel() aclModel {
	return aclModel{map[string]*structs.ACLPolicy{}, map[string]*structs.ACLToken{}, map[string]*structs.ACLRole{}, map[string]*structs.OneTimeToken{}}
}

func (a aclModel) clone() aclModel {
	return aclModel{
		copyMap(a.policies, (*structs.ACLPolicy).Copy), copyMap(a.tokens, (*structs.ACLToken).Copy),
		copyMap(a.roles, (*structs.ACLRole).Copy), copyMap(a.oneTime, (*structs.OneTimeToken).Copy),
	}
}

func (a aclModel) checkAgainst(t *rapid.T, s *Store, same func(string, any, any)) {
	same("policies", all[*structs.ACLPolicy](t)(s.ACLPolicies(nil)), sorted(a.policies, every))
	same("roles", all[*structs.ACLRole](t)(s.ACLRoles(nil)), sorted(a.roles, every))
	same("one-time tokens", len(all[*structs.OneTimeToken](t)(s.OneTimeTokens(nil))), len(a.oneTime))
	prefix := tokenID(rapid.IntRange(0, modelTokens).Draw(t, "tokenPrefixOf"))[:rapid.IntRange(0, 36).Draw(t, "tokenPrefixLen")]
	same("tokens by prefix", all[*structs.ACLToken](t)(s.ACLTokens(nil, prefix)),
		sorted(a.tokens, func(x *structs.ACLToken) bool { return strings.HasPrefix(x.AccessorID, prefix) }))
	for i := range modelTokens + 1 {
		same("token", value[*structs.ACLToken](t)(s.ACLTokenByAccessorID(nil, tokenID(i))), a.tokens[tokenID(i)])
		hash := structs.HashSecret(secret(100 + i))
		holders := sorted(a.tokens, func(x *structs.ACLToken) bool { return bytes.Equal(x.SecretHash, hash) })
		got := value[*structs.ACLToken](t)(s.ACLTokenBySecretHash(nil, hash))
		if (got == nil) != (len(holders) == 0) || got != nil && !slices.ContainsFunc(holders, func(x *structs.ACLToken) bool { return x.AccessorID == got.AccessorID }) {
			t.Fatalf("token by secret %d: %v, want one of %d", i, got, len(holders))
		}
		same("one-time token", value[*structs.OneTimeToken](t)(s.OneTimeTokenBySecretHash(nil, hash)), a.oneTime[string(hash)])
	}
	for _, name := range roleNames {
		held := sorted(a.roles, func(r *structs.ACLRole) bool { return r.Name == name })
		got := value[*structs.ACLRole](t)(s.ACLRoleByName(nil, name))
		if len(held) > 1 || (got == nil) != (len(held) == 0) || got != nil && got.ID != held[0].ID {
			t.Fatalf("role %s: %v, want one of %v", name, got, held)
		}
	}
	now := time.Unix(drawTime(t), 0)
	ended := sorted(a.tokens, func(x *structs.ACLToken) bool { return x.Expired(now) })
	got := value[[]string](t)(s.ExpiredACLTokens(now, 100))
	same("expired tokens", slices.Sorted(slices.Values(got)), accessors(ended))
	if few := value[[]string](t)(s.ExpiredACLTokens(now, 1)); len(few) != min(1, len(ended)) {
		t.Fatalf("%d expired tokens of at most 1, %d are", len(few), len(ended))
	}
}

func accessors(tokens []*structs.ACLToken) []string {
	var out []string
	for _, x := range tokens {
		out = append(out, x.AccessorID)
	}
	return out
}

var (
	policyNames = []string{"ops", "read", "never"}
	roleNames   = []string{"admin", "viewer"}
)

func tokenID(n int) string { return fmt.Sprintf("acce5501-0000-4000-8000-%012x", n) }
func roleID(n int) string  { return fmt.Sprintf("00000001-0000-4000-8000-%012x", n) }

func drawACLCommand(t *rapid.T, m *model) command {
	a := m.acl
	switch rapid.SampledFrom([]string{"policies", "delete policies", "tokens", "tokens", "delete tokens", "bootstrap", "roles", "delete roles", "one-time", "delete one-time", "expire"}).Draw(t, "aclCommand") {
	case "policies":
		r := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *structs.ACLPolicy {
			return &structs.ACLPolicy{Name: rapid.SampledFrom([]string{"ops", "read", "read", ""}).Draw(t, "policy"), Rules: "node {}", JobACL: &structs.JobACL{JobID: "j"}, Hash: []byte{1}}
		}), 0, 2).Draw(t, "policies")
		return command{"policies", r, func(x *Txn, i uint64) error { return x.UpsertACLPolicies(i, r) }, func(i uint64) bool {
			if slices.ContainsFunc(r, func(p *structs.ACLPolicy) bool { return p.Name == "" }) {
				return false
			}
			for _, p := range r {
				c := p.Copy()
				c.SetHash()
				c.CreateIndex, c.ModifyIndex = i, i
				if old := a.policies[c.Name]; old != nil {
					c.CreateIndex = old.CreateIndex
				}
				a.policies[c.Name], m.indexes["acl_policy"] = c, i
			}
			return true
		}}
	case "delete policies":
		r := rapid.SliceOfN(rapid.SampledFrom(policyNames), 0, 2).Draw(t, "policies")
		return command{"delete policies", r, func(x *Txn, i uint64) error { return x.DeleteACLPolicies(i, r) }, func(i uint64) bool {
			for _, name := range r {
				delete(a.policies, name)
				m.indexes["acl_policy"] = i
			}
			return true
		}}
	case "roles":
		return drawRoles(t, m)
	case "delete roles":
		r := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) string { return roleID(rapid.IntRange(0, 2).Draw(t, "role")) }), 0, 2, func(s string) string { return s }).Draw(t, "roles")
		return command{"delete roles", r, func(x *Txn, i uint64) error { return x.DeleteACLRoles(i, r) }, func(i uint64) bool {
			for _, id := range r {
				if a.roles[id] == nil {
					return false
				}
			}
			for _, id := range r {
				delete(a.roles, id)
				m.indexes["acl_roles"] = i
			}
			return true
		}}
	case "one-time", "delete one-time", "expire":
		return drawOneTimeCommand(t, m)
	}
	return drawTokenCommand(t, m)
}

func drawRoles(t *rapid.T, m *model) command {
	a := m.acl
	r := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *structs.ACLRole {
		return &structs.ACLRole{
			ID: roleID(rapid.IntRange(0, 1).Draw(t, "role")), Name: rapid.SampledFrom(append(roleNames, "")).Draw(t, "roleName"),
			Policies: []*structs.ACLRolePolicyLink{{Name: rapid.SampledFrom(policyNames).Draw(t, "rolePolicy")}},
		}
	}), 0, 2).Draw(t, "roles")
	missing := rapid.Bool().Draw(t, "allowMissing")
	return command{"roles", r, func(x *Txn, i uint64) error { return x.UpsertACLRoles(i, r, missing) }, func(i uint64) bool {
		next := a.clone().roles
		holder := map[string]string{}
		for _, role := range a.roles {
			holder[role.Name] = role.ID
		}
		inRequest := map[string]string{}
		for _, role := range r {
			id, taken := holder[role.Name]
			id2, twice := inRequest[role.Name]
			if role.Name == "" || taken && id != role.ID || twice && id2 != role.ID || !missing && a.policies[role.Policies[0].Name] == nil {
				return false
			}
			inRequest[role.Name] = role.ID
			c := role.Copy()
			c.SetHash()
			c.CreateIndex, c.ModifyIndex = i, i
			if old := a.roles[c.ID]; old != nil {
				c.CreateIndex = old.CreateIndex
			}
			next[c.ID] = c
		}
		maps.Copy(a.roles, next)
		if len(r) > 0 {
			m.indexes["acl_roles"] = i
		}
		return true
	}}
}

func drawToken(t *rapid.T) *structs.ACLToken {
	n := rapid.IntRange(0, modelTokens-1).Draw(t, "token")
	x := &structs.ACLToken{
		AccessorID: tokenID(n), SecretID: secret(100 + n), Name: rapid.SampledFrom([]string{"", "ci"}).Draw(t, "tokenName"), Type: "client",
		Policies: []string{"ops"}, Roles: []*structs.ACLTokenRoleLink{{ID: roleID(0)}}, CreateTime: time.Unix(drawTime(t), 0).UTC(),
	}
	if rapid.Bool().Draw(t, "hashed") {
		x.HideSecret()
	}
	if rapid.Bool().Draw(t, "expires") {
		at := time.Unix(drawTime(t), 0).UTC()
		x.ExpirationTime = &at
	}
	return x
}

func (m *model) putToken(i uint64, x *structs.ACLToken) {
	c := x.Copy()
	if c.SecretID != "" {
		c.SecretHash, c.SecretID = structs.HashSecret(c.SecretID), ""
	}
	c.SetHash()
	c.CreateIndex, c.ModifyIndex = i, i
	if old := m.acl.tokens[c.AccessorID]; old != nil {
		c.CreateIndex, c.CreateTime, c.SecretHash, c.ExpirationTime = old.CreateIndex, old.CreateTime, old.SecretHash, old.ExpirationTime
	}
	m.acl.tokens[c.AccessorID], m.indexes["acl_token"] = c, i
}

func drawTokenCommand(t *rapid.T, m *model) command {
	switch rapid.SampledFrom([]string{"tokens", "tokens", "delete", "bootstrap"}).Draw(t, "tokenCommand") {
	case "tokens":
		r := rapid.SliceOfN(rapid.Custom(drawToken), 0, 2).Draw(t, "tokens")
		if rapid.IntRange(0, 9).Draw(t, "nameless") == 0 {
			r = append(r, &structs.ACLToken{})
		}
		return command{"tokens", r, func(x *Txn, i uint64) error { return x.UpsertACLTokens(i, r) }, func(i uint64) bool {
			if slices.ContainsFunc(r, func(x *structs.ACLToken) bool { return x.AccessorID == "" }) {
				return false
			}
			for _, x := range r {
				m.putToken(i, x)
			}
			return true
		}}
	case "delete":
		r := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return tokenID(rapid.IntRange(0, modelTokens).Draw(t, "token")) }), 0, 2).Draw(t, "tokens")
		return command{"delete tokens", r, func(x *Txn, i uint64) error { return x.DeleteACLTokens(i, r) }, func(i uint64) bool {
			for _, id := range r {
				delete(m.acl.tokens, id)
				m.indexes["acl_token"] = i
			}
			return true
		}}
	}
	x := drawToken(t)
	reset := rapid.SampledFrom([]uint64{0, 3, m.indexes["acl_token_bootstrap"]}).Draw(t, "reset")
	return command{"bootstrap", x, func(txn *Txn, i uint64) error { return txn.BootstrapACLToken(i, reset, x) }, func(i uint64) bool {
		if done := m.indexes["acl_token_bootstrap"]; done != 0 && reset != done {
			return false
		}
		m.putToken(i, x)
		m.indexes["acl_token_bootstrap"] = i
		return true
	}}
}

func drawOneTimeCommand(t *rapid.T, m *model) command {
	a := m.acl
	drop := func(i uint64, fits func(*structs.OneTimeToken) bool) bool {
		before := len(a.oneTime)
		maps.DeleteFunc(a.oneTime, func(_ string, o *structs.OneTimeToken) bool { return fits(o) })
		if len(a.oneTime) < before {
			m.indexes["one_time_token"] = i
		}
		return true
	}
	n := rapid.IntRange(0, modelTokens-1).Draw(t, "oneTime")
	switch rapid.SampledFrom([]string{"put", "put", "delete", "expire"}).Draw(t, "oneTimeCommand") {
	case "put":
		o := &structs.OneTimeToken{OneTimeSecretID: secret(100 + n), AccessorID: tokenID(n), ExpiresAt: time.Unix(drawTime(t), 0).UTC(), Sealed: []byte{1}}
		if rapid.Bool().Draw(t, "ofNone") {
			o.AccessorID = ""
		}
		return command{"one-time", o, func(x *Txn, i uint64) error { return x.UpsertOneTimeToken(i, o) }, func(i uint64) bool {
			if o.AccessorID == "" {
				return false
			}
			c := o.Copy()
			c.SecretHash, c.OneTimeSecretID, c.CreateIndex, c.ModifyIndex = structs.HashSecret(o.OneTimeSecretID), "", i, i
			a.oneTime[string(c.SecretHash)], m.indexes["one_time_token"] = c, i
			return true
		}}
	case "delete":
		r := []string{tokenID(n)}
		return command{"delete one-time", r, func(x *Txn, i uint64) error { return x.DeleteOneTimeTokens(i, r) },
			func(i uint64) bool {
				return drop(i, func(o *structs.OneTimeToken) bool { return o.AccessorID == r[0] })
			}}
	}
	at := time.Unix(drawTime(t), 0).UTC()
	return command{"expire one-time", at, func(x *Txn, i uint64) error { return x.ExpireOneTimeTokens(i, at) },
		func(i uint64) bool {
			return drop(i, func(o *structs.OneTimeToken) bool { return !o.ExpiresAt.After(at) })
		}}
}
