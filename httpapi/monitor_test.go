package httpapi

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/structs"
)

func testLog() hclog.InterceptLogger {
	return hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "rollcall", Level: hclog.Error, Output: io.Discard})
}

// monitoredServer is an agent that is a server, with log.
func monitoredServer(t *testing.T, log hclog.InterceptLogger) (*httptest.Server, *HTTPServer) {
	t.Helper()
	server := rpc.New(rpc.DefaultConfig("global"), rpc.Deps{Logger: hclog.NewNullLogger(), Logs: log, Clock: time.Now, Leader: leader{}})
	api, err := New(Config{Region: "global"}, &realStreams{server: server}, &fakeServer{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return srv, api
}

// wantText reads lines until one has the text.
func wantText(t *testing.T, in *bufio.Scanner, text string) {
	t.Helper()
	for in.Scan() {
		if strings.Contains(in.Text(), text) {
			return
		}
	}
	t.Fatalf("the log ended without %q: %v", text, in.Err())
}

func TestAServersLogAsPlainText(t *testing.T) {
	log := testLog()
	srv, api := monitoredServer(t, log)
	res, in := openStream(t, srv.URL+"/v1/agent/monitor?log_level=debug&plain=true")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != textType {
		t.Errorf("status %d, type %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	log.Trace("not asked for")
	log.Debug("asked for", "n", 1)
	wantLine := func(text string) {
		t.Helper()
		if !in.Scan() || !strings.HasSuffix(in.Text(), text) {
			t.Errorf("line %q, want one that ends in %q", in.Text(), text)
		}
	}
	wantLine("[DEBUG] rollcall: asked for: n=1")
	if err := api.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLine("The log ends here: agent is shutting down")
}

func TestAServersLogAsFrames(t *testing.T) {
	log := testLog()
	srv, api := monitoredServer(t, log)
	res, in := openStream(t, srv.URL+"/v1/agent/monitor?log_json=true&log_include_location")
	if res.Header.Get("Content-Type") != jsonType {
		t.Errorf("type %s", res.Header.Get("Content-Type"))
	}
	wantLine(t, in, "{}")
	log.Info("hello")
	var frame structs.LogFrame
	var line map[string]any
	if !in.Scan() || json.Unmarshal(in.Bytes(), &frame) != nil || json.Unmarshal(frame.Data, &line) != nil {
		t.Fatalf("frame %q", in.Text())
	}
	if line["@message"] != "hello" || line["@caller"] == nil {
		t.Errorf("line %v", line)
	}
	if err := api.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLine(t, in, `{"Error":{"Code":503,"Message":"agent is shutting down"}}`)
}

// An agent that is no server answers for itself, and asks servers for the rest.
func TestTheLogOfAnAgentThatIsNoServer(t *testing.T) {
	log := testLog()
	api := newAPI(t, &fakeRPC{}, nil, &fakeClient{}, func(c *Config) { c.Logs = log })
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	for _, query := range []string{"?plain", "?plain&node_id=" + nodeID} {
		_, in := openStream(t, srv.URL+"/v1/agent/monitor"+query)
		log.Warn("from the node")
		wantText(t, in, "from the node")
	}
	want(t, do(api, http.MethodGet, "/v1/agent/monitor?server_id=leader", ""), 500, "the fake has no streams")
	want(t, do(newAPI(t, &fakeRPC{}, nil, &fakeClient{}), http.MethodGet, "/v1/agent/monitor", ""), 501, "the log of this agent can't be followed")
}

func TestFollowingALogIsRefused(t *testing.T) {
	srv, _ := monitoredServer(t, nil)
	for _, tc := range []struct {
		name, query string
		code        int
		body        string
	}{
		{"an unknown level", "log_level=loud", 400, `unknown log level "loud"; want trace, debug, info, warn or error`},
		{"a flag that is none", "log_json=perhaps", 400, "Invalid value for log_json: want true or false"},
		{"another flag that is none", "plain=2", 400, "Invalid value for plain: want true or false"},
		{"a node and a server", "node_id=a&server_id=b", 400, "a node and a server can't be followed at the same time"},
		{"an agent without a log", "", 501, "the log of this agent can't be followed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, got, err := send(t, http.MethodGet, srv.URL+"/v1/agent/monitor?"+tc.query, nil)
			if err != nil || res.StatusCode != tc.code || string(got) != tc.body {
				t.Errorf("answered %v %q, %v; want %d %q", res, got, err, tc.code, tc.body)
			}
		})
	}
	srv, _ = monitoredServer(t, testLog())
	res, got, err := send(t, http.MethodHead, srv.URL+"/v1/agent/monitor", nil)
	if err != nil || res.StatusCode != 200 || len(got) > 0 {
		t.Errorf("HEAD: %v, %q, %v", res, got, err)
	}
}

func TestALogEndsWithItsClient(t *testing.T) {
	log := &countingLog{InterceptLogger: testLog(), gone: make(chan struct{})}
	srv, _ := monitoredServer(t, log)
	res, in := openStream(t, srv.URL+"/v1/agent/monitor")
	wantLine(t, in, "{}")
	_ = res.Body.Close()
	<-log.gone
}

// countingLog tells when its follower has gone.
type countingLog struct {
	hclog.InterceptLogger
	gone chan struct{}
}

func (l *countingLog) DeregisterSink(sink hclog.SinkAdapter) {
	l.InterceptLogger.DeregisterSink(sink)
	close(l.gone)
}

func FuzzMonitorParameters(f *testing.F) {
	for _, s := range []string{"log_level=debug&plain", "log_json=x", "node_id=a&server_id=b", "log_level=%00&index=1", "stale=maybe"} {
		f.Add(s)
	}
	api := newAPI(f, &fakeRPC{}, nil, nil)
	f.Fuzz(func(t *testing.T, query string) {
		params, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		c := &call{HTTPServer: api, r: httptest.NewRequest(http.MethodGet, "/v1/agent/monitor", nil), query: params}
		args, err := c.monitorRequest()
		if err == nil && args.Validate() != nil {
			t.Errorf("%q is accepted and then not valid: %v", query, args.Validate())
		}
		if err != nil && c.statusOf(err) != http.StatusBadRequest {
			t.Errorf("%q: %v has status %d", query, err, c.statusOf(err))
		}
	})
}
