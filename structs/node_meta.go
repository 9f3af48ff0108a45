package structs

import (
	"maps"
	"net/http"
	"slices"
	"unicode"
	"unicode/utf8"
)

// Limits of the metadata that is applied to a running node. It is part of the node's record on every server.
const (
	maxMetaKey   = 128  // bytes of a key
	maxMetaValue = 4096 // bytes of a value
	maxMetaKeys  = 256  // keys that one node may have applied to it
)

// NodeMetaApplyRequest is NodeMeta.Apply. A nil value removes the key, also one that the node's configuration sets.
type NodeMetaApplyRequest struct {
	NodeID string
	Meta   map[string]*string
	QueryOptions
}

// NodeMetaResponse is the reply of NodeMeta.Read and NodeMeta.Apply.
type NodeMetaResponse struct {
	Meta    map[string]string  // what the node registers: Static with Dynamic over it
	Dynamic map[string]*string // applied since; nil hides a key of Static
	Static  map[string]string  // of the node's configuration
}

// MergeNodeMeta returns what a node registers. The result is never nil and shares nothing with its arguments.
func MergeNodeMeta(static map[string]string, dynamic map[string]*string) map[string]string {
	out := make(map[string]string, len(static)+len(dynamic))
	maps.Copy(out, static)
	for k, v := range dynamic { // map order: every key has its own effect
		if v == nil {
			delete(out, k)
		} else {
			out[k] = *v
		}
	}
	return out
}

// ChangeNodeMeta returns dynamic with the changes made to it. A removed key stays, as nil, while static has it.
func ChangeNodeMeta(static map[string]string, dynamic, changes map[string]*string) (map[string]*string, error) {
	out := make(map[string]*string, len(dynamic)+len(changes))
	maps.Copy(out, dynamic)
	for k, v := range changes { // map order: every key has its own effect
		out[k] = v
	}
	maps.DeleteFunc(out, func(k string, v *string) bool {
		_, hides := static[k]
		return v == nil && !hides
	})
	if len(out) > maxMetaKeys {
		return nil, Coded(http.StatusBadRequest, "node metadata: %d keys would be set or removed besides the configuration, the limit is %d; remove some",
			len(out), maxMetaKeys)
	}
	return out, nil
}

// Validate refuses an empty change, keys that can't be written in a command or shown, and what is too large to be
// part of every server's state.
func (r *NodeMetaApplyRequest) Validate() error {
	if len(r.Meta) == 0 {
		return Coded(http.StatusBadRequest, "node metadata: no keys given in Meta")
	}
	if len(r.Meta) > maxMetaKeys {
		return Coded(http.StatusBadRequest, "node metadata: %d keys given, the limit is %d", len(r.Meta), maxMetaKeys)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Meta)) {
		v := r.Meta[k]
		switch {
		case k == "":
			return Coded(http.StatusBadRequest, "node metadata: a key is empty")
		case len(k) > maxMetaKey:
			return Coded(http.StatusBadRequest, "node metadata: a key has %d bytes, the limit is %d", len(k), maxMetaKey)
		case !validMetaKey(k):
			return Coded(http.StatusBadRequest, "node metadata: key %q has characters other than printable ones without space and =", k)
		case v != nil && len(*v) > maxMetaValue:
			return Coded(http.StatusBadRequest, "node metadata: the value of %q has %d bytes, the limit is %d", k, len(*v), maxMetaValue)
		case v != nil && !utf8.ValidString(*v):
			return Coded(http.StatusBadRequest, "node metadata: the value of %q is not UTF-8", k)
		}
	}
	return nil
}

func validMetaKey(k string) bool {
	for _, r := range k {
		if r == utf8.RuneError || r == '=' || unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
