package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/structs"
)

// scriptedEvents hands out some events, and then runs then.
type scriptedEvents struct {
	rpc.Events
	rpc.EventSubscription
	left []structs.Event
	then func() error // nil: wait
}

func (s *scriptedEvents) Subscribe(*structs.EventStreamRequest) (rpc.EventSubscription, error) {
	return s, nil
}

func (s *scriptedEvents) Close() {}

func (s *scriptedEvents) Next(ctx context.Context) (uint64, []structs.Event, error) {
	if len(s.left) > 0 {
		e := s.left[0]
		s.left = s.left[1:]
		return e.Index, []structs.Event{e}, nil
	}
	if s.then != nil {
		if err := s.then(); err != nil {
			return 0, nil, err
		}
	}
	<-ctx.Done()
	return 0, nil, ctx.Err()
}

// someEvents is one of each topic.
func someEvents() []structs.Event {
	node := &structs.Node{ID: node1, Name: "web-\x1b[31m1", NodePool: "edge", Status: "ready", SchedulingEligibility: "eligible", StatusUpdatedAt: start.Unix()}
	return []structs.Event{
		{Topic: "Node", Type: "NodeRegistration", Key: node1, Index: 11, Payload: node},
		structs.NewIdentityChange(node, key1, "", start.Unix(), time.Hour).Event(12),
		structs.NewIdentityChange(node, key1, key2, start.Unix(), 0).Event(13),
		{Topic: "NodePool", Type: "NodePoolUpserted", Key: "edge", Index: 14, Payload: &structs.NodePool{Name: "edge", NodeIdentityTTL: time.Hour}},
		{Topic: "Keyring", Type: "KeyringRotated", Key: key1, Index: 15, Payload: &structs.RootKeyMeta{KeyID: key1, State: "active"}},
	}
}

// serveEvents puts the events behind the real endpoints, pipeline and HTTP API.
func serveEvents(t *testing.T, events *scriptedEvents) {
	t.Helper()
	server := rpc.New(rpc.DefaultConfig("global"), rpc.Deps{Logger: hclog.NewNullLogger(), Clock: time.Now, Events: events})
	c := newCluster()
	c.streams = func(ctx context.Context, method string) (net.Conn, error) { return server.Stream(ctx, method) }
	c.serve(t)
}

func TestEventStream(t *testing.T) {
	gone := func() error { return structs.Coded(http.StatusGone, "events were lost") }
	for name, tc := range map[string]struct{ args, out string }{
		"text": {"event stream", "" +
			"11       Node      NodeRegistration     " + node1 + "  web-\uFFFD[31m1, pool edge, ready, eligible\n" +
			"12       Identity  IdentityIssued       " + node1 + "  web-\uFFFD[31m1, pool edge, by key " + key1 + ", at 2026-11-21T09:30:00Z for 1h0m0s\n" +
			"13       Identity  IdentityRenewed      " + node1 + "  web-\uFFFD[31m1, pool edge, by key " + key1 + ", at 2026-11-21T09:30:00Z for an unknown time\n" +
			"14       NodePool  NodePoolUpserted     edge  identities for 1h0m0s\n" +
			"15       Keyring   KeyringRotated       " + key1 + "  active\n"},
		"JSON": {"event stream -json -topic Node -topic Identity:" + key1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			serveEvents(t, &scriptedEvents{left: someEvents(), then: gone})
			got := rollcall(t, "", strings.Fields(tc.args)...)
			if got.code != exitError || !strings.Contains(got.err, "410") || !strings.Contains(got.err, "events were lost (go on with -index 16)") {
				t.Errorf("exit %d, %s", got.code, got.err)
			}
			if tc.out != "" {
				if diff := cmp.Diff(tc.out, got.out); diff != "" {
					t.Errorf("printed (-want +got):\n%s", diff)
				}
				return
			}
			lines := strings.Split(strings.TrimSuffix(got.out, "\n"), "\n")
			var last api.Events
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || len(lines) != 5 || last.Index != 15 || last.Events[0].Type != "KeyringRotated" {
				t.Errorf("%d lines, the last is %+v, %v", len(lines), last, err)
			}
		})
	}
	got := rollcall(t, "", "event", "stream", "-topic", "a:b:c")
	if got.code != exitUsage || !strings.Contains(got.err, "more than one colon") {
		t.Errorf("a topic that is none: exit %d, %s", got.code, got.err)
	}
}

func TestEventStreamEndsWhenItIsInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	serveEvents(t, &scriptedEvents{left: someEvents(), then: func() error { interrupt(); return nil }})
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &errs}
	if code := a.run(ctx, []string{"rollcall", "event", "stream"}); code != exitOK || errs.Len() > 0 {
		t.Errorf("exit %d, %s", code, errs.String())
	}
}
