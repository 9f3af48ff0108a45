package structs

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"golang.org/x/crypto/blake2b"
)

// MaxACLDescription is the length limit of the description of a policy or role, in bytes.
const MaxACLDescription = 256

var aclName = regexp.MustCompile(`^[a-zA-Z0-9-]{1,128}$`)

// ValidateACLName reports what is wrong with the name of a policy or role.
func ValidateACLName(what, name string) error {
	if !aclName.MatchString(name) {
		return fmt.Errorf("invalid %s name %q: must be 1 to 128 letters, digits or dashes", what, name)
	}
	return nil
}

// ACLPolicy says what tokens that have it may do (wire.md §5.5).
type ACLPolicy struct {
	Name        string
	Description string
	Rules       string  // HCL
	JobACL      *JobACL // whose workloads have it; kept for imported policies
	Hash        []byte
	CreateIndex uint64
	ModifyIndex uint64

	Rest Rest `codec:"-" json:"-"`
}

// JobACL gives a policy to workloads.
type JobACL struct {
	Namespace string
	JobID     string
	Group     string
	Task      string
}

type plainACLPolicy ACLPolicy

// CodecEncodeSelf writes the policy with what this version does not know of it.
func (p *ACLPolicy) CodecEncodeSelf(e *codec.Encoder) { encodeRest(e, (*plainACLPolicy)(p), p.Rest) }

// CodecDecodeSelf reads a policy and keeps what this version does not know.
func (p *ACLPolicy) CodecDecodeSelf(d *codec.Decoder) { p.Rest = decodeRest(d, (*plainACLPolicy)(p)) }

// Validate reports what is wrong with a policy that is about to be stored, but for its rules.
func (p *ACLPolicy) Validate() error {
	if p == nil {
		return errors.New("ACL policy is missing")
	}
	errs := []error{ValidateACLName("policy", p.Name)}
	if len(p.Description) > MaxACLDescription {
		errs = append(errs, fmt.Errorf("policy description is %d bytes long, more than %d", len(p.Description), MaxACLDescription))
	}
	return errors.Join(errs...)
}

// SetHash computes the BLAKE2b-256 of the policy's content, in the field order of wire.md §5.5.
func (p *ACLPolicy) SetHash() {
	h, _ := blake2b.New256(nil) // an unkeyed hash can't fail
	write := func(s string) { _, _ = h.Write([]byte(s)) }
	write(p.Name)
	write(p.Description)
	write(p.Rules)
	if j := p.JobACL; j != nil {
		write(j.Namespace)
		write(j.JobID)
		write(j.Group)
		write(j.Task)
	}
	p.Hash = h.Sum(nil)
}

// Copy returns a deep copy.
func (p *ACLPolicy) Copy() *ACLPolicy {
	if p == nil {
		return nil
	}
	c := *p
	c.Hash, c.Rest = cloneBytes(p.Hash), cloneBytes(p.Rest)
	if p.JobACL != nil {
		j := *p.JobACL
		c.JobACL = &j
	}
	return &c
}

// ACLPolicyListStub is a policy in a list.
type ACLPolicyListStub struct {
	Name        string
	Description string
	JobACL      *JobACL
	Hash        []byte
	CreateIndex uint64
	ModifyIndex uint64
}

// Stub returns the policy as lists show it.
func (p *ACLPolicy) Stub() *ACLPolicyListStub {
	return &ACLPolicyListStub{
		Name: p.Name, Description: p.Description, JobACL: p.JobACL, Hash: p.Hash, CreateIndex: p.CreateIndex, ModifyIndex: p.ModifyIndex,
	}
}
