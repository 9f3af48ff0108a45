package config

import (
	"reflect"
	"time"
)

// hidden stands for a secret that is set.
const hidden = "<redacted>"

// Redacted returns the configuration for GET /v1/agent/self, ready for encoding/json: keys are Go field names (Region,
// Server.Enabled, Client.NodePool), durations integer nanoseconds, missing lists and maps empty ones. Secrets that are set
// show as "<redacted>", unset ones as "". It shares nothing with c.
func (c *Config) Redacted() map[string]any {
	view := redactBlock(reflect.ValueOf(c).Elem())
	view["DevMode"] = c.DevMode
	view["Files"] = append([]string{}, c.Files...)
	view["Listen"] = map[string]any{"HTTP": append([]string{}, c.Listen.HTTP...), "RPC": c.Listen.RPC, "Serf": c.Listen.Serf, "Public": c.Listen.Public}
	view["Published"] = map[string]any{"HTTP": c.Published.HTTP, "RPC": c.Published.RPC, "Serf": c.Published.Serf}
	keyrings := make([]any, len(c.Keyrings))
	for i, k := range c.Keyrings {
		options := make(map[string]any, len(k.Options))
		for name := range k.Options {
			options[name] = hidden
		}
		keyrings[i] = map[string]any{"Provider": k.Provider, "Name": k.Name, "Active": k.Active, "KEKFile": k.KEKFile, "KEKCredential": k.KEKCredential, "Options": options}
	}
	view["Keyrings"] = keyrings
	return view
}

func redactBlock(v reflect.Value) map[string]any {
	view := make(map[string]any, v.NumField())
	fields := fieldsOf(v, "")
	n := 0
	for i := range v.NumField() {
		if _, ok := v.Type().Field(i).Tag.Lookup("cfg"); !ok {
			continue
		}
		view[v.Type().Field(i).Name] = redactField(fields[n])
		n++
	}
	return view
}

func redactField(f field) any {
	if f.isBlock() {
		return redactBlock(f.value)
	}
	switch x := f.value.Interface().(type) {
	case string:
		if f.secret && x != "" {
			return hidden
		}
		return x
	case time.Duration:
		return x.Nanoseconds()
	case []string:
		return append([]string{}, x...)
	case map[string]string:
		view := make(map[string]any, len(x))
		for name, value := range x {
			view[name] = value
		}
		return view
	default:
		return x
	}
}
