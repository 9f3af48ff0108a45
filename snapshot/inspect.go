package snapshot

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// Summary is what is in a snapshot, for people and as JSON. Lists are sorted; nothing in it is secret.
type Summary struct {
	Name        string
	ID          string
	Version     int
	Index       uint64
	Term        uint64
	Created     *time.Time `json:",omitempty"` // in UTC, from the ID
	Size        int64      // of the state in bytes
	ArchiveSize int64      `json:",omitempty"` // of the archive in bytes
	Digest      string     `json:",omitempty"` // of the archive, as HTTP sends it
	StateSum    string     // SHA-256 of the state in hexadecimal
	ClusterID   string     `json:",omitempty"`
	Servers     []Server
	LatestIndex uint64 // highest of the index records
	Types       []TypeSummary
	Nodes       NodeSummary
	NodePools   []NodePoolSummary
	RootKeys    []RootKeySummary
}

// Meaning is what this version does with records of a type when it restores them.
type Meaning string

const (
	Loaded    Meaning = "loaded"
	Opaque    Meaning = "opaque"    // kept and written back as they are, without effect
	Unknown   Meaning = "unknown"   // likewise, and no version of the format has the type
	Discarded Meaning = "discarded" // of a type that no version has a use for any more
)

// MeaningOf returns what restoring does with records of type t.
func MeaningOf(t structs.RecordType) Meaning {
	switch {
	case newRecord[t] != nil:
		return Loaded
	case t == structs.TimeTableRecord || t == structs.VaultAccessorRecord || t == structs.ServiceTokenRecord:
		return Discarded
	case t.Known():
		return Opaque
	}
	return Unknown
}

// TypeSummary counts the records of one type.
type TypeSummary struct {
	Type    structs.RecordType
	Name    string
	Count   uint64
	Bytes   uint64 // type bytes included
	Meaning Meaning
}

// NodeSummary counts nodes.
type NodeSummary struct {
	Total        uint64
	ByStatus     map[string]uint64
	ByPool       map[string]uint64
	WithIdentity uint64 // got an identity from some key
	ClearSecrets uint64 // have their secret ID in clear, as other writers store it
}

// NodePoolSummary is a node pool. A TTL of 0 becomes the default at restore.
type NodePoolSummary struct {
	Name            string
	NodeIdentityTTL time.Duration // nanoseconds in JSON
	Nodes           uint64
}

// RootKeySummary is a root key without its material.
type RootKeySummary struct {
	KeyID            string
	State            structs.KeyState
	Algorithm        string
	SigningAlgorithm string `json:",omitempty"` // empty if it follows from the material
	Created          time.Time
	WrappedBy        []string // provider IDs; none if the material is elsewhere
	Nodes            uint64   // whose identity it signed last
}

// Inspector makes a Summary from records: give its Record to VerifyOptions and ask for the Summary afterwards. The
// zero value is ready for use.
type Inspector struct {
	s      Summary
	signed map[string]uint64
}

// Record decodes and counts a record.
func (i *Inspector) Record(rec Record) error {
	v, err := DecodeRecord(rec)
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *structs.Node:
		i.node(v)
	case *structs.NodePool:
		i.s.NodePools = append(i.s.NodePools, NodePoolSummary{Name: v.Name, NodeIdentityTTL: v.NodeIdentityTTL})
	case *structs.RootKey:
		i.key(v)
	case *structs.RootKeyMeta:
		i.key(v.RootKey())
	case *structs.ClusterMetadata:
		i.s.ClusterID = v.ClusterID
	case *structs.IndexEntry:
		i.s.LatestIndex = max(i.s.LatestIndex, v.Value)
	}
	return nil
}

func (i *Inspector) node(n *structs.Node) {
	if i.signed == nil {
		i.signed, i.s.Nodes.ByStatus, i.s.Nodes.ByPool = map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	}
	i.s.Nodes.Total++
	i.s.Nodes.ByStatus[n.Status]++
	i.s.Nodes.ByPool[cmp.Or(n.NodePool, structs.NodePoolDefault)]++
	if n.IdentitySigningKeyID != "" {
		i.s.Nodes.WithIdentity++
		i.signed[n.IdentitySigningKeyID]++
	}
	if n.SecretID != "" {
		i.s.Nodes.ClearSecrets++
	}
}

func (i *Inspector) key(k *structs.RootKey) {
	s := RootKeySummary{
		KeyID: k.KeyID, State: k.State, Algorithm: k.Algorithm, SigningAlgorithm: k.SigningAlgorithm, Created: k.Created(),
		WrappedBy: []string{},
	}
	for _, w := range k.WrappedKeys {
		if w != nil {
			s.WrappedBy = append(s.WrappedBy, cmp.Or(w.ProviderID, w.Provider, "aead"))
		}
	}
	slices.Sort(s.WrappedBy)
	i.s.RootKeys = append(i.s.RootKeys, s)
}

// Summary returns the summary of v, every record of which Record must have seen once.
func (i *Inspector) Summary(v *Verified) *Summary {
	s := i.s
	m := v.Meta
	s.Name, s.ID, s.Version, s.Index, s.Term, s.Size = v.Name, m.ID, m.Version, m.Index, m.Term, m.Size
	s.ArchiveSize, s.StateSum = v.Size, hex.EncodeToString(v.StateSum[:])
	if v.Size > 0 {
		s.Digest = v.DigestHeader()
	}
	if t := m.Created(); !t.IsZero() {
		s.Created = &t
	}
	s.Servers = append([]Server{}, m.Configuration.Servers...)
	s.Types = []TypeSummary{}
	for _, c := range v.Counts {
		s.Types = append(s.Types, TypeSummary{c.Type, c.Type.String(), c.Records, c.Bytes, MeaningOf(c.Type)})
	}
	if s.Nodes.ByStatus == nil {
		s.Nodes.ByStatus, s.Nodes.ByPool = map[string]uint64{}, map[string]uint64{}
	}
	s.NodePools, s.RootKeys = append([]NodePoolSummary{}, s.NodePools...), append([]RootKeySummary{}, s.RootKeys...)
	for n, p := range s.NodePools {
		s.NodePools[n].Nodes = s.Nodes.ByPool[p.Name]
		if p.Name == structs.NodePoolAll {
			s.NodePools[n].Nodes = s.Nodes.Total
		}
	}
	for n := range s.RootKeys {
		s.RootKeys[n].Nodes = i.signed[s.RootKeys[n].KeyID]
	}
	slices.SortStableFunc(s.NodePools, func(a, b NodePoolSummary) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(s.RootKeys, func(a, b RootKeySummary) int { return cmp.Compare(a.KeyID, b.KeyID) })
	return &s
}

// Inspect reads the state of v once more and summarizes it.
func Inspect(ctx context.Context, v *Verified) (*Summary, error) {
	var i Inspector
	if err := v.Records(ctx, i.Record); err != nil {
		return nil, fmt.Errorf("inspect snapshot %s: %w", v.Name, err)
	}
	return i.Summary(v), nil
}
