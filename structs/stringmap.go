package structs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// StringMap is a map of strings that never changes. It is kept as its own msgpack encoding, one string for the whole
// map: a node has some fifty attributes, they are most of what a registration, a snapshot and a server's memory
// consist of, and a Go map of them would be a hundred pointers for the garbage collector to follow. Looking one key up
// takes a walk over the keys before it, which are in order.
//
// Maps with the same entries are equal under ==. The zero value is the nil map, which is not the same as an empty one
// on the wire. It is safe for concurrent use.
type StringMap struct {
	// packed is the map as it is written: keys in order, each once, every length in its shortest form; "" for nil.
	packed string
}

var (
	_ codec.Selfer     = (*StringMap)(nil)
	_ json.Marshaler   = StringMap{}
	_ json.Unmarshaler = (*StringMap)(nil)
)

// NewStringMap returns a map with the entries of m. A nil map stays nil.
func NewStringMap(m map[string]string) StringMap {
	if m == nil {
		return StringMap{}
	}
	entries := make([]mapEntry, 0, len(m))
	for k, v := range m { // map order: pack sorts
		entries = append(entries, mapEntry{k, v})
	}
	return StringMap{string(pack(nil, entries))}
}

// IsNil reports whether m is the nil map.
func (m StringMap) IsNil() bool { return m.packed == "" }

// Len returns the number of entries.
func (m StringMap) Len() int {
	if m.packed == "" {
		return 0
	}
	n, _ := mapHeader(m.packed)
	return n
}

// Get returns the value of the key, "" if there is none.
func (m StringMap) Get(key string) string {
	v, _ := m.Lookup(key)
	return v
}

// Lookup returns the value of the key, and whether there is one.
func (m StringMap) Lookup(key string) (value string, ok bool) {
	for k, v := range m.All() {
		if k == key {
			return v, true
		}
		if k > key {
			break
		}
	}
	return "", false
}

// All returns the entries in the order of their keys.
func (m StringMap) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if m.packed == "" {
			return
		}
		n, at := mapHeader(m.packed)
		for range n {
			var k, v string
			k, at, _ = readString(m.packed, at) // packed is well-formed
			v, at, _ = readString(m.packed, at)
			if !yield(k, v) {
				return
			}
		}
	}
}

// Map returns the entries as a Go map of the caller's own; nil for the nil map.
func (m StringMap) Map() map[string]string {
	if m.packed == "" {
		return nil
	}
	out := make(map[string]string, m.Len())
	for k, v := range m.All() {
		out[k] = v
	}
	return out
}

// With returns the map with that value for the key.
func (m StringMap) With(key, value string) StringMap {
	out := m.Map()
	if out == nil {
		out = make(map[string]string, 1)
	}
	out[key] = value
	return NewStringMap(out)
}

// Without returns the map without the key.
func (m StringMap) Without(key string) StringMap {
	if _, ok := m.Lookup(key); !ok {
		return m
	}
	out := m.Map()
	delete(out, key)
	return NewStringMap(out)
}

// Equal reports whether both have the same entries; nil and empty are alike.
func (m StringMap) Equal(o StringMap) bool {
	return m.packed == o.packed || m.Len() == 0 && o.Len() == 0
}

// String shows the entries as fmt shows a Go map.
func (m StringMap) String() string { return fmt.Sprint(m.Map()) }

// CodecEncodeSelf writes the map.
func (m *StringMap) CodecEncodeSelf(e *codec.Encoder) { e.MustEncode(codec.Raw(m.append(nil))) }

// append appends the encoded map.
func (m StringMap) append(b []byte) []byte {
	if m.packed == "" {
		return append(b, rawNil...)
	}
	return append(b, m.packed...)
}

// CodecDecodeSelf reads the map.
func (m *StringMap) CodecDecodeSelf(d *codec.Decoder) {
	var raw codec.Raw
	d.MustDecode(&raw)
	out, err := parseStringMap(raw)
	if err != nil {
		panic(fmt.Errorf("map of strings: %w", err)) // the codec's way to fail; Decode returns it
	}
	*m = out
}

// MarshalJSON writes an object with its keys in order, or null.
func (m StringMap) MarshalJSON() ([]byte, error) {
	if m.packed == "" {
		return []byte("null"), nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the encoder around this one decides about that
	err := enc.Encode(m.Map())
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// UnmarshalJSON reads an object of strings, or null.
func (m *StringMap) UnmarshalJSON(b []byte) error {
	var in map[string]string
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*m = NewStringMap(in)
	return nil
}

// parseStringMap reads what is known to be one well-formed value.
func parseStringMap(raw []byte) (StringMap, error) {
	if len(raw) == 0 || raw[0] == rawNil[0] {
		return StringMap{}, nil
	}
	packed, _, err := appendPacked(nil, raw)
	return StringMap{string(packed)}, err
}

type mapEntry struct{ key, value string }

var entryBuffers = sync.Pool{New: func() any { return new([]mapEntry) }}

// appendPacked reads the map at the start of raw in whatever form, and appends it to dst in the one form that a
// StringMap keeps. It returns how many bytes of raw the map has.
func appendPacked(dst, raw []byte) (_ []byte, used int, err error) {
	if used, err := packedLen(raw); err != nil {
		return nil, 0, err
	} else if used > 0 {
		return append(dst, raw[:used]...), used, nil
	}
	count, at, err := readMapHeader(raw)
	if err != nil {
		return nil, 0, err
	}
	buf := entryBuffers.Get().(*[]mapEntry)
	defer func() {
		clear(*buf)
		*buf = (*buf)[:0]
		entryBuffers.Put(buf)
	}()
	for range count {
		var e mapEntry
		if e.key, at, err = readString(raw, at); err != nil {
			return nil, 0, fmt.Errorf("key %d: %w", len(*buf), err)
		}
		if e.value, at, err = readString(raw, at); err != nil {
			return nil, 0, fmt.Errorf("value of %q: %w", e.key, err)
		}
		*buf = append(*buf, e)
	}
	return pack(dst, *buf), at, nil
}

// packedLen returns the length of the map at the start of raw if it already has the form that a StringMap keeps, as
// all that this system writes has, and 0 if it has another.
func packedLen(raw []byte) (int, error) {
	count, at, err := readMapHeader(raw)
	if err != nil {
		return 0, err
	}
	if mapHeaderLen(count) != at {
		return 0, nil
	}
	var before []byte
	for i := range count {
		key, next, ok := shortString(raw, at)
		if !ok || i > 0 && bytes.Compare(before, key) >= 0 {
			return 0, nil
		}
		before = key
		if _, at, ok = shortString(raw, next); !ok {
			return 0, nil
		}
	}
	return at, nil
}

// pack appends the entries in their order. Of several with one key the last counts. The entries are sorted in place.
func pack(dst []byte, entries []mapEntry) []byte {
	slices.SortStableFunc(entries, func(a, b mapEntry) int { return cmp.Compare(a.key, b.key) })
	last := func(i int) bool { return i+1 == len(entries) || entries[i].key != entries[i+1].key }
	n := 0
	for i := range entries {
		if last(i) {
			n++
		}
	}
	dst = appendMapHeader(dst, n)
	for i, e := range entries {
		if last(i) {
			dst = appendString(appendString(dst, e.key), e.value)
		}
	}
	return dst
}

var errNotString = errors.New("it is not a string")
