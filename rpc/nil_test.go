package rpc

import (
	"reflect"
	"testing"

	"github.com/rollcall-id/rollcall/structs"
)

// full returns a value with something in every field but one: of the places where a nil can be, that of the number in
// skip, which counts down, is nil.
func full(t reflect.Type, skip *int, depth int) reflect.Value {
	v := reflect.New(t).Elem()
	here := func() bool {
		*skip--
		return *skip == 0
	}
	switch t.Kind() {
	case reflect.Pointer:
		if depth < 8 && !here() {
			v.Set(reflect.New(t.Elem()))
			v.Elem().Set(full(t.Elem(), skip, depth+1))
		}
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 && !here() {
			v.Set(reflect.MakeSlice(t, 1, 1))
			v.Index(0).Set(full(t.Elem(), skip, depth+1))
		}
	case reflect.Map:
		if !here() {
			v.Set(reflect.MakeMap(t))
			v.SetMapIndex(reflect.ValueOf(nodeID(1)).Convert(t.Key()), full(t.Elem(), skip, depth+1))
		}
	case reflect.String:
		v.SetString(nodeID(1))
	case reflect.Struct:
		if t == reflect.TypeFor[structs.StringMap]() {
			v.Set(reflect.ValueOf(structs.NewStringMap(map[string]string{nodeID(1): nodeID(1)})))
			break
		}
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() {
				v.Field(i).Set(full(f.Type, skip, depth+1))
			}
		}
	case reflect.Int64, reflect.Int, reflect.Int32:
		v.SetInt(1)
	case reflect.Uint64:
		v.SetUint(1)
	}
	return v
}

// TestNoMethodPanicsOverWhatIsMissing calls every method with a full request of which one thing after the other is left
// out, in the name of everybody who may call.
func TestNoMethodPanicsOverWhatIsMissing(t *testing.T) {
	w := newWorld(t)
	identity := w.join(1)
	for name, m := range w.srv.methods {
		for _, token := range []string{"", identity, secretOf(1)} {
			for missing := 0; ; missing++ {
				skip := missing
				v := full(reflect.TypeOf(m.newRequest()).Elem(), &skip, 0)
				if skip > 0 {
					break // fewer places than that
				}
				msg := reflect.New(v.Type())
				msg.Elem().Set(v)
				callWith(t, w, name, missing, msg.Interface().(structs.RPCRequest), token)
			}
		}
	}
}

func callWith(t *testing.T, w *world, name string, missing int, req structs.RPCRequest, token string) {
	t.Helper()
	defer func() {
		if x := recover(); x != nil {
			t.Errorf("%s with place %d missing: panic: %v", name, missing, x)
		}
	}()
	req.SetRegion(region)
	req.SetToken(token)
	switch r := req.(type) { // or nothing else would be looked at
	case *structs.NodeRegisterRequest:
		if r.Node != nil {
			r.Node.SecretID, r.Node.Status, r.Node.NodePool = secretOf(1), structs.NodeStatusInit, "default"
		}
	case *structs.NodeUpdateStatusRequest:
		r.Status = structs.NodeStatusReady
	case *structs.NodePoolUpsertRequest:
		for _, p := range r.NodePools {
			if p != nil {
				p.SchedulerConfiguration, p.NodeIdentityTTL = nil, 0
			}
		}
	}
	body, err := structs.EncodeBytes(req)
	if err != nil {
		t.Fatal(err)
	}
	// Whether it is refused is not the question here.
	_, _ = w.srv.ServeRPC(t.Context(), nil, name, body)
}
