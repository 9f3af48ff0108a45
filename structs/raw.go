package structs

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// Raw is one msgpack value kept exactly as it came. Parts of a record that this system stores but never looks
// into are Raw, so that they survive unchanged whatever version wrote them. An empty Raw is written as nil.
type Raw []byte

var rawNil = []byte{0xc0}

// CodecEncodeSelf writes the value verbatim.
func (r Raw) CodecEncodeSelf(e *codec.Encoder) {
	if len(r) == 0 {
		e.MustEncode(codec.Raw(rawNil))
		return
	}
	e.MustEncode(codec.Raw(r))
}

// CodecDecodeSelf takes a copy of the value; nil becomes empty.
func (r *Raw) CodecDecodeSelf(d *codec.Decoder) {
	var raw codec.Raw
	d.MustDecode(&raw)
	if len(raw) == 0 || bytes.Equal(raw, rawNil) {
		*r = nil
		return
	}
	*r = Raw(cloneBytes(raw))
}

// MarshalJSON writes the value as the public API shows it: times as RFC 3339, Topology.Nodes as numbers.
func (r Raw) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("null"), nil
	}
	var v any
	if err := Decode(r, &v); err != nil {
		return nil, err
	}
	return json.Marshal(jsonValue("", v))
}

// UnmarshalJSON keeps a JSON value in msgpack form.
func (r *Raw) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	if v == nil {
		*r = nil
		return nil
	}
	out, err := EncodeBytes(v)
	if err != nil {
		return err
	}
	*r = out
	return nil
}

// rawTimeKeys are the keys inside opaque values that hold the 15- or 16-byte binary time of wire.md §1.4.
var rawTimeKeys = map[string]bool{"UpdateTime": true, "Timestamp": true, "StartedAt": true, "UpdatedAt": true, "ForceDeadline": true}

// jsonValue turns a generically decoded msgpack value into one that encodes to the API's JSON. key is the map
// key that led here.
func jsonValue(key string, v any) any {
	switch t := v.(type) {
	case map[string]any:
		for k, e := range t {
			t[k] = jsonValue(k, e)
		}
		return t
	case []any:
		for i, e := range t {
			t[i] = jsonValue("", e)
		}
		return t
	case []byte:
		return jsonValue(key, string(t))
	case string:
		if rawTimeKeys[key] && (len(t) == 15 || len(t) == 16) {
			var tm time.Time
			if tm.UnmarshalBinary([]byte(t)) == nil {
				return tm
			}
		}
		if key == "Nodes" {
			ns := make([]int, len(t))
			for i := range t {
				ns[i] = int(t[i])
			}
			return ns
		}
		if !utf8.ValidString(t) {
			return base64.StdEncoding.EncodeToString([]byte(t))
		}
		return t
	}
	return v
}

func cloneBytes(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}
