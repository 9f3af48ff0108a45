package rpc

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func TestMetadataIsChangedByTheNodeItself(t *testing.T) {
	w := newWorld(t)
	a := startAgent(t)
	a.join(t, w.listen(), 1)
	changes := map[string]*string{"disk": new("new"), "gone": nil}
	req := &structs.NodeMetaApplyRequest{NodeID: nodeID(1), Meta: changes, QueryOptions: query("")}
	reply := must(call[structs.NodeMetaResponse](w, "NodeMeta.Apply", req))(t)
	if diff := cmp.Diff(changes, reply.Dynamic); diff != "" {
		t.Errorf("what the node was sent and answered: -want +got:\n%s", diff)
	}
	seen := len(a.seen)
	for _, tc := range []struct {
		name string
		meta map[string]*string
	}{
		{"nothing to change", nil},
		{"an empty key", map[string]*string{"": new("x")}},
		{"a key with a line break", map[string]*string{"a\nb": new("x")}},
		{"a key that is not UTF-8", map[string]*string{"\xff": new("x")}},
		{"a long key", map[string]*string{strings.Repeat("k", 129): new("x")}},
		{"a value that is not UTF-8", map[string]*string{"a": new("\xff")}},
	} {
		req.Meta = tc.meta
		_, err := call[structs.NodeMetaResponse](w, "NodeMeta.Apply", req)
		if code, _ := structs.HTTPStatus(err); err == nil || code != 400 {
			t.Errorf("%s: %v, want an error coded 400", tc.name, err)
		}
	}
	if len(a.seen) != seen {
		t.Error("the node was sent a change that is refused")
	}
}

func TestWhatANewerNodeTellsOfItsMachineIsHandedOn(t *testing.T) {
	w := newWorld(t)
	a := startAgent(t)
	a.join(t, w.listen(), 1)
	reply := must(call[structs.ClientStatsResponse](w, "ClientStats.Stats", specific("")))(t)
	var got map[string]any
	if err := structs.Decode(reply.HostStats, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"Uptime": int64(7), "Newer": "x"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
