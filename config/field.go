package config

import (
	"reflect"
	"slices"
	"strings"
)

// field is one setting or block of the configuration: its dotted name, its value and what its tag says.
type field struct {
	path   string
	value  reflect.Value
	secret bool
	reload bool
	comma  bool
}

// fieldsOf lists the settings and blocks of one struct in the order they are declared. path is the struct's own name,
// empty at the top.
func fieldsOf(v reflect.Value, path string) []field {
	fields := make([]field, 0, v.NumField())
	for i := range v.NumField() {
		tag, ok := v.Type().Field(i).Tag.Lookup("cfg")
		if !ok {
			continue
		}
		options := strings.Split(tag, ",")
		fields = append(fields, field{
			path:   join(path, options[0]),
			value:  v.Field(i),
			secret: slices.Contains(options[1:], "secret"),
			reload: slices.Contains(options[1:], "reload"),
			comma:  slices.Contains(options[1:], "comma"),
		})
	}
	return fields
}

func (f field) name() string {
	return f.path[strings.LastIndexByte(f.path, '.')+1:]
}

func (f field) isBlock() bool {
	return f.value.Kind() == reflect.Struct
}

// leaves lists every setting below v, blocks opened.
func leaves(v reflect.Value, path string) []field {
	var all []field
	for _, f := range fieldsOf(v, path) {
		if f.isBlock() {
			all = append(all, leaves(f.value, f.path)...)
		} else {
			all = append(all, f)
		}
	}
	return all
}

// lookup finds a setting or block by its dotted name.
func (c *Config) lookup(path string) (field, bool) {
	v, prefix := reflect.ValueOf(c).Elem(), ""
	for {
		i := slices.IndexFunc(fieldsOf(v, prefix), func(f field) bool {
			return f.path == path || strings.HasPrefix(path, f.path+".")
		})
		if i < 0 {
			return field{}, false
		}
		f := fieldsOf(v, prefix)[i]
		if f.path == path {
			return f, true
		}
		if !f.isBlock() {
			return field{}, false
		}
		v, prefix = f.value, f.path
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
