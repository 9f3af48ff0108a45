package state

import "github.com/rollcall-id/rollcall/structs"

func (h *hasher) aclPolicy(p *structs.ACLPolicy) digestSum {
	h.begin(structs.ACLPolicyRecord)
	h.strings(p.Name, p.Description, p.Rules)
	h.bool(p.JobACL != nil)
	if j := p.JobACL; j != nil {
		h.strings(j.Namespace, j.JobID, j.Group, j.Task)
	}
	h.bytes(p.Hash)
	h.uints(p.CreateIndex, p.ModifyIndex)
	h.bytes(p.Rest)
	return h.end()
}

func (h *hasher) aclToken(t *structs.ACLToken) digestSum {
	h.begin(structs.ACLTokenRecord)
	h.strings(t.AccessorID, t.SecretID, t.Name, t.Type)
	h.uint(uint64(len(t.Policies)))
	h.strings(t.Policies...)
	h.uint(uint64(len(t.Roles)))
	for _, r := range t.Roles {
		h.bool(r != nil)
		if r != nil {
			h.strings(r.ID, r.Name)
		}
	}
	h.bool(t.Global)
	h.bytes(t.Hash)
	h.time(t.CreateTime)
	h.bool(t.ExpirationTime != nil)
	if t.ExpirationTime != nil {
		h.time(*t.ExpirationTime)
	}
	h.int(int64(t.ExpirationTTL))
	h.uints(t.CreateIndex, t.ModifyIndex)
	h.bytes(t.SecretHash)
	h.bytes(t.Rest)
	return h.end()
}

func (h *hasher) aclRole(r *structs.ACLRole) digestSum {
	h.begin(structs.ACLRoleRecord)
	h.strings(r.ID, r.Name, r.Description)
	h.uint(uint64(len(r.Policies)))
	for _, p := range r.Policies {
		h.bool(p != nil)
		if p != nil {
			h.string(p.Name)
		}
	}
	h.bytes(r.Hash)
	h.uints(r.CreateIndex, r.ModifyIndex)
	h.bytes(r.Rest)
	return h.end()
}

func (h *hasher) oneTimeToken(t *structs.OneTimeToken) digestSum {
	h.begin(structs.OneTimeTokenRecord)
	h.strings(t.OneTimeSecretID, t.AccessorID)
	h.time(t.ExpiresAt)
	h.uints(t.CreateIndex, t.ModifyIndex)
	h.bytes(t.SecretHash)
	h.bytes(t.Sealed)
	return h.end()
}
