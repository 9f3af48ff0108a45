package httpapi

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func TestMethodsAndPaths(t *testing.T) {
	api := newAPI(t, &fakeRPC{}, nil, nil)
	for _, tc := range []struct {
		name, method, path string
		code               int
		body, allow        string
	}{
		{"another method", "DELETE", "/v1/nodes", 405, "Invalid method", "GET, HEAD"},
		{"POST where only PUT is meant", "POST", "/v1/system/gc", 405, "Invalid method", "PUT"},
		{"POST on autopilot's configuration", "POST", "/v1/operator/autopilot/configuration", 405, "Invalid method", "GET, HEAD, PUT"},
		{"an unknown path", "GET", "/v1/nothing", 404, "", ""},
		{"no path at all", "OPTIONS", "*", 404, "", ""},
		{"a trailing slash", "GET", "/v1/nodes/", 404, "", ""},
		{"an empty ID", "GET", "/v1/node//allocations", 404, "", ""},
		{"a path that climbs", "GET", "/v1/node/../nodes", 404, "", ""},
		{"the user interface", "GET", "/ui/", 404, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := do(api, tc.method, tc.path, "")
			want(t, w, tc.code, tc.body)
			if got := w.Header().Get("Allow"); got != tc.allow {
				t.Errorf("Allow is %q, want %q", got, tc.allow)
			}
		})
	}
	w := do(api, "GET", "/", "")
	if w.Code != 307 || w.Header().Get("Location") != "/ui/" {
		t.Errorf("/ answered %d to %q, want 307 to /ui/", w.Code, w.Header().Get("Location"))
	}
	if w := do(api, "HEAD", "/v1/nodes", ""); w.Code != 200 || w.Header().Get("X-Nomad-Index") != "0" {
		t.Errorf("HEAD answered %d without the headers of GET: %v", w.Code, w.Header())
	}
}

func TestEscapedNames(t *testing.T) {
	rpc := &fakeRPC{}
	do(newAPI(t, rpc, nil, nil), "DELETE", "/v1/node/pool/a%2Fb", "")
	got, ok := rpc.args.(*structs.NodePoolDeleteRequest)
	if !ok || got.Names[0] != "a/b" {
		t.Errorf("arguments %+v, want the name a/b", rpc.args)
	}
}

func TestQueryOptions(t *testing.T) {
	plain := func(change func(*structs.QueryOptions)) *structs.QueryOptions {
		q := &structs.QueryOptions{Region: "global", Namespace: "default"}
		change(q)
		return q
	}
	for _, tc := range []struct {
		name, query string
		headers     []string
		want        *structs.QueryOptions // nil: 400 with the text
		text        string
	}{
		{"nothing", "", nil, plain(func(*structs.QueryOptions) {}), ""},
		{"region and namespace", "region=eu&namespace=*", nil, plain(func(q *structs.QueryOptions) { q.Region, q.Namespace = "eu", "*" }), ""},
		{"blocking", "index=7&wait=5000ms", nil, plain(func(q *structs.QueryOptions) { q.MinQueryIndex, q.MaxQueryTime = 7, 5*time.Second }), ""},
		{"paging", "prefix=ab&filter=Name+%3D%3D+x&per_page=10&next_token=t&reverse=true", nil, plain(func(q *structs.QueryOptions) {
			q.Prefix, q.Filter, q.PerPage, q.NextToken, q.Reverse = "ab", "Name == x", 10, "t", true
		}), ""},
		{"stale by being there", "stale", nil, plain(func(q *structs.QueryOptions) { q.AllowStale = true }), ""},
		{"stale by value", "stale=false", nil, plain(func(*structs.QueryOptions) {}), ""},
		{"a token", "", []string{"X-Nomad-Token:  tok "}, plain(func(q *structs.QueryOptions) { q.AuthToken = "tok" }), ""},
		{"a bearer token", "", []string{"Authorization: bearer  tok "}, plain(func(q *structs.QueryOptions) { q.AuthToken = "tok" }), ""},
		{"the token header wins", "", []string{"X-Nomad-Token: a", "Authorization: Bearer b"}, plain(func(q *structs.QueryOptions) { q.AuthToken = "a" }), ""},
		{"other credentials are no token", "", []string{"Authorization: Basic dTpw"}, plain(func(*structs.QueryOptions) {}), ""},

		{"a bad stale", "stale=maybe", nil, nil, "Invalid value for stale: want true or false"},
		{"a bad index", "index=-1", nil, nil, "Invalid index"},
		{"an index that is no number", "index=x", nil, nil, "Invalid index"},
		{"a bad wait", "wait=5", nil, nil, "Invalid wait time"},
		{"a negative wait", "wait=-5s", nil, nil, "Invalid wait time"},
		{"a page size that is no number", "per_page=ten", nil, nil, "Invalid per_page: want a whole number, 0 for no limit"},
		{"a page size beyond 32 bits", "per_page=4294967296", nil, nil, "Invalid per_page: want a whole number, 0 for no limit"},
		{"a bad escape", "prefix=%zz", nil, nil, "Invalid query string"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rpc := &fakeRPC{}
			w := do(newAPI(t, rpc, nil, nil), "GET", "/v1/node/pools?"+tc.query, "", tc.headers...)
			if tc.want == nil {
				want(t, w, 400, tc.text)
				if rpc.calls != 0 {
					t.Error("the RPC was called all the same")
				}
				return
			}
			want(t, w, 200, "[]")
			if diff := cmp.Diff(tc.want, rpc.args.(*structs.NodePoolListRequest).Query()); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWritesCarryTokenAndIdempotency(t *testing.T) {
	rpc := &fakeRPC{}
	do(newAPI(t, rpc, nil, nil), "DELETE", "/v1/node/pool/a?region=eu&idempotency_token=once", "", "X-Nomad-Token: tok")
	diff := cmp.Diff(structs.WriteRequest{Region: "eu", Namespace: "default", AuthToken: "tok", IdempotencyToken: "once"},
		rpc.args.(*structs.NodePoolDeleteRequest).WriteRequest)
	if diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		code int
		body string
	}{
		{"denied, after two hops", wireError("rpc error: rpc error: Permission denied"), 403, "Permission denied"},
		{"an unknown token", wireError("rpc error: ACL token not found"), 403, "ACL token not found"},
		{"a code from afar", wireError("rpc error: RPC Error:: 400,bad filter"), 400, "bad filter"},
		{"a code from here", structs.Coded(409, "key %q is odd", "a"), 409, `key "a" is odd`},
		{"a code that is no error", structs.Coded(204, "nothing"), 500, "nothing"},
		{"no node connection", wireError("No path to node"), 404, "No path to node"},
		{"overload", structs.ErrOverloaded, 429, "rate limit exceeded, try again later"},
		{"no leader", wireError("rpc error: No cluster leader"), 500, "rpc error: No cluster leader"},
		{"anything else", errors.New("disk <on> fire"), 500, "disk <on> fire"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := do(newAPI(t, &fakeRPC{answer: map[string]any{"NodePool.List": tc.err}}, nil, nil), "GET", "/v1/node/pools?pretty", "")
			want(t, w, tc.code, tc.body)
			if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
				t.Errorf("Content-Type is %q", got)
			}
		})
	}
}

func TestPanicIsAnErrorAnswer(t *testing.T) {
	rpc := &fakeRPC{answer: map[string]any{"NodePool.List": func(context.Context, any) (any, error) { panic("secret detail") }}}
	want(t, do(newAPI(t, rpc, nil, nil), "GET", "/v1/node/pools", ""), 500, "internal error")
}

func TestNodeJSON(t *testing.T) {
	n := &structs.Node{
		ID: nodeID, SecretID: otherID, SecretHash: []byte("hash"), Attributes: structs.NewStringMap(map[string]string{"a": "<b>&"}),
		DrainStrategy: &structs.DrainStrategy{DrainSpec: structs.DrainSpec{Deadline: time.Hour}},
	}
	rpc := &fakeRPC{answer: map[string]any{"Node.GetNode": structs.SingleNodeResponse{Node: n, QueryMeta: structs.QueryMeta{NextToken: "next"}}}}
	w := do(newAPI(t, rpc, nil, nil), "GET", "/v1/node/"+nodeID, "")
	body := w.Body.String()
	for _, part := range []string{`"ID":"` + nodeID + `"`, `"SecretID":""`, `"Drain":true`, `"Attributes":{"a":"<b>&"}`, `"DrainStrategy":{"Deadline":3600000000000,`} {
		if !strings.Contains(body, part) {
			t.Errorf("%s lacks %s", body, part)
		}
	}
	if strings.Contains(body, otherID) || strings.Contains(body, "SecretHash") || strings.HasSuffix(body, "\n") {
		t.Errorf("a secret or a newline is in %q", body)
	}
	if n.SecretID != otherID {
		t.Error("the node in state was changed")
	}
	if got := w.Header().Get("X-Nomad-NextToken"); got != "next" {
		t.Errorf("X-Nomad-NextToken is %q", got)
	}
}

func TestPretty(t *testing.T) {
	api := newAPI(t, &fakeRPC{answer: map[string]any{"Region.List": []string{"a"}}}, nil, nil)
	want(t, do(api, "GET", "/v1/regions?pretty", ""), 200, "[\n    \"a\"\n]\n")
	want(t, do(api, "GET", "/v1/regions?pretty=0", ""), 200, `["a"]`)
}

func TestGzip(t *testing.T) {
	api := newAPI(t, &fakeRPC{answer: map[string]any{"Region.List": []string{strings.Repeat("a", 2*minGzip)}}}, nil, nil)
	for header, compressed := range map[string]bool{
		"gzip": true, "br;q=1.0, gzip;q=0.8": true, "*": true, "gzip; q=bad": true,
		"": false, "br": false, "gzip;q=0": false, "gzip; q=0.0, br": false,
	} {
		w := do(api, "GET", "/v1/regions", "", "Accept-Encoding: "+header)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != compressed {
			t.Errorf("Accept-Encoding %q: compressed is %v, want %v", header, got, compressed)
			continue
		}
		body := io.Reader(w.Body)
		if compressed {
			var err error
			if body, err = gzip.NewReader(w.Body); err != nil {
				t.Fatal(err)
			}
		}
		if b, err := io.ReadAll(body); err != nil || len(b) != 2*minGzip+4 {
			t.Errorf("Accept-Encoding %q: %d bytes, error %v", header, len(b), err)
		}
	}
	small := newAPI(t, &fakeRPC{}, nil, nil)
	if w := do(small, "GET", "/v1/regions", "", "Accept-Encoding: gzip"); w.Header().Get("Content-Encoding") != "" {
		t.Error("a body of two bytes is compressed")
	}
}

func TestBadInput(t *testing.T) {
	drain := "/v1/node/" + nodeID + "/drain"
	for _, tc := range []struct {
		name, method, path, body string
		code                     int
		text                     string
	}{
		{"no body", "PUT", drain, " ", 400, "Request body is empty; want a JSON object"},
		{"an array", "PUT", drain, "[]", 400, "Request body is not understood: want a JSON object"},
		{"null", "PUT", drain, "null", 400, "Request body is not understood: want a JSON object"},
		{"half an object", "PUT", drain, `{"DrainSpec":`, 400, "Request body is not understood: unexpected end of JSON input at byte 13"},
		{"two objects", "PUT", drain, `{} {}`, 400, "Request body is not understood: invalid character '{' after top-level value at byte 4"},
		{"another type", "PUT", drain, `{"MarkEligible":"yes"}`, 400, "Request body is not understood: MarkEligible can't be a JSON string"},
		{"a bad duration", "PUT", drain, `{"DrainSpec":{"Deadline":"soon"}}`, 400, `Request body is not understood: time: invalid duration "soon"`},
		{"an introduction's TTL", "PUT", "/v1/acl/identity/client-introduction-token", `{"TTL":"soon"}`, 400,
			`Request body is not understood: time: invalid duration "soon"`},
		{"another node", "PUT", drain, `{"NodeID":"` + otherID + `"}`, 400, "Node ID does not match request path"},
		{"deep nesting", "PUT", drain, `{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, 400,
			"Request body is not understood: nested deeper than 64 levels"},
		{"very many values", "PUT", drain, `{"Meta":{` + strings.Repeat(`"a":"",`, 20_000) + `"b":""}}`, 400,
			"Request body is not understood: more than 32768 values"},
		{"a huge body", "PUT", drain, `{"a":"` + strings.Repeat("x", maxBody) + `"}`, 413, "Request body is larger than 1048576 bytes"},
		{"an unknown eligibility", "PUT", "/v1/node/" + nodeID + "/eligibility", `{"Eligibility":"perhaps"}`, 400,
			`Invalid eligibility "perhaps": want eligible or ineligible`},
		{"eligibility of another node", "PUT", "/v1/node/" + nodeID + "/eligibility", `{"NodeID":"x"}`, 400, "Node ID does not match request path"},
		{"a pool under another name", "PUT", "/v1/node/pool/a", `{"Name":"b"}`, 400, "Node pool name does not match request path"},
		{"a pool's nodes by prefix", "GET", "/v1/node/pool/a/nodes?prefix=ab", "", 400, "prefix is not supported here; use filter"},
		{"a bad list field", "GET", "/v1/nodes?os=linux", "", 400, "Invalid value for os: want true or false"},
		{"a bad field of a pool's nodes", "GET", "/v1/node/pool/a/nodes?resources=x", "", 400, "Invalid value for resources: want true or false"},
		{"a bad field of a pool's jobs", "GET", "/v1/node/pool/a/jobs?meta=x", "", 400, "Invalid value for meta: want true or false"},
		{"a bad publish time", "PUT", "/v1/operator/keyring/rotate?publish_time=soon", "", 400, "Invalid publish_time: want Unix nanoseconds"},
		{"a full rotation in the future", "PUT", "/v1/operator/keyring/rotate?full=1&publish_time=1", "", 400,
			"full and publish_time can't be combined: a key that is published later can't re-encrypt now"},
		{"a bad force", "DELETE", "/v1/operator/keyring/key/a?force=very", "", 422, "Invalid value for force: want true or false"},
		{"a peer by address", "DELETE", "/v1/operator/raft/peer?address=a:1", "", 400, "address is not supported with Raft protocol 3; give the peer's id"},
		{"no peer", "DELETE", "/v1/operator/raft/peer", "", 400, "Must specify the peer's ID to remove"},
		{"a transfer to nobody", "PUT", "/v1/operator/raft/transfer-leadership", "", 400, "give exactly one of id and address, the server that is to lead"},
		{"a transfer to two", "PUT", "/v1/operator/raft/transfer-leadership?id=a&address=b", "", 400,
			"give exactly one of id and address, the server that is to lead"},
		{"a bad cas", "PUT", "/v1/operator/autopilot/configuration?cas=x", autopilotJSON, 400, "Invalid cas: want the ModifyIndex of the stored configuration"},
		{"a bad scheduler cas", "PUT", "/v1/operator/scheduler/configuration?cas=", schedulerJSON, 400, "Invalid cas: want the ModifyIndex of the stored configuration"},
		{"autopilot with a bad duration", "PUT", "/v1/operator/autopilot/configuration", `{"LastContactThreshold":"x"}`, 400,
			`Request body is not understood: decode autopilot configuration: time: invalid duration "x"`},
		{"autopilot with a zero threshold", "PUT", "/v1/operator/autopilot/configuration", `{}`, 400, "last contact threshold must be positive"},
		{"a scheduler that is not known", "PUT", "/v1/operator/scheduler/configuration", `{"SchedulerAlgorithm":"dice"}`, 400,
			`scheduler algorithm "dice" is not known; want binpack or spread`},
		{"a bad body for a renewal", "POST", "/v1/client/identity/renew", `{"NodeID":1}`, 400, "Request body is not understood: NodeID can't be a JSON number"},
		{"an identity of no node", "GET", "/v1/client/identity", "", 400, "no local Node and node_id not provided"},
		{"a renewal of no node", "PUT", "/v1/client/identity/renew", "", 400, "no local Node and node_id not provided"},
		{"metrics of another agent for Prometheus", "GET", "/v1/metrics?format=prometheus&server_id=s2", "", 400,
			"metrics of another agent come as JSON only; ask that agent for those for Prometheus"},
		{"an agent that is both", "GET", "/v1/agent/self?server_id=a&node_id=b", "", 400, "give server_id or node_id, not both"},
		{"a bad metrics format", "GET", "/v1/metrics?format=xml", "", 400, `Invalid format "xml": want json or prometheus`},
		{"a bad health type", "GET", "/v1/agent/health?type=dog", "", 400, `Invalid type "dog": want client or server`},
		{"a bad gc option", "PUT", "/v1/system/gc?index=x", "", 400, "Invalid index"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rpc := &fakeRPC{}
			want(t, do(newAPI(t, rpc, nil, nil), tc.method, tc.path, tc.body), tc.code, tc.text)
			if rpc.calls != 0 {
				t.Errorf("%s was called all the same", rpc.method)
			}
		})
	}
}

func TestUnknownBodyKeysAreSkipped(t *testing.T) {
	rpc := &fakeRPC{}
	body := `{"Name":"a","Later":[{"x":"]}\"{["}],"NodeIdentityTTL":""}`
	want(t, do(newAPI(t, rpc, nil, nil), "PUT", "/v1/node/pools", body), 200, "")
	if got := rpc.args.(*structs.NodePoolUpsertRequest).NodePools[0]; got.Name != "a" || got.NodeIdentityTTL != 0 {
		t.Errorf("pool %+v", got)
	}
}

func TestWritesFromOtherOriginsAreRefused(t *testing.T) {
	rpc := &fakeRPC{}
	api := newAPI(t, rpc, nil, nil)
	w := do(api, "POST", "/v1/node/pools", `{"Name":"a"}`, "Origin: https://evil.example")
	want(t, w, 403, "write requests from a web page of another origin are refused")
	if rpc.calls != 0 {
		t.Error("the RPC was called all the same")
	}
	want(t, do(api, "GET", "/v1/node/pools", "", "Origin: https://evil.example"), 200, "[]")
}

func TestNoLeaderForATransferIs503(t *testing.T) {
	for name, answer := range map[string]any{
		"an error of the call":      wireError("rpc error: No cluster leader"),
		"an error inside the reply": structs.LeadershipTransferResponse{Err: structs.ErrNoLeader},
	} {
		rpc := &fakeRPC{answer: map[string]any{"Operator.TransferLeadershipToPeer": answer}}
		if w := do(newAPI(t, rpc, nil, nil), "PUT", "/v1/operator/raft/transfer-leadership?id=a", ""); w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: answered %d %s, want 503", name, w.Code, w.Body)
		}
	}
	rpc := &fakeRPC{answer: map[string]any{"Operator.TransferLeadershipToPeer": structs.Coded(400, "no such peer")}}
	want(t, do(newAPI(t, rpc, nil, nil), "PUT", "/v1/operator/raft/transfer-leadership?id=a", ""), 400, "no such peer")
}

func TestHeaderValuesHaveNoLineBreaks(t *testing.T) {
	rpc := &fakeRPC{answer: map[string]any{"NodePool.List": structs.NodePoolListResponse{QueryMeta: structs.QueryMeta{NextToken: "a\r\nX: y"}}}}
	w := do(newAPI(t, rpc, nil, nil), "GET", "/v1/node/pools", "")
	if got := w.Header().Get("X-Nomad-NextToken"); got != "a  X: y" {
		t.Errorf("X-Nomad-NextToken is %q", got)
	}
}

func FuzzRequest(f *testing.F) {
	for _, tc := range routeCases {
		path, query, _ := strings.Cut(tc.path, "?")
		f.Add(tc.method, path, query, tc.body, "gzip")
	}
	f.Add("GET", "/v1/nodes", "index=18446744073709551616&wait=1h&per_page=-1&stale=x", "", "*;q=0")
	f.Add("PUT", "/v1/node/pools", "pretty", `{"Name":"\ud800","NodeIdentityTTL":1e3}`, "")
	report := structs.AgentReportResponse{Report: []byte("{}")}
	api := newAPI(f, &fakeRPC{answer: map[string]any{"Agent.Self": report, "Agent.Metrics": report}}, &fakeServer{}, &fakeClient{})
	f.Fuzz(func(t *testing.T, method, path, query, body, encoding string) {
		r, err := http.NewRequest(method, "http://127.0.0.1/", strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		r.URL.Path, r.URL.RawQuery = path, query
		r.Header.Set("Accept-Encoding", encoding)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		checkAnswer(t, w)
		// The servers answer everything but streams; an agent that knows no leader is unhealthy, and says so by 500.
		if w.Code >= 500 && w.Code != http.StatusNotImplemented && path != "/v1/agent/health" && !streams[path] {
			t.Errorf("%q %q?%q answered %d %s", method, path, query, w.Code, w.Body)
		}
	})
}
