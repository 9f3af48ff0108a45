package wire

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Map is a struct or a map on the wire.
type Map = map[string]any

// Append appends the value as peers write it: strings without str8, signed numbers signed even when they are positive, times
// as 15 bytes. It panics on a type that has no form: a mistake in a script.
func Append(b []byte, v any) []byte {
	switch t := v.(type) {
	case nil:
		return append(b, 0xc0)
	case bool:
		if t {
			return append(b, 0xc3)
		}
		return append(b, 0xc2)
	case int:
		return appendSigned(b, int64(t))
	case int64:
		return appendSigned(b, t)
	case time.Duration:
		return appendSigned(b, int64(t))
	case uint64:
		return appendUnsigned(b, t)
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 0xcb), math.Float64bits(t))
	case string:
		return append(appendLength(b, len(t), 0xa0, 32, 0xda), t...)
	case []byte:
		if t == nil {
			return append(b, 0xc0)
		}
		return append(appendLength(b, len(t), 0xa0, 32, 0xda), t...)
	case time.Time:
		raw, err := t.MarshalBinary()
		if err != nil {
			panic(err)
		}
		return Append(b, raw)
	case []string:
		b = appendLength(b, len(t), 0x90, 16, 0xdc)
		for _, e := range t {
			b = Append(b, e)
		}
		return b
	case []any:
		b = appendLength(b, len(t), 0x90, 16, 0xdc)
		for _, e := range t {
			b = Append(b, e)
		}
		return b
	case map[string]string:
		b = appendLength(b, len(t), 0x80, 16, 0xde)
		for _, k := range slices.Sorted(maps.Keys(t)) {
			b = Append(Append(b, k), t[k])
		}
		return b
	case Map:
		b = appendLength(b, len(t), 0x80, 16, 0xde)
		for _, k := range slices.Sorted(maps.Keys(t)) {
			b = Append(Append(b, k), t[k])
		}
		return b
	}
	panic(fmt.Sprintf("wire: a %T has no form in msgpack here", v))
}

func appendSigned(b []byte, n int64) []byte {
	switch {
	case n >= -32 && n <= 127:
		return append(b, byte(n))
	case n == int64(int8(n)):
		return append(b, 0xd0, byte(n))
	case n == int64(int16(n)):
		return binary.BigEndian.AppendUint16(append(b, 0xd1), uint16(n))
	case n == int64(int32(n)):
		return binary.BigEndian.AppendUint32(append(b, 0xd2), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(n))
}

func appendUnsigned(b []byte, n uint64) []byte {
	switch {
	case n <= 127:
		return append(b, byte(n))
	case n <= math.MaxUint8:
		return append(b, 0xcc, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), n)
}

// appendLength writes the head of a value with parts: in one byte below small, else in 3 or 5.
func appendLength(b []byte, n int, one byte, small int, three byte) []byte {
	switch {
	case n < small:
		return append(b, one|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, three), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, three+1), uint32(n))
}
