package structs

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// IdentityAudience is the audience of every node and introduction identity.
const IdentityAudience = "nomadproject.io"

// IdentityKind says what an identity was issued to.
type IdentityKind int

const (
	IdentityUnknown IdentityKind = iota
	IdentityNode
	IdentityIntroduction
	IdentityWorkload
)

// String returns the kind's name.
func (k IdentityKind) String() string {
	switch k {
	case IdentityNode:
		return "node"
	case IdentityIntroduction:
		return "introduction"
	case IdentityWorkload:
		return "workload"
	}
	return "unknown"
}

// ErrUnknownClaims is the error of claims that name neither a node, an introduction nor a workload.
var ErrUnknownClaims = errors.New("failed to determine claim type")

// NodeClaims say which node an identity belongs to (wire.md §3.2).
type NodeClaims struct {
	NodeID     string `json:"nomad_node_id"`
	Pool       string `json:"nomad_node_pool"`
	Class      string `json:"nomad_node_class,omitempty"`
	Datacenter string `json:"nomad_node_datacenter"`
}

// IntroductionClaims say which node a not yet registered machine may become. Class and Datacenter are ours: a node
// that they let in has them, whatever it says of itself.
type IntroductionClaims struct {
	Name       string `json:"nomad_node_name"` // always written, also when empty
	Pool       string `json:"nomad_node_pool"`
	Class      string `json:"rollcall_node_class,omitempty"`
	Datacenter string `json:"rollcall_node_datacenter,omitempty"`
}

// WorkloadClaims say which workload an identity belongs to.
type WorkloadClaims struct {
	Namespace       string            `json:"nomad_namespace"`
	JobID           string            `json:"nomad_job_id"`
	AllocationID    string            `json:"nomad_allocation_id"`
	Task            string            `json:"nomad_task,omitempty"`
	Service         string            `json:"nomad_service,omitempty"`
	ConsulNamespace string            `json:"consul_namespace,omitempty"`
	VaultNamespace  string            `json:"vault_namespace,omitempty"`
	VaultRole       string            `json:"vault_role,omitempty"`
	ExtraClaims     map[string]string `json:"extra_claims,omitempty"`
}

// IdentityClaims is the one envelope of all identities: the registered claims and exactly one of Node,
// Introduction and Workload. Times are Unix seconds.
type IdentityClaims struct {
	ID        string
	Subject   string
	Issuer    string
	Audience  []string
	IssuedAt  int64
	NotBefore int64
	Expiry    int64

	Node         *NodeClaims
	Introduction *IntroductionClaims
	Workload     *WorkloadClaims
}

// Kind returns what the identity was issued to.
func (c *IdentityClaims) Kind() IdentityKind {
	switch {
	case c == nil:
		return IdentityUnknown
	case c.Workload != nil:
		return IdentityWorkload
	case c.Node != nil:
		return IdentityNode
	case c.Introduction != nil:
		return IdentityIntroduction
	}
	return IdentityUnknown
}

// ExpiresAt returns the expiry as a time in UTC.
func (c *IdentityClaims) ExpiresAt() time.Time { return time.Unix(c.Expiry, 0).UTC() }

// IsExpiring reports whether less than a third of ttl is left at now. ttl is the pool's present TTL, so that
// shortening it makes older identities renew at once.
func (c *IdentityClaims) IsExpiring(now time.Time, ttl time.Duration) bool {
	return c != nil && c.Expiry != 0 && c.ExpiresAt().Before(now.Add(ttl/3))
}

// ExpiresWithin reports whether less than d is left at now.
func (c *IdentityClaims) ExpiresWithin(now time.Time, d time.Duration) bool {
	return c != nil && c.Expiry != 0 && c.ExpiresAt().Before(now.Add(d))
}

// Lifetime is what every new identity is given: when, for how long and under which ID and issuer. The caller
// decides all of it.
type Lifetime struct {
	ID     string // random UUID
	Now    time.Time
	TTL    time.Duration
	Issuer string // empty leaves the claim out
}

func (l Lifetime) envelope(subject string) IdentityClaims {
	now := l.Now.Unix()
	return IdentityClaims{
		ID: l.ID, Subject: subject, Issuer: l.Issuer, Audience: []string{IdentityAudience},
		IssuedAt: now, NotBefore: now, Expiry: l.Now.Add(l.TTL).Unix(),
	}
}

// NewNodeClaims returns the claims of a node's identity.
func NewNodeClaims(region string, n *Node, l Lifetime) *IdentityClaims {
	c := l.envelope(fmt.Sprintf("node:%s:%s:%s:default", region, n.NodePool, n.ID))
	c.Node = &NodeClaims{NodeID: n.ID, Pool: n.NodePool, Class: n.NodeClass, Datacenter: n.Datacenter}
	return &c
}

// NewIntroductionClaims returns the claims of an introduction identity that names no class and no datacenter; name may be
// empty.
func NewIntroductionClaims(region, pool, name string, l Lifetime) *IdentityClaims {
	c := l.envelope(fmt.Sprintf("node-introduction:%s:%s:%s:default", region, pool, name))
	c.Introduction = &IntroductionClaims{Name: name, Pool: pool}
	return &c
}

// registeredClaims is the JSON form of the part that all kinds share.
type registeredClaims struct {
	Audience  audience `json:"aud,omitempty"`
	Expiry    int64    `json:"exp,omitempty"`
	IssuedAt  int64    `json:"iat,omitempty"`
	Issuer    string   `json:"iss,omitempty"`
	ID        string   `json:"jti,omitempty"`
	NotBefore int64    `json:"nbf,omitempty"`
	Subject   string   `json:"sub,omitempty"`
}

// audience is written as a plain string when there is one, and read as a string or an array.
type audience []string

func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if err := json.Unmarshal(b, &one); err == nil {
		*a = audience{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return errors.New("aud is neither a string nor an array of strings")
	}
	*a = many
	return nil
}

// MarshalJSON writes the claims as the payload of a JWT.
func (c *IdentityClaims) MarshalJSON() ([]byte, error) {
	reg := registeredClaims{
		Audience: c.Audience, Expiry: c.Expiry, IssuedAt: c.IssuedAt, Issuer: c.Issuer, ID: c.ID,
		NotBefore: c.NotBefore, Subject: c.Subject,
	}
	switch c.Kind() {
	case IdentityNode:
		return json.Marshal(struct {
			registeredClaims
			*NodeClaims
		}{reg, c.Node})
	case IdentityIntroduction:
		return json.Marshal(struct {
			registeredClaims
			*IntroductionClaims
		}{reg, c.Introduction})
	case IdentityWorkload:
		return json.Marshal(struct {
			registeredClaims
			*WorkloadClaims
		}{reg, c.Workload})
	}
	return nil, ErrUnknownClaims
}

// UnmarshalJSON reads the payload of a JWT. Which keys are present decides the kind: workload keys win over
// node keys, and those over the introduction's name; the pool alone decides nothing.
func (c *IdentityClaims) UnmarshalJSON(b []byte) error {
	var p struct {
		registeredClaims
		NodeID     *string `json:"nomad_node_id"`
		NodePool   string  `json:"nomad_node_pool"`
		NodeClass  *string `json:"nomad_node_class"`
		NodeDC     *string `json:"nomad_node_datacenter"`
		NodeName   *string `json:"nomad_node_name"`
		IntroClass string  `json:"rollcall_node_class"`
		IntroDC    string  `json:"rollcall_node_datacenter"`
		Namespace  *string `json:"nomad_namespace"`
		JobID      *string `json:"nomad_job_id"`
		Allocation *string `json:"nomad_allocation_id"`
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return fmt.Errorf("decode identity claims: %w", err)
	}
	*c = IdentityClaims{
		ID: p.ID, Subject: p.Subject, Issuer: p.Issuer, Audience: p.Audience, IssuedAt: p.IssuedAt,
		NotBefore: p.NotBefore, Expiry: p.Expiry,
	}
	switch {
	case p.Namespace != nil || p.JobID != nil || p.Allocation != nil:
		c.Workload = &WorkloadClaims{}
		if err := json.Unmarshal(b, c.Workload); err != nil {
			return fmt.Errorf("decode workload claims: %w", err)
		}
	case p.NodeID != nil || p.NodeClass != nil || p.NodeDC != nil:
		c.Node = &NodeClaims{NodeID: deref(p.NodeID), Pool: p.NodePool, Class: deref(p.NodeClass), Datacenter: deref(p.NodeDC)}
	case p.NodeName != nil:
		c.Introduction = &IntroductionClaims{Name: *p.NodeName, Pool: p.NodePool, Class: p.IntroClass, Datacenter: p.IntroDC}
	default:
		return ErrUnknownClaims
	}
	return nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
