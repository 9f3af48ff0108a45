package httpapi

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-id/rollcall/structs"
)

func TestAgentSelf(t *testing.T) {
	api := newAPI(t, &fakeRPC{}, &fakeServer{}, &fakeClient{}, func(c *Config) {
		c.AgentConfig = func() map[string]any { return map[string]any{"data_dir": "/d"} }
	})
	want(t, do(api, "GET", "/v1/agent/self", ""), 200, `{"config":{"Datacenter":"dc1","NodeName":"s1","Region":"global","data_dir":"/d"},`+
		`"member":{"Name":"s1.global","Addr":"127.0.0.1","Port":4648,"Tags":{"id":"s1-id"},"Status":"alive","ProtocolMin":0,"ProtocolMax":0,"ProtocolCur":0,`+
		`"DelegateMin":0,"DelegateMax":0,"DelegateCur":0},"stats":{"client":{"node_id":"`+nodeID+`"},"nomad":{"leader":"true"}}}`)
	want(t, do(newAPI(t, &fakeRPC{}, nil, nil), "GET", "/v1/agent/self", ""), 200,
		`{"config":{"Datacenter":"dc1","NodeName":"s1","Region":"global"},"member":null,"stats":{}}`)
}

func TestAgentHealth(t *testing.T) {
	leader := &fakeRPC{answer: map[string]any{"Status.Leader": "a:1"}}
	for _, tc := range []struct {
		name  string
		rpc   *fakeRPC
		srv   Server
		cli   Client
		query string
		code  int
		body  string
	}{
		{"both are well", leader, &fakeServer{}, &fakeClient{}, "", 200, `{"client":{"ok":true,"message":"ok"},"server":{"ok":true,"message":"ok"}}`},
		{"only what runs is shown", leader, nil, &fakeClient{}, "", 200, `{"client":{"ok":true,"message":"ok"}}`},
		{"only what is asked for is shown", leader, &fakeServer{}, &fakeClient{}, "?type=server", 200, `{"server":{"ok":true,"message":"ok"}}`},
		{"no leader", &fakeRPC{}, &fakeServer{}, nil, "", 500, `{"server":{"ok":false,"message":"no leader"}}`},
		{"a failing server", &fakeRPC{answer: map[string]any{"Status.Leader": errors.New("broken")}}, &fakeServer{}, nil, "", 500,
			`{"server":{"ok":false,"message":"broken"}}`},
		{"no known servers", leader, &fakeServer{}, &fakeClient{unhealthy: "no known servers"}, "", 500,
			`{"client":{"ok":false,"message":"no known servers"},"server":{"ok":true,"message":"ok"}}`},
		{"no client", leader, &fakeServer{}, nil, "?type=client", 500, `{"client":{"ok":false,"message":"client not enabled"}}`},
		{"no server", leader, nil, &fakeClient{}, "?type=server", 500, `{"server":{"ok":false,"message":"server not enabled"}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want(t, do(newAPI(t, tc.rpc, tc.srv, tc.cli), "GET", "/v1/agent/health"+tc.query, ""), tc.code, tc.body)
		})
	}
}

func TestJoinAndForceLeave(t *testing.T) {
	srv := &fakeServer{}
	api := newAPI(t, &fakeRPC{}, srv, nil)
	want(t, do(api, "PUT", "/v1/agent/join?address=a:1&address=b:2&address=", ""), 200, `{"num_joined":2,"error":"","warning":""}`)
	if !slices.Equal(srv.joined, []string{"a:1", "b:2"}) {
		t.Errorf("joined %q", srv.joined)
	}
	want(t, do(api, "PUT", "/v1/agent/join", ""), 400, "missing address to join")
	srv.joinErr = errors.New("nobody answered")
	want(t, do(api, "PUT", "/v1/agent/join?address=a:1", ""), 200, `{"num_joined":0,"error":"nobody answered","warning":""}`)

	want(t, do(api, "PUT", "/v1/agent/force-leave?node=s2.global&prune=true", ""), 200, "")
	if srv.left != "s2.global" || !srv.pruned {
		t.Errorf("left %q, pruned %v", srv.left, srv.pruned)
	}
	want(t, do(api, "PUT", "/v1/agent/force-leave", ""), 400, "missing node to force leave")
	want(t, do(api, "PUT", "/v1/agent/force-leave?node=a&prune=x", ""), 400, "Invalid value for prune: want true or false")
	srv.leaveErr = errors.New("agent: no member s9")
	want(t, do(api, "PUT", "/v1/agent/force-leave?node=s9", ""), 500, "agent: no member s9")

	client := newAPI(t, &fakeRPC{}, nil, &fakeClient{})
	want(t, do(client, "PUT", "/v1/agent/join?address=a", ""), 501, "this agent is not a server")
	want(t, do(client, "PUT", "/v1/agent/force-leave?node=a", ""), 501, "this agent is not a server")
}

func TestAgentServers(t *testing.T) {
	cli := &fakeClient{}
	api := newAPI(t, &fakeRPC{}, nil, cli)
	want(t, do(api, "GET", "/v1/agent/servers", ""), 200, "[]")
	want(t, do(api, "PUT", "/v1/agent/servers?address=a:1&address=b:1", ""), 200, "")
	want(t, do(api, "GET", "/v1/agent/servers", ""), 200, `["a:1","b:1"]`)
	want(t, do(api, "PUT", "/v1/agent/servers", ""), 400, "missing server address")
	want(t, do(api, "PUT", "/v1/agent/servers?address=bad", ""), 400, `server address "bad" has no port`)
	server := newAPI(t, &fakeRPC{}, &fakeServer{}, nil)
	want(t, do(server, "GET", "/v1/agent/servers", ""), 501, "this agent is not a client")
	want(t, do(server, "PUT", "/v1/agent/servers?address=a", ""), 501, "this agent is not a client")
}

func TestOwnIdentityIsAnsweredWithoutServers(t *testing.T) {
	for _, query := range []string{"", "?node_id=" + nodeID} {
		rpc, cli := &fakeRPC{}, &fakeClient{}
		api := newAPI(t, rpc, nil, cli)
		want(t, do(api, "GET", "/v1/client/identity"+query, ""), 200, `{"Claims":{"exp":1795295951,"nomad_node_id":"`+nodeID+`"}}`)
		want(t, do(api, "POST", "/v1/client/identity/renew"+query, ""), 200, "{}")
		if rpc.calls != 0 || cli.renewed != 1 {
			t.Errorf("%d RPCs, %d renewals", rpc.calls, cli.renewed)
		}
		cli.claimsErr = structs.ErrNoIdentity
		want(t, do(api, "GET", "/v1/client/identity"+query, ""), 500, "node does not have a JWT identity token")
	}
	rpc, cli := &fakeRPC{answer: map[string]any{"NodeIdentity.Renew": wireError("No path to node")}}, &fakeClient{}
	want(t, do(newAPI(t, rpc, nil, cli), "PUT", "/v1/client/identity/renew", `{"NodeID":"`+otherID+`"}`), 404, "No path to node")
	if cli.renewed != 0 {
		t.Error("the renewal of another node renewed this one")
	}
}

func TestWhatANodesAgentKnowsIsAnsweredWithoutServers(t *testing.T) {
	for _, query := range []string{"", "?node_id=" + nodeID} {
		rpc, cli := &fakeRPC{}, &fakeClient{}
		api := newAPI(t, rpc, nil, cli)
		want(t, do(api, "GET", "/v1/client/metadata"+query, ""), 200, `{"Meta":{"rack":"r1"},"Dynamic":null,"Static":{"rack":"r1"}}`)
		want(t, do(api, "POST", "/v1/client/metadata"+query, `{"Meta":{"a":"b","rack":null}}`), 200,
			`{"Meta":{"a":"b"},"Dynamic":{"a":"b","rack":null},"Static":{"rack":"r1"}}`)
		want(t, do(api, "GET", "/v1/client/stats"+query, ""), 200, `{"Memory":{"Total":8,"Available":4,"Used":3,"Free":1},"CPU":null,`+
			`"DiskStats":null,"AllocDirStats":null,"DeviceStats":null,"Uptime":60,"CPUTicksConsumed":0}`)
		want(t, do(api, "GET", "/v1/client/gc"+query, ""), 200, "")
		if rpc.calls != 0 {
			t.Errorf("%d RPCs", rpc.calls)
		}
	}
}

func TestBadRequestsForANodesAgent(t *testing.T) {
	rpc := &fakeRPC{answer: map[string]any{
		"NodeMeta.Read": wireError("No path to node"), "ClientStats.Stats": structs.Coded(404, "Unknown node %s", otherID),
	}}
	api := newAPI(t, rpc, &fakeServer{}, nil)
	const nobody = "no local Node and node_id not provided"
	for _, path := range []string{"/v1/client/metadata", "/v1/client/stats", "/v1/client/gc", "/v1/client/identity"} {
		want(t, do(api, "GET", path, ""), 400, nobody)
	}
	want(t, do(api, "POST", "/v1/client/metadata", `{"Meta":{"a":"b"}}`), 400, nobody)
	want(t, do(api, "GET", "/v1/client/metadata?node_id="+otherID, ""), 404, "No path to node")
	want(t, do(api, "GET", "/v1/client/stats?node_id="+otherID, ""), 404, "Unknown node "+otherID)
	for body, message := range map[string]string{
		"":                     "Request body is empty; want a JSON object",
		`{}`:                   "node metadata: no keys given in Meta",
		`{"Meta":{"":"x"}}`:    "node metadata: a key is empty",
		`{"Meta":{"a b":"x"}}`: `node metadata: key "a b" has characters other than printable ones without space and =`,
		`{"Meta":{"a":1}}`:     "Request body is not understood: Meta can't be a JSON number",
		`{"Meta":["a"]}`:       "Request body is not understood: Meta can't be a JSON array",
		`{"Meta":{"a":"` + strings.Repeat("x", 4097) + `"}}`: `node metadata: the value of "a" has 4097 bytes, the limit is 4096`,
	} {
		want(t, do(api, "POST", "/v1/client/metadata?node_id="+otherID, body), 400, message)
	}
}

func TestMetrics(t *testing.T) {
	sink := metrics.NewInmemSink(time.Hour, time.Hour)
	sink.SetGauge([]string{"a", "b"}, 3)
	sink.SetGauge([]string{"bad"}, float32(math.NaN()))
	sink.IncrCounter([]string{"c"}, 2)
	sink.AddSample([]string{"inf"}, float32(math.Inf(1)))
	registry := prometheus.NewRegistry()
	up := prometheus.NewGauge(prometheus.GaugeOpts{Name: "rollcall_up", Help: "Whether it is up."})
	up.Set(1)
	registry.MustRegister(up)
	api := newAPI(t, &fakeRPC{}, nil, nil, func(c *Config) {
		c.Metrics, c.PrometheusMetrics, c.PrometheusGatherer = sink, true, registry
	})
	body := do(api, "GET", "/v1/metrics", "").Body.String()
	for _, part := range []string{`"Gauges":[{"Name":"a.b","Value":3,"Labels":{}}]`, `"Points":[]`, `"Counters":[{"Name":"c","Count":1,`, `"Samples":[]`} {
		if !strings.Contains(body, part) {
			t.Errorf("%s lacks %s", body, part)
		}
	}
	w := do(api, "GET", "/v1/metrics?format=prometheus", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "rollcall_up 1\n") {
		t.Errorf("Prometheus: %d %s", w.Code, w.Body)
	}
	off := newAPI(t, &fakeRPC{}, nil, nil)
	want(t, do(off, "GET", "/v1/metrics?format=prometheus", ""), 415, "Prometheus is not enabled")
	if w := do(off, "GET", "/v1/metrics", ""); w.Code != 200 {
		t.Errorf("metrics without a sink: %d %s", w.Code, w.Body)
	}
}

func TestAReloadAnswersHowItWent(t *testing.T) {
	for name, tc := range map[string]struct {
		reload func(context.Context) error
		code   int
		want   string
	}{
		"done":                      {func(context.Context) error { return nil }, 200, ""},
		"refused":                   {func(context.Context) error { return errors.New("rollcall.hcl:3: unknown key") }, 400, "rollcall.hcl:3: unknown key"},
		"of an agent without files": {nil, 501, "this agent can't be told to reload its configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			api := newAPI(t, &fakeRPC{}, &fakeServer{}, nil, func(c *Config) { c.Reload = tc.reload })
			want(t, do(api, "PUT", "/v1/agent/reload", ""), tc.code, tc.want)
		})
	}
}
