package structs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// StringMap is a map of strings that is read and written without reflection: a node has some fifty attributes, and
// they are most of what a registration, a snapshot and a server's memory consist of. On the wire it is a map like any
// other; its keys are written in order, so that equal maps have equal bytes.
type StringMap map[string]string

var _ codec.Selfer = (*StringMap)(nil)

var stringMapBuffers = sync.Pool{New: func() any { return &stringMapBuffer{} }}

type stringMapBuffer struct {
	keys []string
	out  []byte
}

// CodecEncodeSelf writes the map.
func (m *StringMap) CodecEncodeSelf(e *codec.Encoder) {
	if *m == nil {
		e.MustEncode(codec.Raw(rawNil))
		return
	}
	b := stringMapBuffers.Get().(*stringMapBuffer)
	b.keys = slices.AppendSeq(b.keys[:0], maps.Keys(*m)) // map order: sorted in the next line
	slices.Sort(b.keys)
	b.out = appendMapHeader(b.out[:0], len(b.keys))
	for _, k := range b.keys {
		b.out = appendString(b.out, k)
		b.out = appendString(b.out, (*m)[k])
	}
	e.MustEncode(codec.Raw(b.out))
	clear(b.keys)
	if cap(b.out) <= maxPooledBuffer {
		stringMapBuffers.Put(b)
	}
}

// CodecDecodeSelf reads the map. All its strings share one piece of memory.
func (m *StringMap) CodecDecodeSelf(d *codec.Decoder) {
	var raw codec.Raw
	d.MustDecode(&raw)
	out, err := parseStringMap(raw)
	if err != nil {
		panic(fmt.Errorf("map of strings: %w", err)) // the codec's way to fail; Decode returns it
	}
	*m = out
}

// parseStringMap reads what is known to be one well-formed value.
func parseStringMap(raw []byte) (StringMap, error) {
	if len(raw) == 0 || raw[0] == 0xc0 {
		return nil, nil
	}
	count, rest, err := readMapHeader(raw)
	if err != nil {
		return nil, err
	}
	// One string for all, of which the others are parts: the map lives and dies as a whole.
	text := string(rest)
	m := make(StringMap, min(count, len(text)/2+1))
	at := 0
	for range count {
		var k, v string
		if k, at, err = readString(text, at); err != nil {
			return nil, fmt.Errorf("key %d: %w", len(m), err)
		}
		if v, at, err = readString(text, at); err != nil {
			return nil, fmt.Errorf("value of %q: %w", k, err)
		}
		m[k] = v
	}
	return m, nil
}

func readMapHeader(b []byte) (count int, rest []byte, err error) {
	switch c := b[0]; {
	case c >= 0x80 && c <= 0x8f:
		return int(c & 0x0f), b[1:], nil
	case c == 0xde && len(b) >= 3:
		return int(binary.BigEndian.Uint16(b[1:])), b[3:], nil
	case c == 0xdf && len(b) >= 5:
		return int(binary.BigEndian.Uint32(b[1:])), b[5:], nil
	}
	return 0, nil, fmt.Errorf("it is not a map but begins with byte %#x", b[0])
}

var errNotString = errors.New("it is not a string")

// readString reads a string, in any of the forms that writers use, or nil for an empty one.
func readString(s string, at int) (_ string, next int, err error) {
	if at >= len(s) {
		return "", 0, ErrTruncated
	}
	c := s[at]
	at++
	var size, n int
	switch {
	case c == 0xc0:
		return "", at, nil
	case c >= 0xa0 && c <= 0xbf:
		n = int(c & 0x1f)
	case c == 0xd9 || c == 0xc4:
		size = 1
	case c == 0xda || c == 0xc5:
		size = 2
	case c == 0xdb || c == 0xc6:
		size = 4
	default:
		return "", 0, errNotString
	}
	if at+size > len(s) {
		return "", 0, ErrTruncated
	}
	for range size {
		n = n<<8 | int(s[at])
		at++
	}
	if n > len(s)-at {
		return "", 0, ErrTruncated
	}
	return s[at : at+n], at + n, nil
}

func appendMapHeader(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, 0x80|byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 0xde), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdf), uint32(n))
}

// appendString never uses the form with one length byte, which old readers don't know (wire.md §1.4).
func appendString(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, s...)
}
