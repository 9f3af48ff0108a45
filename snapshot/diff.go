package snapshot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/rollcall-id/rollcall/structs"
)

// DefaultMaxListed is how many changes of each kind a Difference lists.
const DefaultMaxListed = 1000

// DiffOptions are optional.
type DiffOptions struct {
	MaxListed int // most changes listed of each kind; 0 stands for DefaultMaxListed. All are counted.
}

// Side is one of the two snapshots that were compared.
type Side struct {
	Name  string
	ID    string
	Index uint64
	Term  uint64
	Size  int64 // of the state in bytes
}

// Difference is what changed from one snapshot to another.
type Difference struct {
	A, B       Side
	Nodes      Changes
	NodePools  Changes
	RootKeys   Changes
	Namespaces Changes
	Settings   Changes // autopilot, scheduler, cluster metadata, feature gates, what the state grew from
	Indexes    Changes // of tables
	Others     []OtherChange
}

// Equal reports whether the states are the same. Their metadata may differ.
func (d *Difference) Equal() bool {
	for _, c := range d.kinds() {
		if c.Added+c.Removed+c.Changed > 0 {
			return false
		}
	}
	return len(d.Others) == 0
}

func (d *Difference) kinds() [6]*Changes {
	return [...]*Changes{&d.Nodes, &d.NodePools, &d.RootKeys, &d.Namespaces, &d.Settings, &d.Indexes}
}

// Changes are those of one kind of records.
type Changes struct {
	Added, Removed, Changed uint64
	List                    []Change // at most DiffOptions.MaxListed, by ID
}

// Op says what happened to a record.
type Op string

const (
	Added   Op = "added"
	Removed Op = "removed"
	Changed Op = "changed"
)

// Change is one record that is not the same in both snapshots.
type Change struct {
	Op     Op
	ID     string
	Fields []FieldChange `json:",omitempty"` // only of changed records, by name
}

// OtherChange says that the records of a type that has no fields here are not the same, whatever their order.
type OtherChange struct {
	Type structs.RecordType
	Name string
	A, B uint64 // how many there are
}

// identity is how records of a type are told apart: by a field, or there is only one, which has a name.
type identity struct {
	kind  func(*Difference) *Changes
	field string
	name  string
}

func nodeChanges(d *Difference) *Changes      { return &d.Nodes }
func poolChanges(d *Difference) *Changes      { return &d.NodePools }
func keyChanges(d *Difference) *Changes       { return &d.RootKeys }
func namespaceChanges(d *Difference) *Changes { return &d.Namespaces }
func settingChanges(d *Difference) *Changes   { return &d.Settings }
func indexChanges(d *Difference) *Changes     { return &d.Indexes }

var identities = map[structs.RecordType]identity{
	structs.NodeRecord:            {kind: nodeChanges, field: "ID"},
	structs.NodePoolRecord:        {kind: poolChanges, field: "Name"},
	structs.RootKeyRecord:         {kind: keyChanges, field: "KeyID"},
	structs.RootKeyMetaRecord:     {kind: keyChanges, field: "KeyID"},
	structs.NamespaceRecord:       {kind: namespaceChanges, field: "Name"},
	structs.IndexRecord:           {kind: indexChanges, field: "Key"},
	structs.AutopilotConfigRecord: {kind: settingChanges, name: "autopilot"},
	structs.SchedulerConfigRecord: {kind: settingChanges, name: "scheduler"},
	structs.ClusterMetadataRecord: {kind: settingChanges, name: "cluster"},
	structs.StateBaseRecord:       {kind: settingChanges, name: "state base"},
	structs.FeatureGateRecord:     {kind: settingChanges, field: "Name"},
}

// id returns what the record is called.
func (i identity) id(raw []byte) (string, error) {
	if i.field == "" {
		return i.name, nil
	}
	return fieldString(raw, i.field)
}

// place is where a record of A is. A Diff takes about 150 bytes of memory for each.
type place struct {
	sum    [16]byte
	offset int64
	length int32
	typ    structs.RecordType
	found  bool // in B too
}

type differ struct {
	a, b   *Verified
	out    *Difference
	places map[*Changes]map[[16]byte]*place
	max    int
}

// Diff compares two states record by record. Fields that one version of the format has and another has not count as
// equal if they are empty, and so do a node's secret and its hash. It reads both states once, and of A again what
// changed.
func Diff(ctx context.Context, a, b *Verified, opts DiffOptions) (*Difference, error) {
	d := &differ{a: a, b: b, out: &Difference{A: side(a), B: side(b)}, places: map[*Changes]map[[16]byte]*place{}, max: opts.MaxListed}
	if d.max <= 0 {
		d.max = DefaultMaxListed
	}
	for _, c := range d.out.kinds() {
		d.places[c] = map[[16]byte]*place{}
		c.List = []Change{}
	}
	var others [2]tally
	err := a.Records(ctx, func(rec Record) error { return d.remember(rec, &others[0]) })
	if err == nil {
		err = b.Records(ctx, func(rec Record) error { return d.compare(rec, &others[1]) })
	}
	if err == nil {
		err = d.removed()
	}
	if err != nil {
		return nil, fmt.Errorf("compare snapshots %s and %s: %w", a.Name, b.Name, err)
	}
	d.out.Others = []OtherChange{}
	for t := range others[0] {
		if others[0][t] != others[1][t] {
			typ := structs.RecordType(t)
			d.out.Others = append(d.out.Others, OtherChange{typ, typ.String(), others[0][t].n, others[1][t].n})
		}
	}
	for _, c := range d.out.kinds() {
		slices.SortStableFunc(c.List, func(x, y Change) int { return cmp.Compare(x.ID, y.ID) })
	}
	return d.out, nil
}

func side(v *Verified) Side {
	return Side{Name: v.Name, ID: v.Meta.ID, Index: v.Meta.Index, Term: v.Meta.Term, Size: v.Meta.Size}
}

// tally is a sum over the records of each type that does not depend on their order.
type tally [256]struct {
	n   uint64
	sum [4]uint64
}

func (t *tally) add(rec Record) {
	e := &t[rec.Type]
	h := sha256.Sum256(sorted(rec.Raw))
	for i := range e.sum {
		e.sum[i] += binary.LittleEndian.Uint64(h[8*i:])
	}
	e.n++
}

// sorted returns a value with the keys of its maps in order, since many writers put them in any, or as it is if it has
// keys that are no strings.
func sorted(raw []byte) []byte {
	var v any
	if err := structs.Decode(raw, &v); err != nil {
		return raw
	}
	var out []byte
	if err := codec.NewEncoderBytes(&out, structs.CanonicalHandle).Encode(canonical(v)); err != nil {
		return raw
	}
	return out
}

func shortSum(b []byte) [16]byte { h := sha256.Sum256(b); return [16]byte(h[:16]) }

func (d *differ) remember(rec Record, others *tally) error {
	ident, ok := identities[rec.Type]
	if !ok {
		others.add(rec)
		return nil
	}
	id, err := ident.id(rec.Raw)
	if err != nil {
		return err
	}
	d.places[ident.kind(d.out)][shortSum([]byte(id))] = &place{
		sum: shortSum(rec.Raw), offset: rec.Offset + 1, length: int32(len(rec.Raw)), typ: rec.Type,
	}
	return nil
}

func (d *differ) compare(rec Record, others *tally) error {
	ident, ok := identities[rec.Type]
	if !ok {
		others.add(rec)
		return nil
	}
	id, err := ident.id(rec.Raw)
	if err != nil {
		return err
	}
	c := ident.kind(d.out)
	p := d.places[c][shortSum([]byte(id))]
	if p == nil {
		c.Added++
		d.list(c, Change{Op: Added, ID: id})
		return nil
	}
	p.found = true
	if p.sum == shortSum(rec.Raw) {
		return nil
	}
	old, err := d.raw(p)
	if err != nil {
		return err
	}
	changed, err := compareFields(rec.Type, old, rec.Raw)
	if err != nil || len(changed) == 0 {
		return err
	}
	c.Changed++
	d.list(c, Change{Op: Changed, ID: id, Fields: changed})
	return nil
}

func (d *differ) list(c *Changes, change Change) {
	if len(c.List) < d.max {
		c.List = append(c.List, change)
	}
}

// raw reads a record of A again.
func (d *differ) raw(p *place) ([]byte, error) {
	b := make([]byte, p.length)
	_, err := d.a.State().ReadAt(b, p.offset)
	return b, err
}

// removed adds what is only in A, in the order of A.
func (d *differ) removed() error {
	for _, c := range d.out.kinds() {
		var gone []*place
		for _, p := range d.places[c] {
			if !p.found {
				gone = append(gone, p)
			}
		}
		slices.SortFunc(gone, func(x, y *place) int { return cmp.Compare(x.offset, y.offset) })
		c.Removed = uint64(len(gone))
		for _, p := range gone {
			if len(c.List) >= d.max {
				break
			}
			raw, err := d.raw(p)
			if err != nil {
				return err
			}
			id, err := identities[p.typ].id(raw)
			if err != nil {
				return err
			}
			c.List = append(c.List, Change{Op: Removed, ID: id})
		}
	}
	return nil
}
