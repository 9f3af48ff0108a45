package snapshot

import (
	"encoding/binary"
	"errors"
	"iter"

	"github.com/rollcall-id/rollcall/structs"
)

// errNoMap: a record that has fields is something else.
var errNoMap = errors.New("the record is not a map with fields")

// field is one key of a record and its value, both as they are in the stream.
type field struct {
	name string
	key  []byte
	raw  []byte
}

// fields yields the fields of a record's value, which must be whole. It yields an error, last, if the value is no map.
func fields(raw []byte) iter.Seq2[field, error] {
	return func(yield func(field, error) bool) {
		n, rest, ok := mapHeader(raw)
		if !ok {
			yield(field{}, errNoMap)
			return
		}
		for range n {
			var f field
			var err error
			if f.key, rest, err = cutValue(rest); err == nil {
				f.raw, rest, err = cutValue(rest)
			}
			if err != nil {
				yield(field{}, err)
				return
			}
			f.name, _ = rawString(f.key)
			if !yield(f, nil) {
				return
			}
		}
	}
}

// mapHeader returns how many fields a map has, and what follows its header.
func mapHeader(raw []byte) (n uint32, rest []byte, ok bool) {
	switch {
	case len(raw) >= 1 && raw[0]&0xf0 == 0x80:
		return uint32(raw[0] & 0x0f), raw[1:], true
	case len(raw) >= 3 && raw[0] == 0xde:
		return uint32(binary.BigEndian.Uint16(raw[1:])), raw[3:], true
	case len(raw) >= 5 && raw[0] == 0xdf:
		return binary.BigEndian.Uint32(raw[1:]), raw[5:], true
	}
	return 0, nil, false
}

func cutValue(raw []byte) (value, rest []byte, err error) {
	n, err := structs.CheckMsgpack(raw, structs.Limits{})
	if err != nil {
		return nil, nil, err
	}
	return raw[:n], raw[n:], nil
}

// rawString returns a string, in any of the forms that msgpack has for strings and bytes.
func rawString(raw []byte) (string, bool) {
	head := 0
	switch c := raw[0]; {
	case c >= 0xa0 && c <= 0xbf:
		head = 1
	case c == 0xd9 || c == 0xc4:
		head = 2
	case c == 0xda || c == 0xc5:
		head = 3
	case c == 0xdb || c == 0xc6:
		head = 5
	default:
		return "", false
	}
	return string(raw[head:]), true
}

// fieldString returns a field that is a string; empty if there is none.
func fieldString(raw []byte, name string) (string, error) {
	for f, err := range fields(raw) {
		if err != nil {
			return "", err
		}
		if f.name == name {
			s, _ := rawString(f.raw)
			return s, nil
		}
	}
	return "", nil
}
