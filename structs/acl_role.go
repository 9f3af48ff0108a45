package structs

import (
	"errors"
	"fmt"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"golang.org/x/crypto/blake2b"
)

// ACLRole is a name for several policies, which tokens have together (wire.md §5.5).
type ACLRole struct {
	ID          string // UUID
	Name        string // unique
	Description string
	Policies    []*ACLRolePolicyLink
	Hash        []byte
	CreateIndex uint64
	ModifyIndex uint64

	Rest Rest `codec:"-" json:"-"`
}

// ACLRolePolicyLink is a policy of a role.
type ACLRolePolicyLink struct {
	Name string
}

type plainACLRole ACLRole

// CodecEncodeSelf writes the role with what this version does not know of it.
func (r *ACLRole) CodecEncodeSelf(e *codec.Encoder) { encodeRest(e, (*plainACLRole)(r), r.Rest) }

// CodecDecodeSelf reads a role and keeps what this version does not know.
func (r *ACLRole) CodecDecodeSelf(d *codec.Decoder) { r.Rest = decodeRest(d, (*plainACLRole)(r)) }

// Validate reports everything that is wrong with a role that is about to be stored.
func (r *ACLRole) Validate() error {
	if r == nil {
		return errors.New("ACL role is missing")
	}
	errs := []error{ValidateACLName("role", r.Name)}
	if len(r.Description) > MaxACLDescription {
		errs = append(errs, fmt.Errorf("role description is %d bytes long, more than %d", len(r.Description), MaxACLDescription))
	}
	if len(r.Policies) == 0 {
		errs = append(errs, errors.New("role has no policy; it needs one at least"))
	}
	for _, p := range r.Policies {
		if p == nil || p.Name == "" {
			errs = append(errs, errors.New("role has a policy without a name"))
		}
	}
	return errors.Join(errs...)
}

// SetHash computes the BLAKE2b-256 of the role's content.
func (r *ACLRole) SetHash() {
	h, _ := blake2b.New256(nil) // an unkeyed hash can't fail
	write := func(s string) { _, _ = h.Write([]byte(s)) }
	write(r.Name)
	write(r.Description)
	for _, p := range r.Policies {
		if p != nil {
			write(p.Name)
		}
	}
	r.Hash = h.Sum(nil)
}

// Copy returns a deep copy.
func (r *ACLRole) Copy() *ACLRole {
	if r == nil {
		return nil
	}
	c := *r
	c.Policies = copyPointers(r.Policies)
	c.Hash, c.Rest = cloneBytes(r.Hash), cloneBytes(r.Rest)
	return &c
}
