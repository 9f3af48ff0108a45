package client

import (
	"testing"

	"github.com/rollcall-id/rollcall/structs"
)

func FuzzWhatServersAsk(f *testing.F) {
	seed := func(method string, req any) {
		body, err := structs.EncodeBytes(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(method, body)
	}
	for service, methods := range reverseMethods {
		for name := range methods {
			seed(service+"."+name, &structs.NodeSpecificRequest{NodeID: testNode})
		}
	}
	seed("NodeMeta.Apply", &structs.NodeMetaApplyRequest{NodeID: testNode, Meta: map[string]*string{"a": new("b"), "c": nil}})
	seed("NodeMeta.Apply", map[string]any{"NodeID": testNode, "Meta": map[string]any{"a": 1}})
	f.Fuzz(func(t *testing.T, method string, body []byte) {
		c := newTestClient(t, newFakeCluster("s1:4647"), new(memStore), nil)
		defer c.Shutdown()
		reply, err := reverse{c}.ServeRPC(t.Context(), nil, method, body)
		if (reply == nil) == (err == nil) {
			t.Errorf("%s: answered %v with error %v", method, reply, err)
		}
		if _, err := structs.EncodeBytes(c.Node()); err != nil {
			t.Errorf("the node can't register any more: %v", err)
		}
	})
}
