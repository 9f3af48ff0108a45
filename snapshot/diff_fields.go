package snapshot

import (
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rollcall-id/rollcall/structs"
)

// maxShownBytes is the longest value that a FieldChange shows.
const maxShownBytes = 128

// FieldChange is a field that is not the same in both records. Values are shown if they are short and not secret.
type FieldChange struct {
	Name     string // of maps, the key after a dot: Attributes.os.name
	From, To string `json:",omitempty"`
}

// secretFields are never shown.
var secretFields = map[string]bool{"SecretID": true, "SecretHash": true, "WrappedKeys": true}

// durationFields hold nanoseconds.
var durationFields = map[string]bool{
	"NodeIdentityTTL": true, "IdentityTTL": true, "ServerStabilizationTime": true, "LastContactThreshold": true,
}

// compareFields returns the fields that differ, by name.
func compareFields(t structs.RecordType, a, b []byte) ([]FieldChange, error) {
	from, err := flatFields(t, a)
	if err != nil {
		return nil, err
	}
	to, err := flatFields(t, b)
	if err != nil {
		return nil, err
	}
	var list []FieldChange
	add := func(name string) {
		if !reflect.DeepEqual(from[name], to[name]) {
			list = append(list, FieldChange{name, show(name, from[name]), show(name, to[name])})
		}
	}
	for name := range from {
		add(name)
	}
	for name := range to {
		if _, both := from[name]; !both {
			add(name)
		}
	}
	slices.SortFunc(list, func(x, y FieldChange) int { return strings.Compare(x.Name, y.Name) })
	return list, nil
}

// flatFields decodes a record into its fields, those of maps in it by themselves, without the empty ones.
func flatFields(t structs.RecordType, raw []byte) (map[string]any, error) {
	var record map[string]any
	if err := structs.Decode(raw, &record); err != nil {
		return nil, err
	}
	if secret, ok := record["SecretID"].(string); ok && t == structs.NodeRecord && secret != "" {
		record["SecretHash"], record["SecretID"] = string(structs.HashSecret(secret)), ""
	}
	flat := map[string]any{}
	for name, v := range record {
		inner, ok := v.(map[string]any)
		if !ok {
			put(flat, name, v)
			continue
		}
		for key, v := range inner {
			put(flat, name+"."+key, v)
		}
	}
	return flat, nil
}

// put leaves out what is empty, as records of versions without the field do.
func put(flat map[string]any, name string, v any) {
	switch v = canonical(v); v := v.(type) {
	case nil:
		return
	case map[string]any:
		if len(v) == 0 {
			return
		}
	case []any:
		if len(v) == 0 {
			return
		}
	default:
		if reflect.ValueOf(v).IsZero() {
			return
		}
	}
	flat[name] = v
}

// canonical makes equal what msgpack can write in several ways: integers, and strings as bytes.
func canonical(v any) any {
	switch v := v.(type) {
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v)
		}
	case []byte:
		return string(v)
	case map[string]any:
		for key, e := range v {
			v[key] = canonical(e)
		}
	case []any:
		for i, e := range v {
			v[i] = canonical(e)
		}
	}
	return v
}

// show returns a value for people, or nothing.
func show(name string, v any) string {
	if root, _, _ := strings.Cut(name, "."); secretFields[root] {
		return ""
	}
	switch v := v.(type) {
	case nil, map[string]any, []any:
		return ""
	case int64:
		if durationFields[name] {
			return time.Duration(v).String()
		}
	case string:
		if !utf8.ValidString(v) {
			return clip(hex.EncodeToString([]byte(v)))
		}
	}
	return clip(fmt.Sprint(v))
}

func clip(s string) string {
	if len(s) <= maxShownBytes {
		return s
	}
	return strings.ToValidUTF8(s[:maxShownBytes], "") + "..."
}
