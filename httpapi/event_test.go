package httpapi

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/structs"
)

// fakeEvents hands out what it is sent, and remembers what was asked for.
type fakeEvents struct {
	rpc.Events
	asked  structs.EventStreamRequest
	events chan structs.Event // an event without a topic ends the stream
	closed chan struct{}
}

func newFakeEvents() *fakeEvents {
	return &fakeEvents{events: make(chan structs.Event, 4), closed: make(chan struct{})}
}

func (f *fakeEvents) Subscribe(req *structs.EventStreamRequest) (rpc.EventSubscription, error) {
	f.asked = *req
	if req.Index == 13 {
		return nil, structs.Coded(http.StatusGone, "events were lost")
	}
	return f, nil
}

func (f *fakeEvents) Next(ctx context.Context) (uint64, []structs.Event, error) {
	select {
	case e := <-f.events:
		if e.Topic == "" {
			return 0, nil, structs.Coded(http.StatusGone, "events were lost")
		}
		return e.Index, []structs.Event{e}, nil
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
}

func (f *fakeEvents) Close() { close(f.closed) }

func (f *fakeEvents) serve(t *testing.T) (*httptest.Server, *HTTPServer) {
	t.Helper()
	server := rpc.New(rpc.DefaultConfig("global"), rpc.Deps{Logger: hclog.NewNullLogger(), Clock: time.Now, Events: f, Leader: leader{}})
	api, err := New(Config{Region: "global"}, &realStreams{server: server}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return srv, api
}

// openStream starts a GET whose body goes on.
func openStream(t *testing.T, url string) (*http.Response, *bufio.Scanner) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip") // as the public SDK does
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res, bufio.NewScanner(res.Body)
}

func wantLine(t *testing.T, in *bufio.Scanner, want string) {
	t.Helper()
	if !in.Scan() {
		t.Fatalf("the stream ended with %v, want the line %s", in.Err(), want)
	}
	if diff := cmp.Diff(want, in.Text()); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}

func TestEventsComeAsLines(t *testing.T) {
	f := newFakeEvents()
	srv, _ := f.serve(t)
	res, in := openStream(t, srv.URL+"/v1/event/stream?topic=Node:*&topic=NodePool:default&topic=NodePool:gpu&index=7&namespace=x&stale")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("status %d, type %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	wantLine(t, in, "{}")
	f.events <- structs.Event{Topic: "NodePool", Type: "NodePoolUpserted", Key: "default", Index: 9, Payload: &structs.NodePool{Name: "default"}}
	wantLine(t, in, `{"Index":9,"Events":[{"Topic":"NodePool","Type":"NodePoolUpserted","Key":"default","Namespace":"","FilterKeys":null,"Index":9,`+
		`"Payload":{"NodePool":{"Name":"default","Description":"","Meta":null,"SchedulerConfiguration":null,"NodeIdentityTTL":0,"Hash":null,"CreateIndex":0,"ModifyIndex":0}}}]}`)
	f.events <- structs.Event{}
	wantLine(t, in, `{"Error":{"Code":410,"Message":"events were lost"}}`)
	if in.Scan() || in.Err() != nil {
		t.Errorf("after the end: %q, %v", in.Text(), in.Err())
	}
	<-f.closed
	want := map[string][]string{"Node": {"*"}, "NodePool": {"default", "gpu"}}
	if diff := cmp.Diff(want, f.asked.Topics); diff != "" || f.asked.Index != 7 || f.asked.Region != "global" || !f.asked.AllowStale {
		t.Errorf("asked for %+v\n%s", f.asked, diff)
	}
}

func TestAnEventStreamIsRefusedBeforeItBegins(t *testing.T) {
	f := newFakeEvents()
	srv, _ := f.serve(t)
	for _, tc := range []struct {
		name, query string
		code        int
		body        string
	}{
		{"an index that is no number", "index=x", 400, "Invalid index"},
		{"a negative index", "index=-1", 400, "Invalid index"},
		{"an index beyond all", "index=18446744073709551615", 400, "Invalid index"},
		{"two colons", "topic=Node:a:b", 400, `Invalid topic: topic "Node:a:b" has more than one colon; want Topic or Topic:key`},
		{"an empty topic", "topic=", 400, "Invalid topic: a topic is empty; want Topic or Topic:key"},
		{"an unknown topic", "topic=Nodes", 400, `Invalid topic: topic "Nodes" is not known; topics with events are Node, NodePool, Identity, Keyring, ACLToken, ACLPolicy, ACLRole`},
		{"too many topics", strings.Repeat("topic=Node:a&", 129), 400, "Invalid topic: more than 128 topics and keys"},
		{"a bad flag", "stale=perhaps", 400, "Invalid value for stale: want true or false"},
		{"an index that has left the buffer", "index=13", 410, "events were lost"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, got, err := send(t, http.MethodGet, srv.URL+"/v1/event/stream?"+tc.query, nil)
			if err != nil || res.StatusCode != tc.code || string(got) != tc.body {
				t.Errorf("answered %d %q, %v; want %d %q", res.StatusCode, got, err, tc.code, tc.body)
			}
		})
	}
	res, got, err := send(t, http.MethodHead, srv.URL+"/v1/event/stream", nil)
	if err != nil || res.StatusCode != 200 || len(got) > 0 {
		t.Errorf("HEAD: %v, %q, %v", res, got, err)
	}
	<-f.closed
}

func TestAnEventStreamEndsWithItsAgent(t *testing.T) {
	f := newFakeEvents()
	srv, api := f.serve(t)
	_, in := openStream(t, srv.URL+"/v1/event/stream")
	wantLine(t, in, "{}")
	if err := api.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLine(t, in, `{"Error":{"Code":503,"Message":"agent is shutting down"}}`)
	<-f.closed
}

func TestAnEventStreamEndsWithItsClient(t *testing.T) {
	f := newFakeEvents()
	srv, _ := f.serve(t)
	res, in := openStream(t, srv.URL+"/v1/event/stream")
	wantLine(t, in, "{}")
	_ = res.Body.Close()
	<-f.closed
}

func FuzzEventStreamParameters(f *testing.F) {
	for _, s := range []string{"index=1&topic=Node", "topic=a:b:c", "index=&topic=*:*", "stale=1&per_page=x", "%zz"} {
		f.Add(s)
	}
	api := newAPI(f, &fakeRPC{}, nil, nil)
	f.Fuzz(func(t *testing.T, query string) {
		params, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		c := &call{HTTPServer: api, r: httptest.NewRequest(http.MethodGet, "/v1/event/stream", nil), query: params}
		args, err := c.eventStreamRequest()
		if err == nil && args.Validate() != nil {
			t.Errorf("%q is accepted and then not valid: %v", query, args.Validate())
		}
		if err != nil {
			if code := c.statusOf(err); code != http.StatusBadRequest {
				t.Errorf("%q: %v has status %d", query, err, code)
			}
		}
	})
}

// statusOf is the status that an error would be answered with.
func (c *call) statusOf(err error) int {
	if own, ok := err.(*statusError); ok {
		return own.code
	}
	code, _ := structs.HTTPStatus(err)
	return code
}
