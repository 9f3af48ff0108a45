package httpapi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func TestQuestionsForAnAgentGoToTheRightOne(t *testing.T) {
	for _, tc := range []struct {
		name, query string
		want        structs.AgentRequest
	}{
		{"the agent itself", "", structs.AgentRequest{QueryOptions: plainQuery}},
		{"the leader", "?server_id=leader&stale", structs.AgentRequest{ServerID: "leader", QueryOptions: staleQuery}},
		{"a node", "?node_id=" + otherID, structs.AgentRequest{NodeID: otherID, QueryOptions: plainQuery}},
		{"the node of this agent", "?node_id=" + nodeID, structs.AgentRequest{QueryOptions: plainQuery}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rpc := &fakeRPC{answer: map[string]any{
				"Agent.Host":    structs.AgentHostResponse{AgentID: "s2.global", HostData: &structs.HostData{OS: "linux"}},
				"Agent.Profile": structs.AgentProfileResponse{AgentID: "s2.global", Payload: []byte("\x1f\x8bheap")},
			}}
			api := newAPI(t, rpc, &fakeServer{}, &fakeClient{})
			want(t, do(api, "GET", "/v1/agent/host"+tc.query, ""), 200, `{"AgentID":"s2.global","HostData":{"OS":"linux","Network":null,"ResolvConf":"",`+
				`"Hosts":"","Environment":null,"Disk":null}}`)
			if diff := cmp.Diff(&tc.want, rpc.args); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
			path := "/v1/agent/pprof/heap" + tc.query
			if tc.query == "" {
				path += "?"
			}
			w := do(api, "GET", path+"&seconds=3&debug=1&gc=1", "")
			want(t, w, 200, "\x1f\x8bheap")
			if got := w.Header().Get("Content-Type"); got != "application/octet-stream" {
				t.Errorf("Content-Type is %q", got)
			}
			wanted := &structs.AgentProfileRequest{Kind: "heap", Seconds: 3, Debug: 1, GC: true, AgentRequest: tc.want}
			if diff := cmp.Diff(wanted, rpc.args); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

func TestANodesAgentAnswersForItselfWithoutServers(t *testing.T) {
	rpc := &fakeRPC{}
	api := newAPI(t, rpc, nil, &fakeClient{}, func(c *Config) { c.EnableDebug = true })
	var out structs.AgentHostResponse
	w := do(api, "GET", "/v1/agent/host", "")
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.AgentID != nodeID || out.HostData.OS == "" {
		t.Errorf("answered %d %+v, error %v", w.Code, out, err)
	}
	w = do(api, "GET", "/v1/agent/pprof/goroutine?debug=2&node_id="+nodeID, "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "goroutine ") || w.Header().Get("Content-Type") != textType {
		t.Errorf("answered %d %.80q as %s", w.Code, w.Body, w.Header().Get("Content-Type"))
	}
	want(t, do(api, "GET", "/v1/agent/pprof/cats", ""), 404, `unknown profile "cats"`)
	off := newAPI(t, rpc, nil, &fakeClient{})
	want(t, do(off, "GET", "/v1/agent/pprof/heap", ""), 403, "profiles are off on this agent; set enable_debug = true in its configuration")
	for _, path := range []string{"/v1/agent/schedulers", "/v1/agent/schedulers/config"} {
		want(t, do(api, "GET", path, ""), 501, "this agent is not a server")
	}
	want(t, do(api, "PUT", "/v1/agent/schedulers/config", "{}"), 501, "this agent is not a server")
	if rpc.calls != 0 {
		t.Errorf("%s was called", rpc.method)
	}
}

func TestBadQuestionsForAnAgent(t *testing.T) {
	rpc := &fakeRPC{}
	api := newAPI(t, rpc, &fakeServer{}, nil)
	for path, text := range map[string]string{
		"/v1/agent/host?server_id=a&node_id=b":           "give server_id or node_id, not both",
		"/v1/agent/pprof/heap?server_id=a&node_id=b":     "give server_id or node_id, not both",
		"/v1/agent/pprof/profile?seconds=soon":           "Invalid seconds: want a whole number",
		"/v1/agent/pprof/profile?seconds=-1":             "Invalid seconds: want a whole number",
		"/v1/agent/pprof/profile?seconds=61":             "Invalid seconds: want 0 to 60",
		"/v1/agent/pprof/profile?seconds=99999999999999": "Invalid seconds: want a whole number",
		"/v1/agent/pprof/heap?debug=x":                   "Invalid debug: want a whole number",
		"/v1/agent/pprof/heap?gc=true":                   "Invalid gc: want a whole number",
		"/v1/agent/pprof/heap?stale=x":                   "Invalid value for stale: want true or false",
	} {
		want(t, do(api, "GET", path, ""), 400, text)
	}
	if rpc.calls != 0 {
		t.Errorf("%s was called", rpc.method)
	}
}

func TestSchedulerWorkers(t *testing.T) {
	api := newAPI(t, &fakeRPC{}, &fakeServer{}, nil)
	want(t, do(api, "GET", "/v1/agent/schedulers", ""), 200, `{"server_id":"s1-id","schedulers":[]}`)
	want(t, do(api, "GET", "/v1/agent/schedulers/config", ""), 200, `{"server_id":"s1-id","num_schedulers":0,"enabled_schedulers":[]}`)
	want(t, do(api, "PUT", "/v1/agent/schedulers/config", `{"num_schedulers":-1}`), 400, "Invalid request")
	want(t, do(api, "PUT", "/v1/agent/schedulers/config", `{"num_schedulers":2,"enabled_schedulers":["_core"]}`), 501,
		"scheduler workers are not part of Rollcall, which gives identities to nodes and runs nothing on them")
}
