package structs

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"strconv"
	"strings"
	"time"
)

// NodeStatus values (wire.md §11.3).
const (
	NodeStatusInit         = "initializing"
	NodeStatusReady        = "ready"
	NodeStatusDown         = "down"
	NodeStatusDisconnected = "disconnected"
)

// Scheduling eligibility values.
const (
	NodeEligible   = "eligible"
	NodeIneligible = "ineligible"
)

// ValidNodeStatus reports whether s is one of the four statuses.
func ValidNodeStatus(s string) bool {
	switch s {
	case NodeStatusInit, NodeStatusReady, NodeStatusDown, NodeStatusDisconnected:
		return true
	}
	return false
}

// MaxNodeEvents is how many events a node keeps; the oldest is dropped.
const MaxNodeEvents = 10

// AttrNomadVersion and AttrRollcallVersion are the attributes by which a node says what it can do.
const (
	AttrNomadVersion    = "nomad.version"
	AttrRollcallVersion = "rollcall.version"
)

// Node is a machine of the fleet (wire.md §2.6). Values in state are never changed in place.
//
// Parts that this system keeps for their owners and never reads are Raw, so that they survive unchanged.
type Node struct {
	ID         string
	SecretID   string // only in requests and in old records; state keeps SecretHash
	Datacenter string
	Name       string

	CgroupParent string
	HTTPAddr     string // host:port
	TLSEnabled   bool
	Attributes   StringMap

	NodeResources     Raw
	ReservedResources Raw
	Resources         Raw `json:",omitzero"` // before 1.11 only
	Reserved          Raw `json:",omitzero"` // before 1.11 only

	Links         StringMap
	Meta          StringMap
	NodeClass     string
	NodePool      string
	ComputedClass string

	DrainStrategy         *DrainStrategy
	SchedulingEligibility string
	Status                string
	StatusDescription     string
	IdentitySigningKeyID  string // root key that signed the node's latest identity; empty before the first
	StatusUpdatedAt       int64  // Unix seconds
	Events                []*NodeEvent

	Drivers              Raw
	CSIControllerPlugins Raw
	CSINodePlugins       Raw
	HostVolumes          Raw
	GCVolumesOnNodeGC    bool
	HostNetworks         Raw
	LastDrain            *DrainMetadata
	NodeMaxAllocs        int

	LastMissedHeartbeatIndex uint64
	LastAllocUpdateIndex     uint64
	CreateIndex              uint64
	ModifyIndex              uint64

	// SecretHash is ours: the SHA-256 of the secret ID. A record that holds SecretID instead is converted as
	// it is applied.
	SecretHash []byte `json:"-"`
	// IdentityTTL is ours: the longest TTL of any identity that the node got under IdentitySigningKeyID. A node
	// that is down got its last one before StatusUpdatedAt, so none under the key outlives the sum of the two.
	// 0 when it is not known, in which case the key stays in use.
	IdentityTTL time.Duration `json:",omitempty"`
	// Admission is ours: what the introduction that let the node in says of it, and its later registrations can't
	// change. nil if none did, or if it said nothing that binds.
	Admission *NodeAdmission `json:",omitempty" codec:",omitempty"`
}

// DrainSpec is how an operator asks for a drain.
type DrainSpec struct {
	Deadline         time.Duration // 0 none; -1 at once
	IgnoreSystemJobs bool
}

// DrainStrategy is a drain in progress.
type DrainStrategy struct {
	DrainSpec
	ForceDeadline time.Time
	StartedAt     time.Time
}

// DrainMetadata remembers a node's last drain.
type DrainMetadata struct {
	StartedAt  time.Time
	UpdatedAt  time.Time
	Status     string // draining, complete, canceled
	AccessorID string
	Meta       map[string]string
}

// Statuses of a DrainMetadata.
const (
	DrainStatusDraining = "draining"
	DrainStatusComplete = "complete"
	DrainStatusCanceled = "canceled"
)

// NodeEvent is one entry of a node's history.
type NodeEvent struct {
	Message     string
	Subsystem   string
	Details     map[string]string
	Timestamp   time.Time
	CreateIndex uint64
}

// Subsystems of node events.
const (
	NodeEventSubsystemDrain     = "Drain"
	NodeEventSubsystemCluster   = "Cluster"
	NodeEventSubsystemHeartbeat = "Heartbeat"
)

// Messages of the events that servers write (wire.md §11.4).
const (
	NodeRegisteredEvent      = "Node registered"
	NodeReregisteredEvent    = "Node re-registered"
	NodeHeartbeatMissedEvent = "Node heartbeat missed"
	NodeHeartbeatBackEvent   = "Node reregistered by heartbeat"
	NodeWaitingForPoolEvent  = "Node registered but waiting for node pool to be created"
	NodeEligibleEvent        = "Node marked as eligible for scheduling"
	NodeIneligibleEvent      = "Node marked as ineligible for scheduling"
	NodeDrainSetEvent        = "Node drain strategy set"
	NodeDrainUpdatedEvent    = "Node drain strategy updated"
	NodeDrainDisabledEvent   = "Node drain disabled"
	NodeDrainCompleteEvent   = "Node drain complete"
)

// NewNodeEvent returns an event at t, in UTC so that its bytes don't depend on a server's time zone.
func NewNodeEvent(subsystem, message string, t time.Time) *NodeEvent {
	return &NodeEvent{Message: message, Subsystem: subsystem, Timestamp: t.UTC()}
}

// HashSecret returns the SHA-256 of a secret ID; nil for an empty one.
func HashSecret(secret string) []byte {
	if secret == "" {
		return nil
	}
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

// HideSecret replaces the secret ID by its hash.
func (n *Node) HideSecret() {
	if n.SecretID != "" {
		n.SecretHash = HashSecret(n.SecretID)
		n.SecretID = ""
	}
}

// SecretMatches compares a presented secret ID with the node's in constant time.
func (n *Node) SecretMatches(secret string) bool {
	return n.SecretHashMatches(HashSecret(secret))
}

// SecretHashMatches compares a secret's hash with the node's in constant time. A node without a secret, as
// very old records have, matches nothing.
func (n *Node) SecretHashMatches(hash []byte) bool {
	return len(n.SecretHash) == sha256.Size && subtle.ConstantTimeCompare(hash, n.SecretHash) == 1
}

// Canonicalize fills what a node without it means: default pool, eligibility that follows the drain, and the
// secret as its hash.
func (n *Node) Canonicalize() {
	if n.NodePool == "" {
		n.NodePool = NodePoolDefault
	}
	switch {
	case n.DrainStrategy != nil:
		n.SchedulingEligibility = NodeIneligible
	case n.SchedulingEligibility == "":
		n.SchedulingEligibility = NodeEligible
	}
	n.HideSecret()
}

// ValidateRegistration reports everything that is wrong with a node that asks to be registered.
func (n *Node) ValidateRegistration() error {
	if n == nil {
		return errors.New("missing node for client registration")
	}
	var errs []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	add(n.ID == "", "missing node ID for client registration")
	add(n.ID != "" && !IsUUID(n.ID), "node ID %q is not a UUID", n.ID)
	// Whoever compares IDs without regard to case must not take one node for another.
	add(IsUUID(n.ID) && n.ID != strings.ToLower(n.ID), "node ID %q is not in lower case", n.ID)
	add(n.SecretID == "", "missing node secret ID for client registration")
	add(n.SecretID != "" && !IsUUID(n.SecretID), "node secret ID is not a UUID")
	add(n.Datacenter == "", "missing datacenter for client registration")
	add(n.Name == "", "missing node name for client registration")
	add(n.Attributes.Len() == 0, "missing attributes for client registration")
	add(n.Status != "" && !ValidNodeStatus(n.Status), "invalid status for node: %q", n.Status)
	if n.NodePool != "" {
		if err := ValidateNodePoolName(n.NodePool); err != nil {
			errs = append(errs, err)
		}
		add(n.NodePool == NodePoolAll, "node is not allowed to register in node pool %q", NodePoolAll)
	}
	for _, s := range []struct{ name, value string }{{"datacenter", n.Datacenter}, {"name", n.Name}, {"class", n.NodeClass}} {
		if err := ValidateNodeText(s.name, s.value); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Responsive reports whether a node of that status is heard of.
func Responsive(status string) bool { return status == NodeStatusInit || status == NodeStatusReady }

// AddEvent appends e to a new slice, keeping the last MaxNodeEvents. The old slice is left as it was.
func (n *Node) AddEvent(e *NodeEvent) {
	events := make([]*NodeEvent, 0, min(len(n.Events)+1, MaxNodeEvents))
	if skip := len(n.Events) + 1 - MaxNodeEvents; skip > 0 {
		events = append(events, n.Events[skip:]...)
	} else {
		events = append(events, n.Events...)
	}
	n.Events = append(events, e)
}

// IdentityLeeway is the clock difference that verification forgives.
const IdentityLeeway = time.Minute

// UsesKey reports whether an identity of the node that was signed by the key can still verify at now (Unix
// seconds).
func (n *Node) UsesKey(keyID string, now int64) bool {
	if n.IdentitySigningKeyID != keyID {
		return false
	}
	if n.Status != NodeStatusDown || n.IdentityTTL <= 0 {
		return true
	}
	return now <= n.StatusUpdatedAt+int64((n.IdentityTTL+IdentityLeeway)/time.Second)
}

// ShallowCopy returns a node that shares maps and slices with n; the caller replaces what it changes.
func (n *Node) ShallowCopy() *Node {
	c := *n
	return &c
}

// Sanitized returns a shallow copy without anything secret.
func (n *Node) Sanitized() *Node {
	c := n.ShallowCopy()
	c.SecretID, c.SecretHash = "", nil
	return c
}

// Copy returns a deep copy.
func (n *Node) Copy() *Node {
	if n == nil {
		return nil
	}
	c := *n
	c.DrainStrategy = n.DrainStrategy.Copy()
	c.LastDrain = n.LastDrain.Copy()
	if n.Events != nil {
		c.Events = make([]*NodeEvent, len(n.Events))
		for i, e := range n.Events {
			c.Events[i] = e.Copy()
		}
	}
	for _, r := range []*Raw{
		&c.NodeResources, &c.ReservedResources, &c.Resources, &c.Reserved, &c.Drivers, &c.CSIControllerPlugins,
		&c.CSINodePlugins, &c.HostVolumes, &c.HostNetworks,
	} {
		*r = cloneBytes(*r)
	}
	c.SecretHash = cloneBytes(n.SecretHash)
	c.Admission = n.Admission.Copy()
	return &c
}

// Copy returns a deep copy.
func (d *DrainStrategy) Copy() *DrainStrategy {
	if d == nil {
		return nil
	}
	c := *d
	return &c
}

// Copy returns a deep copy.
func (d *DrainMetadata) Copy() *DrainMetadata {
	if d == nil {
		return nil
	}
	c := *d
	c.Meta = maps.Clone(d.Meta)
	return &c
}

// Copy returns a deep copy.
func (e *NodeEvent) Copy() *NodeEvent {
	if e == nil {
		return nil
	}
	c := *e
	c.Details = maps.Clone(e.Details)
	return &c
}

// ComputeClass sets ComputedClass to a stable hash of what makes nodes alike: datacenter, pool, class,
// attributes and metadata, without the keys that start with "unique.".
func (n *Node) ComputeClass() {
	h := fnv.New64a()
	write := func(s string) {
		_, _ = h.Write([]byte(s))
		_, _ = h.Write([]byte{0})
	}
	write(n.Datacenter)
	write(n.NodePool)
	write(n.NodeClass)
	for _, m := range []StringMap{n.Attributes, n.Meta} {
		for k, v := range m.All() {
			if strings.HasPrefix(k, "unique.") {
				continue
			}
			write(k)
			write(v)
		}
		write("")
	}
	n.ComputedClass = "v1:" + strconv.FormatUint(h.Sum64(), 10)
}

// NodeListStub is a node in a list.
type NodeListStub struct {
	Address               string
	ID                    string
	Attributes            map[string]string `json:",omitempty"`
	Datacenter            string
	Name                  string
	NodePool              string
	NodeClass             string
	Version               string
	Drain                 bool
	SchedulingEligibility string
	Status                string
	StatusDescription     string
	Drivers               Raw
	HostVolumes           Raw
	NodeResources         Raw `json:",omitzero"`
	ReservedResources     Raw `json:",omitzero"`
	LastDrain             *DrainMetadata
	CreateIndex           uint64
	ModifyIndex           uint64
}

// NodeStubFields says which optional parts of a stub are wanted.
type NodeStubFields struct {
	Resources bool
	OS        bool
}

// Stub returns the node as lists show it.
func (n *Node) Stub(f *NodeStubFields) *NodeListStub {
	addr := n.HTTPAddr
	if i := strings.LastIndexByte(addr, ':'); i >= 0 {
		addr = addr[:i]
	}
	s := &NodeListStub{
		Address: strings.Trim(addr, "[]"), ID: n.ID, Datacenter: n.Datacenter, Name: n.Name, NodePool: n.NodePool,
		NodeClass: n.NodeClass, Version: n.Attributes.Get(AttrNomadVersion), Drain: n.DrainStrategy != nil,
		SchedulingEligibility: n.SchedulingEligibility, Status: n.Status, StatusDescription: n.StatusDescription,
		Drivers: n.Drivers, HostVolumes: n.HostVolumes, LastDrain: n.LastDrain,
		CreateIndex: n.CreateIndex, ModifyIndex: n.ModifyIndex,
	}
	if f != nil && f.Resources {
		s.NodeResources, s.ReservedResources = n.NodeResources, n.ReservedResources
	}
	if f != nil && f.OS {
		s.Attributes = map[string]string{"os.name": n.Attributes.Get("os.name")}
	}
	return s
}

// IsUUID reports whether s has the shape 8-4-4-4-12 of hexadecimal digits.
func IsUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			c := s[i]
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return false
			}
		}
	}
	return true
}
