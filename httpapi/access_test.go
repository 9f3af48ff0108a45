package httpapi

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-id/rollcall/acl"
	"github.com/rollcall-id/rollcall/structs"
)

func TestRoutesThatDoNotSayWhoMayUseThem(t *testing.T) {
	for name, tc := range map[string]struct {
		access access
		want   string
	}{
		"nothing said":               {access{}, "does not say who may use it"},
		"public and more":            {access{public: true, needs: acl.AgentRead}, "is public and asks for something"},
		"a method without a row":     {via("Node.List", "Node.Explode"), "comes down to Node.Explode, which has no row"},
		"the agent's own":            {here(acl.AgentRead), ""},
		"a method, or the agent own": {via("Node.List").orHere(acl.AgentRead), ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := route{get, "/v1/test", getLicense, tc.access}
			err := r.check()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// recorder is an RPC that remembers every method that was asked for.
type recorder struct {
	fakeRPC
	asked []string
}

func (r *recorder) RPC(ctx context.Context, method string, args, reply any) error {
	r.asked = append(r.asked, method)
	return r.fakeRPC.RPC(ctx, method, args, reply)
}

func (r *recorder) Stream(ctx context.Context, method string) (net.Conn, error) {
	r.asked = append(r.asked, method)
	return r.fakeRPC.Stream(ctx, method)
}

// A route asks for nothing but the methods in its line: it is by them that the documents say who may use it.
func TestRoutesComeDownToTheMethodsInTheirLine(t *testing.T) {
	reached := map[string]bool{}
	for _, tc := range append(slices.Clone(routeCases),
		routeCase{method: "GET", path: "/.well-known/jwks.json"}, routeCase{method: "GET", path: "/.well-known/openid-configuration"},
		routeCase{method: "GET", path: "/v1/agent/host"}, routeCase{method: "GET", path: "/v1/agent/pprof/heap"},
		routeCase{method: "GET", path: "/v1/event/stream"}, routeCase{method: "GET", path: "/v1/agent/monitor"}) {
		rec := &recorder{fakeRPC: fakeRPC{answer: map[string]any{tc.rpc: tc.reply}}}
		api, err := New(Config{Region: "global"}, rec, &fakeServer{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		do(api, tc.method, tc.path, tc.body)
		r := routeOf(t, tc.method, tc.path)
		for _, m := range rec.asked {
			reached[m] = true
			if !slices.Contains(r.access.methods, m) && !r.access.public {
				t.Errorf("%s %s asks for %s, and its line has %v", tc.method, tc.path, m, r.access.methods)
			}
		}
	}
	for _, r := range routeTable {
		for _, m := range r.access.methods {
			if !reached[m] && !strings.HasPrefix(m, "Operator.Snapshot") { // streams, which this RPC does not have
				t.Errorf("%s %s says that it asks for %s, and no test has seen it", r.methods, r.pattern, m)
			}
		}
	}
}

// An agent that answers by itself asks for a token as a server would.
func TestAnAgentThatAnswersByItselfAsksForAToken(t *testing.T) {
	refuses := &fakeRPC{answer: map[string]any{"ACL.WhoAmI": structs.ErrPermissionDenied}}
	api := newAPI(t, refuses, nil, &fakeClient{}, func(c *Config) { c.ACL.Enabled, c.EnableDebug = true, true })
	for _, r := range routeTable {
		if r.access.needs == "" {
			continue
		}
		refuses.method = ""
		path := strings.ReplaceAll(r.pattern, "{kind}", "heap")
		if w := do(api, r.methods[0], path, `{"Meta":{"a":"b"}}`); w.Code != 403 || refuses.method != "ACL.WhoAmI" {
			t.Errorf("%s %s: answered %d %.80s after asking %q", r.methods, path, w.Code, w.Body, refuses.method)
		}
	}
}

func routeOf(t *testing.T, method, path string) *route {
	t.Helper()
	path, _, _ = strings.Cut(path, "?")
	segments := strings.Split(path, "/")
	var found *route
	literals := -1
	for i := range routeTable {
		r := &routeTable[i]
		pattern := strings.Split(r.pattern, "/")
		if !slices.Contains(r.methods, method) || len(pattern) != len(segments) {
			continue
		}
		same, n := true, 0
		for j, s := range pattern {
			if s == segments[j] {
				n++
			} else if !strings.HasPrefix(s, "{") {
				same = false
			}
		}
		if same && n > literals { // the literal segment wins
			found, literals = r, n
		}
	}
	if found == nil {
		t.Fatalf("%s %s is no route", method, path)
	}
	return found
}
