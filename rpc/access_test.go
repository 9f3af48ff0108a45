package rpc

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rollcall-id/rollcall/acl"
	"github.com/rollcall-id/rollcall/structs"
)

// A server with a method that nobody has said anything about does not start.
func TestMistakesInTheMethodTableStopTheServer(t *testing.T) {
	act := func(*Call, *structs.GenericRequest, *structs.Empty) error { return nil }
	stream := func(*Call, *structs.GenericRequest, *stream) error { return nil }
	for name, tc := range map[string]struct {
		register func(s *Server)
		want     string
	}{
		"a method that is there twice":         {func(s *Server) { handle(s, Spec{Name: "Status.Ping"}, act) }, "Status.Ping is registered twice"},
		"a method without a row":               {func(s *Server) { handle(s, Spec{Name: "Test.New"}, act) }, "method Test.New has no row in the access table"},
		"a streaming method without a row":     {func(s *Server) { handleStream(s, Spec{Name: "Test.New"}, stream, nil) }, "method Test.New has no row in the access table"},
		"a row that has no method":             {func(s *Server) { delete(s.methods, "Node.List"); s.checkAccessTable() }, "a row for Node.List, which is no method"},
		"a row of a streaming one that has no": {func(s *Server) { delete(s.streams, "Operator.SnapshotSave"); s.checkAccessTable() }, "a row for Operator.SnapshotSave, which is no method"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			defer func() {
				if r := fmt.Sprint(recover()); !strings.Contains(r, tc.want) {
					t.Errorf("recovered %q, want one with %q", r, tc.want)
				}
			}()
			tc.register(w.srv)
		})
	}
}

func TestRowsThatSayTooLittle(t *testing.T) {
	for name, tc := range map[string]struct {
		access Access
		req    any
		want   string
	}{
		"the zero value":                    {Access{}, &structs.GenericRequest{}, "does not say who may call it"},
		"an operator who needs nothing":     {Access{By: ByOperator}, &structs.GenericRequest{}, "must say what an operator needs"},
		"needs of nobody":                   {Access{By: ByNode, Needs: []acl.Capability{acl.NodeRead}}, &structs.NodeSpecificRequest{}, "must say what an operator needs"},
		"a node of which nothing is known":  {Access{By: ByNode}, &structs.GenericRequest{}, "is about nodes, and a *structs.GenericRequest does not tell which"},
		"a pool of which nothing is known":  {read(acl.PoolRead), &structs.GenericRequest{}, "is about node pools, and a *structs.GenericRequest does not tell which"},
		"a list that is filtered afterward": {Access{By: ByOperator, Needs: []acl.Capability{acl.PoolRead}, Filtered: true}, &structs.NodePoolListRequest{}, ""},
		"a pool that the request names":     {read(acl.PoolRead), &structs.NodePoolSpecificRequest{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.access.problem(tc.req); !strings.HasPrefix(got, tc.want) || tc.want == "" && got != "" {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
