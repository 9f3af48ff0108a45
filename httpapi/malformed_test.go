package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rollcall-id/rollcall/structs"
)

// malformed are values that no parameter of the name takes.
var malformed = []struct{ query, text string }{
	{"stale=maybe", "Invalid value for stale: want true or false"},
	{"reverse=backwards", "Invalid value for reverse: want true or false"},
	{"index=-1", "Invalid index"},
	{"index=18446744073709551616", "Invalid index"},
	{"wait=5", "Invalid wait time"},
	{"wait=-5s", "Invalid wait time"},
	{"per_page=some", "Invalid per_page: want a whole number, 0 for no limit"},
	{"per_page=-1", "Invalid per_page: want a whole number, 0 for no limit"},
	{"per_page=4294967296", "Invalid per_page: want a whole number, 0 for no limit"},
}

// samplePath fills in a pattern.
func samplePath(pattern string) string {
	return strings.NewReplacer("{id}", nodeID, "{name}", "edge", "{kind}", "heap").Replace(pattern)
}

// sampleBody is one that the route takes.
func sampleBody(method, pattern string) string {
	for _, tc := range routeCases {
		path, _, _ := strings.Cut(tc.path, "?")
		if tc.method == method && tc.body != "" && tc.code < 400 && path == samplePath(pattern) {
			return tc.body
		}
	}
	return `{"Name":"edge"}`
}

// everyRoute calls f for every method of every route.
func everyRoute(t *testing.T, f func(t *testing.T, method, pattern string)) {
	for _, r := range routeTable {
		for _, m := range r.methods {
			t.Run(m+" "+r.pattern, func(t *testing.T) { f(t, m, r.pattern) })
		}
	}
}

// streams are the routes that are no single RPC; servers of these tests have none to offer.
var streams = map[string]bool{"/v1/operator/snapshot": true, "/v1/event/stream": true, "/v1/agent/monitor": true}

// newPlainAPI is one whose parts all answer, with nothing.
func newPlainAPI(t *testing.T) (*HTTPServer, *fakeRPC) {
	rpc := &fakeRPC{}
	return newAPI(t, rpc, &fakeServer{}, nil), rpc
}

// Whatever reads the options of a query refuses what they can't be, before anything is asked of a server.
func TestMalformedOptionsOnEveryRoute(t *testing.T) {
	reads := 0
	everyRoute(t, func(t *testing.T, method, pattern string) {
		api, rpc := newPlainAPI(t)
		path, body := samplePath(pattern), sampleBody(method, pattern)
		plain := do(api, method, path, body)
		_, takesOptions := rpc.args.(interface{ Query() *structs.QueryOptions })
		switch {
		case pattern == "/v1/agent/health": // whose question is its own, and whose answer is 500 while there is no leader
			return
		case pattern == "/v1/agent/self" || pattern == "/v1/metrics": // which may be about another agent
			takesOptions = true
		case streams[pattern] && method != http.MethodPut && method != http.MethodPost:
			takesOptions = true
		}
		for _, bad := range malformed {
			api, rpc := newPlainAPI(t)
			w := do(api, method, path+"?"+bad.query, body)
			checkAnswer(t, w)
			if !takesOptions {
				if w.Code != plain.Code {
					t.Errorf("%s: answered %d %s, without it %d", bad.query, w.Code, w.Body, plain.Code)
				}
				continue
			}
			reads++
			if got := w.Body.String(); w.Code != 400 || method != http.MethodHead && got != bad.text {
				t.Errorf("%s: answered %d %q, want 400 %q", bad.query, w.Code, got, bad.text)
			}
			if rpc.calls != 0 {
				t.Errorf("%s: %s was called all the same", bad.query, rpc.method)
			}
		}
		for _, bad := range []string{"a=%zz", "region=%00", "region=eu%0a", "region=e%20u", "region=" + strings.Repeat("a", 129)} {
			api, rpc := newPlainAPI(t)
			if w := do(api, method, path+"?"+bad, body); w.Code != 400 || rpc.calls != 0 {
				t.Errorf("%.20s: answered %d %s", bad, w.Code, w.Body)
			}
		}
	})
	if reads < 300 {
		t.Errorf("%d refusals were seen; do requests still tell their options by Query?", reads)
	}
}

// A body that is read must be JSON of the right shape and of a bearable size.
func TestMalformedBodiesOnEveryRoute(t *testing.T) {
	bodies := map[string]string{
		"half an object": `{"Name":`, "an array": `[1]`, "null": `null`, "a word": `"x"`, "no JSON": "\x00\xff{",
		"two objects": `{}{}`, "deep": strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100),
		"huge":        `{"a":"` + strings.Repeat("x", maxBody) + `"}`,
		"wrong types": `{"Name":1,"NodeID":[],"Prefix":{},"Text":1,"Context":2,"DrainSpec":"x","Eligibility":{},"SchedulerAlgorithm":[],"LastContactThreshold":[],"num_schedulers":"x","TTL":[],"BootstrapSecret":1,"OneTimeSecretID":{}}`,
	}
	decoders := 0
	everyRoute(t, func(t *testing.T, method, pattern string) {
		if method != http.MethodPut && method != http.MethodPost || pattern == "/v1/operator/snapshot" { // whose body is no JSON
			return
		}
		api, _ := newPlainAPI(t)
		path := samplePath(pattern)
		if w := do(api, method, path, `{"Name":`); !strings.HasPrefix(w.Body.String(), "Request body") {
			return // it has nothing to say about a body
		}
		decoders++
		for name, body := range bodies {
			api, rpc := newPlainAPI(t)
			w := do(api, method, path, body)
			code := 400
			if name == "huge" {
				code = 413
			}
			if w.Code != code || w.Header().Get("Content-Type") != textType || strings.Contains(w.Body.String(), "\n") {
				t.Errorf("%s: answered %d %q, want %d and one line of text", name, w.Code, w.Body, code)
			}
			if rpc.calls != 0 {
				t.Errorf("%s: %s was called all the same", name, rpc.method)
			}
		}
	})
	if decoders < 15 {
		t.Errorf("%d routes read a body, want 15 at least", decoders)
	}
}

// IDs are the callers': none of them may do more than not be found.
func TestOddNamesOnEveryRoute(t *testing.T) {
	odd := []string{"%2e%2e", "%00", "a%2Fb", "%ff", "%20", "%0d%0aX-Injected:1", strings.Repeat("a", 10_000), "*", "%F0%9F%92%A9", "'%22%3C"}
	everyRoute(t, func(t *testing.T, method, pattern string) {
		start := strings.Index(pattern, "{")
		if start < 0 {
			return
		}
		end := strings.Index(pattern, "}") + 1
		for _, name := range odd {
			api, _ := newPlainAPI(t)
			w := do(api, method, pattern[:start]+name+pattern[end:], sampleBody(method, pattern))
			checkAnswer(t, w)
			if w.Code >= 500 && w.Code != 501 {
				t.Errorf("%.40s: answered %d %s", name, w.Code, w.Body)
			}
			if w.Header().Get("X-Injected") != "" {
				t.Errorf("%.40s made a header", name)
			}
		}
	})
}
