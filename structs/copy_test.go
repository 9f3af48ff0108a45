package structs

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fill sets every field that can be reached to something that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 2).UTC()))
			return
		}
		if v.Type() == reflect.TypeFor[StringMap]() {
			v.Set(reflect.ValueOf(NewStringMap(map[string]string{"x": "x"})))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 4))
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(3)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(4)
	default:
		panic("no rule to fill a " + v.Type().String())
	}
}

// shared lists the paths at which a and b refer to the same memory.
func shared(path string, a, b reflect.Value) []string {
	var out []string
	switch a.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if a.IsNil() {
			return []string{path + " is not filled"}
		}
		if a.Pointer() == b.Pointer() {
			return []string{path}
		}
	}
	switch a.Kind() {
	case reflect.Pointer:
		out = shared(path, a.Elem(), b.Elem())
	case reflect.Struct:
		if a.Type() == reflect.TypeFor[time.Time]() {
			return nil // never changed in place
		}
		for i := range a.NumField() {
			out = append(out, shared(path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))...)
		}
	case reflect.Slice:
		for i := range a.Len() {
			out = append(out, shared(fmt.Sprintf("%s[%d]", path, i), a.Index(i), b.Index(i))...)
		}
	case reflect.Map:
		for _, k := range a.MapKeys() {
			out = append(out, shared(fmt.Sprintf("%s[%v]", path, k), a.MapIndex(k), b.MapIndex(k))...)
		}
	}
	return out
}

func checkCopy[T any](t *testing.T, cp func(*T) *T) {
	t.Run(reflect.TypeFor[T]().Name(), func(t *testing.T) {
		v := new(T)
		fill(reflect.ValueOf(v).Elem())
		c := cp(v)
		if diff := cmp.Diff(v, c); diff != "" {
			t.Errorf("the copy differs (-original +copy):\n%s", diff)
		}
		if s := shared("", reflect.ValueOf(v), reflect.ValueOf(c)); len(s) > 0 {
			t.Errorf("the copy shares memory at %q", s)
		}
		if cp(nil) != nil {
			t.Error("the copy of nil is not nil")
		}
		if diff := cmp.Diff(new(T), cp(new(T))); diff != "" {
			t.Errorf("the copy of an empty value is not empty:\n%s", diff)
		}
	})
}

func TestCopySharesNothing(t *testing.T) {
	checkCopy(t, (*Node).Copy)
	checkCopy(t, (*NodePool).Copy)
	checkCopy(t, (*RootKey).Copy)
	checkCopy(t, (*Namespace).Copy)
	checkCopy(t, (*ACLToken).Copy)
	checkCopy(t, (*ACLPolicy).Copy)
	checkCopy(t, (*ACLRole).Copy)
	checkCopy(t, (*OneTimeToken).Copy)
}

// TestSharedIsFound makes sure that the test above can fail.
func TestSharedIsFound(t *testing.T) {
	n := new(Node)
	fill(reflect.ValueOf(n).Elem())
	c := n.Copy()
	c.LastDrain.Meta = n.LastDrain.Meta
	c.Drivers = n.Drivers
	got := shared("", reflect.ValueOf(n), reflect.ValueOf(c))
	if diff := cmp.Diff([]string{".Drivers", ".LastDrain.Meta"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
