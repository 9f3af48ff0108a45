package structs

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// Rest are the entries of a record that this version has no field for, one after the other as they came, sorted by
// key. They are written back with the record, so that a newer version, or another product, loses nothing here.
type Rest []byte

// decodeRest decodes a record into plain, a pointer to a struct without codec methods, and returns what is left.
func decodeRest(d *codec.Decoder, plain any) Rest {
	var raw codec.Raw
	d.MustDecode(&raw)
	if len(raw) == 0 || raw[0] == 0xc0 {
		return nil
	}
	rest, err := splitRest(raw, plain)
	if err != nil {
		panic(err) // the codec's way to fail; Decode returns it
	}
	return rest
}

func splitRest(raw []byte, plain any) (Rest, error) {
	if err := Decode(raw, plain); err != nil {
		return nil, err
	}
	var entries map[string]Raw
	if err := Decode(raw, &entries); err != nil {
		return nil, err
	}
	known := wireNames(reflect.TypeOf(plain).Elem())
	var rest Rest
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		if known[key] {
			continue
		}
		value := entries[key]
		if len(value) == 0 {
			value = rawNil
		}
		rest = append(appendString(rest, key), value...)
	}
	return rest, nil
}

// encodeRest writes plain with the entries of rest after its own.
func encodeRest(e *codec.Encoder, plain any, rest Rest) {
	out, err := EncodeBytes(plain)
	if err != nil {
		panic(err)
	}
	if len(rest) > 0 {
		count, at, err := readMapHeader(out)
		if err != nil {
			panic(fmt.Errorf("encode %T: %w", plain, err))
		}
		more, err := countEntries(rest)
		if err != nil {
			panic(fmt.Errorf("encode %T: %w", plain, err))
		}
		out = slices.Concat(appendMapHeader(nil, count+more), out[at:], rest)
	}
	e.MustEncode(codec.Raw(out))
}

// countEntries counts keys and values that follow each other.
func countEntries(rest Rest) (entries int, err error) {
	values := 0
	for b := []byte(rest); len(b) > 0; values++ {
		n, err := CheckMsgpack(b, Limits{})
		if err != nil {
			return 0, err
		}
		b = b[n:]
	}
	return values / 2, nil
}

var wireNamesOf sync.Map // reflect.Type to map[string]bool

// wireNames are the keys that a struct's fields have in msgpack.
func wireNames(t reflect.Type) map[string]bool {
	if names, ok := wireNamesOf.Load(t); ok {
		return names.(map[string]bool)
	}
	names := map[string]bool{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("codec"), ",")
		switch {
		case tag == "-" || !f.IsExported():
		case f.Anonymous:
			maps.Copy(names, wireNames(f.Type))
		case tag != "":
			names[tag] = true
		default:
			names[f.Name] = true
		}
	}
	wireNamesOf.Store(t, names)
	return names
}
