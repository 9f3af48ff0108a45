package config

import (
	"reflect"
)

// Reloadable compares the running configuration with one read anew, both normalized. changes names the settings that differ
// and that SIGHUP may change: the log level, the heartbeat settings and the files of certificates. refused names those that differ and need a restart.
// Both are in the order of the configuration's fields.
func Reloadable(running, next *Config) (changes, refused []string) {
	before := leaves(reflect.ValueOf(running).Elem(), "")
	after := leaves(reflect.ValueOf(next).Elem(), "")
	for i, f := range before {
		switch {
		case same(f.value, after[i].value):
		case f.reload:
			changes = append(changes, f.path)
		default:
			refused = append(refused, f.path)
		}
	}
	if !sameKeyrings(running.Keyrings, next.Keyrings) {
		refused = append(refused, "keyring")
	}
	return changes, refused
}

// Reloaded returns a copy of c with the values that SIGHUP may change taken from next and everything else as it is.
func (c *Config) Reloaded(next *Config) *Config {
	merged := c.Copy()
	from := leaves(reflect.ValueOf(next).Elem(), "")
	for i, f := range leaves(reflect.ValueOf(merged).Elem(), "") {
		if !f.reload {
			continue
		}
		f.value.Set(from[i].value)
		delete(merged.origin, f.path)
		if pos, ok := next.origin[f.path]; ok {
			merged.origin[f.path] = pos
		}
	}
	return merged
}

// same compares two settings; an empty list or map equals a missing one.
func same(a, b reflect.Value) bool {
	if a.Kind() == reflect.Slice || a.Kind() == reflect.Map {
		if a.Len() == 0 && b.Len() == 0 {
			return true
		}
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// sameKeyrings compares keyring blocks wherever they stand.
func sameKeyrings(a, b []Keyring) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		x.pos, y.pos = Pos{}, Pos{}
		if !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}
