package structs

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// Nodes are nearly all that a snapshot and a log consist of, so they are written and read here instead of by the
// library's reflection. Writing gives the library's bytes, with the keys of maps in order. Reading knows the forms that
// writers use; whatever else it meets, the library reads the node from the start (plainNode), with its rules and errors.

// nodeField is a key of an encoded node.
type nodeField struct {
	name string
	put  func(n *Node, b []byte) ([]byte, error)
	take func(n *Node, r *nodeReader)
}

// nodeFields are in the order in which they are written. TestNodesAreWrittenAsTheLibraryDoes finds one that is missing.
var nodeFields = func() []nodeField {
	list := []nodeField{
		{
			"ID",
			func(n *Node, b []byte) ([]byte, error) { return appendString(b, n.ID), nil },
			func(n *Node, r *nodeReader) { r.ownString(&n.ID) },
		},
		stringField("SecretID", func(n *Node) *string { return &n.SecretID }),
		stringField("Datacenter", func(n *Node) *string { return &n.Datacenter }),
		stringField("Name", func(n *Node) *string { return &n.Name }),
		stringField("CgroupParent", func(n *Node) *string { return &n.CgroupParent }),
		stringField("HTTPAddr", func(n *Node) *string { return &n.HTTPAddr }),
		boolField("TLSEnabled", func(n *Node) *bool { return &n.TLSEnabled }),
		mapField("Attributes", func(n *Node) *StringMap { return &n.Attributes }),
		rawField("NodeResources", func(n *Node) *Raw { return &n.NodeResources }),
		rawField("ReservedResources", func(n *Node) *Raw { return &n.ReservedResources }),
		rawField("Resources", func(n *Node) *Raw { return &n.Resources }),
		rawField("Reserved", func(n *Node) *Raw { return &n.Reserved }),
		mapField("Links", func(n *Node) *StringMap { return &n.Links }),
		mapField("Meta", func(n *Node) *StringMap { return &n.Meta }),
		stringField("NodeClass", func(n *Node) *string { return &n.NodeClass }),
		stringField("NodePool", func(n *Node) *string { return &n.NodePool }),
		stringField("ComputedClass", func(n *Node) *string { return &n.ComputedClass }),
		partField("DrainStrategy", func(n *Node) **DrainStrategy { return &n.DrainStrategy }),
		stringField("SchedulingEligibility", func(n *Node) *string { return &n.SchedulingEligibility }),
		stringField("Status", func(n *Node) *string { return &n.Status }),
		stringField("StatusDescription", func(n *Node) *string { return &n.StatusDescription }),
		stringField("IdentitySigningKeyID", func(n *Node) *string { return &n.IdentitySigningKeyID }),
		intField("StatusUpdatedAt", func(n *Node) *int64 { return &n.StatusUpdatedAt }),
		{
			"Events",
			func(n *Node, b []byte) ([]byte, error) { return appendEvents(b, n.Events) },
			func(n *Node, r *nodeReader) { r.events(&n.Events) },
		},
		rawField("Drivers", func(n *Node) *Raw { return &n.Drivers }),
		rawField("CSIControllerPlugins", func(n *Node) *Raw { return &n.CSIControllerPlugins }),
		rawField("CSINodePlugins", func(n *Node) *Raw { return &n.CSINodePlugins }),
		rawField("HostVolumes", func(n *Node) *Raw { return &n.HostVolumes }),
		boolField("GCVolumesOnNodeGC", func(n *Node) *bool { return &n.GCVolumesOnNodeGC }),
		rawField("HostNetworks", func(n *Node) *Raw { return &n.HostNetworks }),
		partField("LastDrain", func(n *Node) **DrainMetadata { return &n.LastDrain }),
		intField("NodeMaxAllocs", func(n *Node) *int { return &n.NodeMaxAllocs }),
		uintField("LastMissedHeartbeatIndex", func(n *Node) *uint64 { return &n.LastMissedHeartbeatIndex }),
		uintField("LastAllocUpdateIndex", func(n *Node) *uint64 { return &n.LastAllocUpdateIndex }),
		uintField("CreateIndex", func(n *Node) *uint64 { return &n.CreateIndex }),
		uintField("ModifyIndex", func(n *Node) *uint64 { return &n.ModifyIndex }),
		{
			"SecretHash",
			func(n *Node, b []byte) ([]byte, error) {
				if n.SecretHash == nil {
					return append(b, rawNil...), nil
				}
				return appendString(b, n.SecretHash), nil
			},
			func(n *Node, r *nodeReader) { r.bytes(&n.SecretHash) },
		},
		intField("IdentityTTL", func(n *Node) *time.Duration { return &n.IdentityTTL }),
		partField(admissionField, func(n *Node) **NodeAdmission { return &n.Admission }),
	}
	slices.SortFunc(list, func(a, b nodeField) int { return compareKeys(a.name, b.name) })
	return list
}()

// admissionField is left out of nodes that have none, as most: the library does so by the field's tag.
const admissionField = "Admission"

var admissionAt = slices.IndexFunc(nodeFields, func(f nodeField) bool { return f.name == admissionField })

func stringField(name string, at func(*Node) *string) nodeField {
	return nodeField{
		name,
		func(n *Node, b []byte) ([]byte, error) { return appendString(b, *at(n)), nil },
		func(n *Node, r *nodeReader) { r.string(at(n)) },
	}
}

func mapField(name string, at func(*Node) *StringMap) nodeField {
	return nodeField{
		name,
		func(n *Node, b []byte) ([]byte, error) { return at(n).append(b), nil },
		func(n *Node, r *nodeReader) { r.stringMap(at(n)) },
	}
}

func rawField(name string, at func(*Node) *Raw) nodeField {
	return nodeField{
		name,
		func(n *Node, b []byte) ([]byte, error) {
			if raw := *at(n); len(raw) > 0 {
				return append(b, raw...), nil
			}
			return append(b, rawNil...), nil
		},
		func(n *Node, r *nodeReader) { r.raw(at(n)) },
	}
}

func boolField(name string, at func(*Node) *bool) nodeField {
	return nodeField{
		name,
		func(n *Node, b []byte) ([]byte, error) { return appendBool(b, *at(n)), nil },
		func(n *Node, r *nodeReader) { r.bool(at(n)) },
	}
}

func uintField(name string, at func(*Node) *uint64) nodeField {
	return nodeField{
		name,
		func(n *Node, b []byte) ([]byte, error) { return appendUint(b, *at(n)), nil },
		func(n *Node, r *nodeReader) { *at(n) = r.uint(math.MaxUint64) },
	}
}

func intField[I ~int | ~int64](name string, at func(*Node) *I) nodeField {
	return nodeField{
		name,
		func(n *Node, b []byte) ([]byte, error) { return appendInt(b, int64(*at(n))), nil },
		func(n *Node, r *nodeReader) { *at(n) = I(r.uint(math.MaxInt)) },
	}
}

// partField is for what few nodes have: the library writes and reads it.
func partField[T any](name string, at func(*Node) **T) nodeField {
	return nodeField{
		name,
		func(n *Node, b []byte) ([]byte, error) {
			if *at(n) == nil {
				return append(b, rawNil...), nil
			}
			var out []byte
			err := codec.NewEncoderBytes(&out, CanonicalHandle).Encode(*at(n))
			return append(b, out...), err
		},
		func(n *Node, r *nodeReader) {
			raw := r.value()
			if r.failed || raw[0] == rawNil[0] {
				*at(n) = nil
				return
			}
			v := new(T)
			r.failed = decodeChecked(raw, v) != nil
			*at(n) = v
		},
	}
}

// plainNode is a node as the library sees it.
type plainNode Node

var _ codec.Selfer = (*Node)(nil)

// CodecEncodeSelf writes the node.
func (n *Node) CodecEncodeSelf(e *codec.Encoder) {
	b, err := n.AppendMsgpack(nil)
	if err != nil {
		panic(err) // the codec's way to fail; Encode returns it
	}
	e.MustEncode(codec.Raw(b))
}

// CodecDecodeSelf reads the node.
func (n *Node) CodecDecodeSelf(d *codec.Decoder) {
	var raw codec.Raw
	d.MustDecode(&raw)
	if n.unpack(raw) {
		return
	}
	if err := decodeChecked(raw, (*plainNode)(n)); err != nil {
		panic(err) // the codec's way to fail; Decode returns it
	}
}

// AppendMsgpack appends the encoded node to b, with the keys of maps in order. It fails only for a time that has no
// encoding, in a zone more than a month from UTC.
func (n *Node) AppendMsgpack(b []byte) ([]byte, error) {
	left := -1 // the field that is left out
	count := len(nodeFields)
	if n.Admission == nil {
		left = admissionAt
		count--
	}
	b = appendMapHeader(b, count)
	for i := range nodeFields {
		if i == left {
			continue
		}
		f := &nodeFields[i]
		b = appendString(b, f.name)
		var err error
		if b, err = f.put(n, b); err != nil {
			return nil, fmt.Errorf("node %s: %s: %w", n.ID, f.name, err)
		}
	}
	return b, nil
}

func appendEvents(b []byte, events []*NodeEvent) ([]byte, error) {
	if events == nil {
		return append(b, rawNil...), nil
	}
	b = appendArrayHeader(b, len(events))
	var err error
	for _, e := range events {
		if b, err = e.append(b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// append appends the encoded event.
func (e *NodeEvent) append(b []byte) ([]byte, error) {
	if e == nil {
		return append(b, rawNil...), nil
	}
	b = appendMapHeader(b, 5)
	b = appendUint(appendString(b, "CreateIndex"), e.CreateIndex)
	b = NewStringMap(e.Details).append(appendString(b, "Details"))
	b = appendString(appendString(b, "Message"), e.Message)
	b = appendString(appendString(b, "Subsystem"), e.Subsystem)
	b = append(appendString(b, "Timestamp"), 0)
	length := len(b) - 1
	b, err := e.Timestamp.AppendBinary(b)
	if err != nil {
		return nil, fmt.Errorf("timestamp: %w", err)
	}
	b[length] = 0xa0 | byte(len(b)-length-1) // 15 or 16 bytes (wire.md §1.4)
	return b, nil
}

// unpack reads a buffer that holds exactly one node, in the forms that writers use. Otherwise it returns false, and n is
// half read. Nothing in n refers to buf afterwards.
func (n *Node) unpack(buf []byte) bool {
	count, at, err := readMapHeader(buf)
	if err != nil || count > len(buf) {
		return false
	}
	r := nodeReaders.Get().(*nodeReader)
	defer r.release()
	r.in, r.at = buf, at
	var seen uint64
	next := 0 // writers keep to an order, so the next key is mostly the next field's
	for range count {
		key, at, ok := shortString(buf, r.at)
		if !ok {
			return false
		}
		r.at = at
		if next = fieldFrom(next, key); next < 0 {
			r.value()
			next = 0
		} else {
			r.failed = seen&(1<<next) != 0 // the library has its way with a key that comes twice
			seen |= 1 << next
			nodeFields[next].take(n, r)
			next++
		}
		if r.failed {
			return false
		}
	}
	if r.at != len(buf) {
		return false
	}
	r.hand()
	return true
}

// fieldFrom returns the position of the field with that key, looking from position next on first; -1 if there is none.
func fieldFrom(next int, key []byte) int {
	if next < len(nodeFields) && nodeFields[next].name == string(key) {
		return next
	}
	i, ok := slices.BinarySearchFunc(nodeFields, key, func(f nodeField, key []byte) int { return compareKeys(f.name, string(key)) })
	if !ok {
		return -1
	}
	return i
}

func compareKeys(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// nodeReader reads one node. Its strings and maps become parts of one string, and what is kept as bytes parts of one
// slice: a node then is a handful of pieces of memory instead of dozens.
type nodeReader struct {
	in     []byte
	at     int
	failed bool // the library has to read it

	text    []byte
	strings []textPart
	raws    []rawPart
	rawSize int
}

// textPart is a string or a map of strings that lies in text.
type textPart struct {
	str      *string
	packed   *StringMap
	from, to int
}

// rawPart is a value that lies in the input.
type rawPart struct {
	dst      *[]byte
	from, to int
}

var nodeReaders = sync.Pool{New: func() any { return &nodeReader{} }}

func (r *nodeReader) release() {
	clear(r.strings)
	clear(r.raws)
	*r = nodeReader{text: r.text[:0], strings: r.strings[:0], raws: r.raws[:0]}
	if cap(r.text) <= maxPooledBuffer {
		nodeReaders.Put(r)
	}
}

// hand gives everything read its memory.
func (r *nodeReader) hand() {
	text := string(r.text)
	for _, p := range r.strings {
		if p.str != nil {
			*p.str = text[p.from:p.to]
		} else {
			p.packed.packed = text[p.from:p.to]
		}
	}
	bytes := make([]byte, 0, r.rawSize)
	for _, p := range r.raws {
		from := len(bytes)
		bytes = append(bytes, r.in[p.from:p.to]...)
		*p.dst = bytes[from:len(bytes):len(bytes)]
	}
}

// known are strings that most nodes have in common.
func known(b []byte) (string, bool) {
	switch string(b) {
	case "":
		return "", true
	case NodeStatusReady:
		return NodeStatusReady, true
	case NodeStatusInit:
		return NodeStatusInit, true
	case NodeStatusDown:
		return NodeStatusDown, true
	case NodeEligible:
		return NodeEligible, true
	case NodePoolDefault:
		return NodePoolDefault, true
	case NodeRegisteredEvent:
		return NodeRegisteredEvent, true
	case NodeReregisteredEvent:
		return NodeReregisteredEvent, true
	case NodeHeartbeatMissedEvent:
		return NodeHeartbeatMissedEvent, true
	case NodeHeartbeatBackEvent:
		return NodeHeartbeatBackEvent, true
	case NodeEventSubsystemCluster:
		return NodeEventSubsystemCluster, true
	}
	return "", false
}

func (r *nodeReader) string(dst *string) {
	s, at, ok := shortString(r.in, r.at)
	if !ok {
		r.failed = true
		return
	}
	r.at = at
	if k, ok := known(s); ok {
		*dst = k
		return
	}
	from := len(r.text)
	r.text = append(r.text, s...)
	r.strings = append(r.strings, textPart{str: dst, from: from, to: len(r.text)})
}

// ownString reads a string that others keep for longer than the node, and which must not keep the rest of it.
func (r *nodeReader) ownString(dst *string) {
	s, at, ok := shortString(r.in, r.at)
	if !ok {
		r.failed = true
		return
	}
	*dst, r.at = string(s), at
}

func (r *nodeReader) stringMap(dst *StringMap) {
	if r.isNil() {
		*dst = StringMap{}
		return
	}
	from := len(r.text)
	text, used, err := appendPacked(r.text, r.in[r.at:])
	if err != nil {
		r.failed = true
		return
	}
	r.text = text
	r.at += used
	r.strings = append(r.strings, textPart{packed: dst, from: from, to: len(text)})
}

func (r *nodeReader) raw(dst *Raw) {
	if r.isNil() {
		*dst = nil
		return
	}
	from := r.at
	r.value()
	r.keep((*[]byte)(dst), from, r.at)
}

func (r *nodeReader) bytes(dst *[]byte) {
	if r.isNil() {
		*dst = nil
		return
	}
	s, at, ok := shortString(r.in, r.at)
	if !ok {
		r.failed = true
		return
	}
	r.keep(dst, at-len(s), at)
	r.at = at
}

func (r *nodeReader) keep(dst *[]byte, from, to int) {
	r.raws = append(r.raws, rawPart{dst, from, to})
	r.rawSize += to - from
}

func (r *nodeReader) bool(dst *bool) {
	if r.at >= len(r.in) || r.in[r.at]&^1 != 0xc2 {
		r.failed = true
		return
	}
	*dst = r.in[r.at] == 0xc3
	r.at++
}

func (r *nodeReader) uint(most uint64) uint64 {
	v, at, ok := readUint(r.in, r.at)
	if !ok || v > most {
		r.failed = true
		return 0
	}
	r.at = at
	return v
}

// isNil takes a nil.
func (r *nodeReader) isNil() bool {
	if r.at < len(r.in) && r.in[r.at] == rawNil[0] {
		r.at++
		return true
	}
	return false
}

// value takes a value of any kind.
func (r *nodeReader) value() []byte {
	n, err := CheckMsgpack(r.in[r.at:], Limits{MaxDepth: DefaultMaxDepth - 1})
	if err != nil || n > len(r.in)-r.at {
		r.failed = true
		return nil
	}
	r.at += n
	return r.in[r.at-n : r.at]
}

func (r *nodeReader) events(dst *[]*NodeEvent) {
	*dst = nil
	if r.isNil() {
		return
	}
	if r.at >= len(r.in) || r.in[r.at]&0xf0 != 0x90 {
		r.failed = true
		return
	}
	n := int(r.in[r.at] & 0x0f)
	r.at++
	events := make([]NodeEvent, n)
	list := make([]*NodeEvent, n)
	for i := range events {
		if r.isNil() {
			continue
		}
		list[i] = &events[i]
		if r.event(&events[i]); r.failed {
			return
		}
	}
	*dst = list
}

func (r *nodeReader) event(e *NodeEvent) {
	count, used, err := readMapHeader(r.in[r.at:])
	if err != nil {
		r.failed = true
		return
	}
	r.at += used
	for range count {
		key, at, ok := shortString(r.in, r.at)
		if !ok {
			r.failed = true
			return
		}
		r.at = at
		switch string(key) {
		case "CreateIndex":
			e.CreateIndex = r.uint(math.MaxUint64)
		case "Details":
			r.details(e)
		case "Message":
			r.string(&e.Message)
		case "Subsystem":
			r.string(&e.Subsystem)
		case "Timestamp":
			s, at, ok := shortString(r.in, r.at)
			r.failed = r.failed || !ok || e.Timestamp.UnmarshalBinary(s) != nil
			r.at = at
		default:
			r.value()
		}
		if r.failed {
			return
		}
	}
}

func (r *nodeReader) details(e *NodeEvent) {
	raw := r.value()
	if r.failed || e.Details != nil {
		r.failed = true
		return
	}
	m, err := parseStringMap(raw)
	if err != nil {
		r.failed = true
		return
	}
	e.Details = m.Map()
}
