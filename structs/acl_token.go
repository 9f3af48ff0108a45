package structs

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"golang.org/x/crypto/blake2b"
)

// Types of ACL tokens.
const (
	ACLTokenClient     = "client"     // may what its policies and roles allow
	ACLTokenManagement = "management" // may everything
)

// ACLAnonymousPolicy is the name of the policy that those have who show no credential.
const ACLAnonymousPolicy = "anonymous"

// MaxACLTokenName is the length limit of a token's name, in bytes.
const MaxACLTokenName = 256

// ACLToken is an operator's credential (wire.md §5.5). Values in state are never changed in place.
type ACLToken struct {
	AccessorID string
	SecretID   string // in requests, in the reply that tells it once, and in other systems' records; state keeps SecretHash
	Name       string
	Type       string
	Policies   []string
	Roles      []*ACLTokenRoleLink
	Global     bool
	Hash       []byte // of what the token may do, to see whether it changed
	CreateTime time.Time
	// ExpirationTime is when the token ends; nil for one that does not.
	ExpirationTime *time.Time
	ExpirationTTL  time.Duration // in requests: how long from now; in records what ExpirationTime was made from
	CreateIndex    uint64
	ModifyIndex    uint64

	// SecretHash is ours: the SHA-256 of the secret ID. A record that holds SecretID instead is converted as it is
	// applied, so that neither a snapshot nor a log of ours is a token.
	SecretHash []byte `json:"-"`
	Rest       Rest   `codec:"-" json:"-"`
}

// ACLTokenRoleLink is a role of a token. In requests either part may be given.
type ACLTokenRoleLink struct {
	ID   string
	Name string
}

type plainACLToken ACLToken

// CodecEncodeSelf writes the token with what this version does not know of it.
func (t *ACLToken) CodecEncodeSelf(e *codec.Encoder) { encodeRest(e, (*plainACLToken)(t), t.Rest) }

// CodecDecodeSelf reads a token and keeps what this version does not know.
func (t *ACLToken) CodecDecodeSelf(d *codec.Decoder) { t.Rest = decodeRest(d, (*plainACLToken)(t)) }

// IsManagement reports whether the token may everything.
func (t *ACLToken) IsManagement() bool { return t.Type == ACLTokenManagement }

// Expired reports whether the token has ended at now.
func (t *ACLToken) Expired(now time.Time) bool {
	return t.ExpirationTime != nil && !t.ExpirationTime.IsZero() && !now.Before(*t.ExpirationTime)
}

// HideSecret replaces the secret ID by its hash.
func (t *ACLToken) HideSecret() {
	if t.SecretID != "" {
		t.SecretHash = HashSecret(t.SecretID)
		t.SecretID = ""
	}
}

// SecretMatches compares a presented secret ID with the token's in constant time. A token without a secret matches
// nothing.
func (t *ACLToken) SecretMatches(secret string) bool {
	return len(t.SecretHash) == sha256.Size && subtle.ConstantTimeCompare(HashSecret(secret), t.SecretHash) == 1
}

// Validate reports everything that is wrong with a token that is about to be stored.
func (t *ACLToken) Validate() error {
	if t == nil {
		return errors.New("ACL token is missing")
	}
	var errs []error
	if len(t.Name) > MaxACLTokenName {
		errs = append(errs, fmt.Errorf("token name is %d bytes long, more than %d", len(t.Name), MaxACLTokenName))
	}
	switch t.Type {
	case ACLTokenClient:
		if len(t.Policies) == 0 && len(t.Roles) == 0 {
			errs = append(errs, errors.New("client token missing policies or roles"))
		}
	case ACLTokenManagement:
		if len(t.Policies) != 0 || len(t.Roles) != 0 {
			errs = append(errs, errors.New("management token cannot be associated with policies or roles"))
		}
	default:
		errs = append(errs, fmt.Errorf("token type %q is not known; want %q or %q", t.Type, ACLTokenClient, ACLTokenManagement))
	}
	return errors.Join(errs...)
}

// SetHash computes the BLAKE2b-256 of what the token may do, in the field order of wire.md §5.5.
func (t *ACLToken) SetHash() {
	h, _ := blake2b.New256(nil) // an unkeyed hash can't fail
	write := func(s string) { _, _ = h.Write([]byte(s)) }
	write(t.Name)
	write(t.Type)
	for _, p := range t.Policies {
		write(p)
	}
	if t.Global {
		write("global")
	} else {
		write("local")
	}
	for _, r := range t.Roles {
		if r != nil {
			write(r.ID)
		}
	}
	t.Hash = h.Sum(nil)
}

// Copy returns a deep copy.
func (t *ACLToken) Copy() *ACLToken {
	if t == nil {
		return nil
	}
	c := *t
	c.Policies = slices.Clone(t.Policies)
	c.Roles = copyPointers(t.Roles)
	c.Hash, c.SecretHash, c.Rest = cloneBytes(t.Hash), cloneBytes(t.SecretHash), cloneBytes(t.Rest)
	if t.ExpirationTime != nil {
		at := *t.ExpirationTime
		c.ExpirationTime = &at
	}
	return &c
}

// copyPointers copies a list of records that share nothing themselves.
func copyPointers[T any](list []*T) []*T {
	if list == nil {
		return nil
	}
	out := make([]*T, len(list))
	for i, p := range list {
		if p != nil {
			v := *p
			out[i] = &v
		}
	}
	return out
}

// optionalDuration is written as a string, "" for none, as the public client wants it.
type optionalDuration time.Duration

func (d optionalDuration) MarshalJSON() ([]byte, error) {
	if d == 0 {
		return []byte(`""`), nil
	}
	return json.Marshal(time.Duration(d).String())
}

func (d *optionalDuration) UnmarshalJSON(b []byte) error {
	if string(b) == `""` {
		*d = 0
		return nil
	}
	v, err := ParseJSONDuration(b)
	*d = optionalDuration(v)
	return err
}

// aclTokenJSON is the API's form: the outer TTL hides the inner one.
type aclTokenJSON struct {
	*plainACLToken
	ExpirationTTL optionalDuration
}

// MarshalJSON writes the TTL as a string.
func (t *ACLToken) MarshalJSON() ([]byte, error) {
	return json.Marshal(aclTokenJSON{(*plainACLToken)(t), optionalDuration(t.ExpirationTTL)})
}

// UnmarshalJSON reads the TTL as a string or nanoseconds.
func (t *ACLToken) UnmarshalJSON(b []byte) error {
	in := aclTokenJSON{plainACLToken: (*plainACLToken)(t)}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	t.ExpirationTTL = time.Duration(in.ExpirationTTL)
	return nil
}

// ACLTokenListStub is a token in a list.
type ACLTokenListStub struct {
	AccessorID     string
	Name           string
	Type           string
	Policies       []string
	Roles          []*ACLTokenRoleLink
	Global         bool
	Hash           []byte
	CreateTime     time.Time
	ExpirationTime *time.Time
	CreateIndex    uint64
	ModifyIndex    uint64
}

// Stub returns the token as lists show it.
func (t *ACLToken) Stub() *ACLTokenListStub {
	return &ACLTokenListStub{
		AccessorID: t.AccessorID, Name: t.Name, Type: t.Type, Policies: t.Policies, Roles: t.Roles, Global: t.Global, Hash: t.Hash,
		CreateTime: t.CreateTime, ExpirationTime: t.ExpirationTime, CreateIndex: t.CreateIndex, ModifyIndex: t.ModifyIndex,
	}
}

// OneTimeToken stands for a token for a few minutes, and can be exchanged for it once. It is Raft type 44 as it is.
type OneTimeToken struct {
	OneTimeSecretID string // in replies, and in other systems' records; state keeps SecretHash
	AccessorID      string // of the token that it stands for
	ExpiresAt       time.Time
	CreateIndex     uint64
	ModifyIndex     uint64

	// SecretHash is ours, see ACLToken.
	SecretHash []byte `json:"-"`
	// Sealed is ours: the secret of the token that it stands for, encrypted so that only the one-time secret opens it.
	Sealed []byte `json:"-"`
}

// HideSecret replaces the one-time secret by its hash.
func (t *OneTimeToken) HideSecret() {
	if t.OneTimeSecretID != "" {
		t.SecretHash = HashSecret(t.OneTimeSecretID)
		t.OneTimeSecretID = ""
	}
}

// Copy returns a deep copy.
func (t *OneTimeToken) Copy() *OneTimeToken {
	if t == nil {
		return nil
	}
	c := *t
	c.SecretHash, c.Sealed = cloneBytes(t.SecretHash), cloneBytes(t.Sealed)
	return &c
}
