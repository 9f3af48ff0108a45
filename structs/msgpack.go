package structs

import (
	"encoding/binary"
	"fmt"
)

// What the hand-written codecs of StringMap and Node are made of: single values in the forms that writers of wire.md
// §1.4 use. Readers take a position and return the next; none reads beyond its input.

// text is what strings can be read from: without a copy, parts of a string are strings and parts of a slice are not.
type text interface{ ~string | ~[]byte }

// readMapHeader returns how many entries the map at the start of b has, and where the first begins.
func readMapHeader(b []byte) (count, at int, err error) {
	if len(b) == 0 {
		return 0, 0, ErrTruncated
	}
	switch c := b[0]; {
	case c >= 0x80 && c <= 0x8f:
		return int(c & 0x0f), 1, nil
	case c == 0xde && len(b) >= 3:
		return int(binary.BigEndian.Uint16(b[1:])), 3, nil
	case c == 0xdf && len(b) >= 5:
		return int(binary.BigEndian.Uint32(b[1:])), 5, nil
	case c == 0xde, c == 0xdf:
		return 0, 0, ErrTruncated
	}
	return 0, 0, fmt.Errorf("it is not a map but begins with byte %#x", b[0])
}

// mapHeader is readMapHeader for what is known to begin with one.
func mapHeader(s string) (count, at int) {
	switch c := s[0]; c {
	case 0xde:
		return int(s[1])<<8 | int(s[2]), 3
	case 0xdf:
		return int(s[1])<<24 | int(s[2])<<16 | int(s[3])<<8 | int(s[4]), 5
	default:
		return int(c & 0x0f), 1
	}
}

func appendMapHeader(b []byte, n int) []byte {
	switch mapHeaderLen(n) {
	case 1:
		return append(b, 0x80|byte(n))
	case 3:
		return binary.BigEndian.AppendUint16(append(b, 0xde), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdf), uint32(n))
}

func appendArrayHeader(b []byte, n int) []byte {
	switch mapHeaderLen(n) {
	case 1:
		return append(b, 0x90|byte(n))
	case 3:
		return binary.BigEndian.AppendUint16(append(b, 0xdc), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(n))
}

// mapHeaderLen is the length of the header of a map, or of an array, with n entries.
func mapHeaderLen(n int) int {
	switch {
	case n < 16:
		return 1
	case n < 1<<16:
		return 3
	}
	return 5
}

// readString reads a string, in any of the forms that writers use, or nil for an empty one. It is a copy unless s is
// a string itself.
func readString[T text](s T, at int) (_ string, next int, err error) {
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
	return string(s[at : at+n]), at + n, nil
}

// shortString reads a string only if its length has the shortest form, the one that appendString writes.
func shortString(b []byte, at int) (_ []byte, next int, ok bool) {
	if at >= len(b) {
		return nil, 0, false
	}
	var n int
	switch c := b[at]; {
	case c >= 0xa0 && c <= 0xbf:
		n = int(c & 0x1f)
		at++
	case c == 0xda && at+3 <= len(b):
		n = int(binary.BigEndian.Uint16(b[at+1:]))
		at += 3
		if n < 32 {
			return nil, 0, false
		}
	case c == 0xdb && at+5 <= len(b):
		n = int(binary.BigEndian.Uint32(b[at+1:]))
		at += 5
		if n < 1<<16 {
			return nil, 0, false
		}
	default:
		return nil, 0, false
	}
	if n > len(b)-at {
		return nil, 0, false
	}
	return b[at : at+n], at + n, true
}

// appendString never uses the form with one length byte, which old readers don't know (wire.md §1.4).
func appendString[T text](b []byte, s T) []byte {
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

// readUint reads a number that is not negative, in any integer form.
func readUint(b []byte, at int) (v uint64, next int, ok bool) {
	if at >= len(b) {
		return 0, 0, false
	}
	c := b[at]
	at++
	if c <= 0x7f {
		return uint64(c), at, true
	}
	if c < 0xcc || c > 0xd3 {
		return 0, 0, false
	}
	size := 1 << ((c - 0xcc) & 3)
	if at+size > len(b) {
		return 0, 0, false
	}
	for _, x := range b[at : at+size] {
		v = v<<8 | uint64(x)
	}
	if signed := c >= 0xd0; signed && v>>(8*size-1) != 0 {
		return 0, 0, false
	}
	return v, at + size, true
}

// appendUint writes an unsigned number as the library does (wire.md §1.4).
func appendUint(b []byte, v uint64) []byte {
	switch {
	case v <= 0x7f:
		return append(b, byte(v))
	case v < 1<<8:
		return append(b, 0xcc, byte(v))
	case v < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(v))
	case v < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), v)
}

// appendInt writes a signed number as the library does: in a signed form even when it is positive (wire.md §1.4).
func appendInt(b []byte, v int64) []byte {
	switch {
	case v >= -32 && v <= 0x7f:
		return append(b, byte(v))
	case v >= -1<<7 && v < 1<<7:
		return append(b, 0xd0, byte(v))
	case v >= -1<<15 && v < 1<<15:
		return binary.BigEndian.AppendUint16(append(b, 0xd1), uint16(v))
	case v >= -1<<31 && v < 1<<31:
		return binary.BigEndian.AppendUint32(append(b, 0xd2), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(v))
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xc3)
	}
	return append(b, 0xc2)
}
