package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/events"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// worldEvents is the buffer as package server gives it to the endpoints.
type worldEvents struct{ *events.Broker }

func (e worldEvents) Subscribe(req *structs.EventStreamRequest) (EventSubscription, error) {
	sub, err := e.Broker.Subscribe(req)
	if err != nil {
		return nil, err
	}
	return worldSubscription{sub}, nil
}

type worldSubscription struct{ *events.Subscription }

func (s worldSubscription) Next(ctx context.Context) (uint64, []structs.Event, error) {
	f, err := s.Subscription.Next(ctx)
	return f.Index, f.Events, err
}

// line is one line of a stream as its readers see it.
type line struct {
	Index  uint64
	Events []struct {
		Topic, Type, Key string
		FilterKeys       []string
		Index            uint64
		Payload          map[string]map[string]any
	}
}

// follow opens a stream in this process.
func (w *world) follow(t *testing.T, req *structs.EventStreamRequest) *EventReader {
	t.Helper()
	conn, err := w.srv.Stream(t.Context(), EventStream)
	if err != nil {
		t.Fatal(err)
	}
	return follow(t, conn, req)
}

func follow(t *testing.T, conn net.Conn, req *structs.EventStreamRequest) *EventReader {
	t.Helper()
	if req.Region == "" {
		req.Region = region
	}
	r, err := OpenEventStream(t.Context(), conn, req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func next(t *testing.T, r *EventReader) line {
	t.Helper()
	b, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	var l line
	if err := json.Unmarshal(b, &l); err != nil {
		t.Fatalf("line %q: %v", b, err)
	}
	return l
}

// heartbeatLine is what comes while nothing happens.
func heartbeatLine(t *testing.T, r *EventReader) {
	t.Helper()
	if l := next(t, r); l.Index != 0 || l.Events != nil {
		t.Errorf("line %+v, want a heartbeat", l)
	}
}

func types(l line) (out []string) {
	for _, e := range l.Events {
		out = append(out, e.Topic+" "+e.Type)
	}
	return out
}

func TestAnEventStreamTellsWhatChanges(t *testing.T) {
	w := newWorld(t)
	r := w.follow(t, &structs.EventStreamRequest{Topics: map[string][]string{"Node": nil, "Identity": {"default"}}})
	heartbeatLine(t, r)
	token := w.join(1)
	l := next(t, r)
	if diff := cmp.Diff([]string{"Node NodeRegistration", "Identity IdentityIssued"}, types(l)); diff != "" {
		t.Errorf("of the registration (-want +got):\n%s", diff)
	}
	node := l.Events[0].Payload["Node"]
	if node["ID"] != nodeID(1) || node["SecretID"] != "" || node["Drain"] != false || node["SecretHash"] != nil {
		t.Errorf("the node is shown as %v", node)
	}
	if id := l.Events[1].Payload["Identity"]; id["KeyID"] != w.node(1).IdentitySigningKeyID || id["TTL"] != float64(defaultTTL) || id["NodePool"] != "default" {
		t.Errorf("the identity is described as %v", id)
	}
	if diff := cmp.Diff([]string{"Node NodeStreamEvent"}, types(next(t, r))); diff != "" {
		t.Errorf("of the first heartbeat (-want +got):\n%s", diff)
	}

	// A renewal with the same key writes nothing, and is told all the same.
	before := w.raft.count()
	must(w.heartbeat(1, token, renewal))(t)
	if n := w.raft.count() - before; n != 0 {
		t.Fatalf("the renewal proposed %d commands", n)
	}
	renewed := next(t, r)
	if diff := cmp.Diff([]string{"Identity IdentityRenewed"}, types(renewed)); diff != "" || renewed.Index != w.raft.index || renewed.Events[0].Index != w.raft.index {
		t.Errorf("of a renewal after index %d: %+v\n%s", w.raft.index, renewed, diff)
	}
	if id := renewed.Events[0].Payload["Identity"]; id["PreviousKeyID"] != id["KeyID"] || id["IssuedAt"] != "2026-03-01T12:00:00Z" {
		t.Errorf("the renewed identity is described as %v", id)
	}

	// So is one at a registration.
	must(w.register(testNode(1), ""))(t)
	if diff := cmp.Diff([]string{"Node NodeRegistration"}, types(next(t, r))); diff != "" {
		t.Errorf("of another registration (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Identity IdentityRenewed"}, types(next(t, r))); diff != "" {
		t.Errorf("of its renewal (-want +got):\n%s", diff)
	}

	// With another key it is in the log, and told once.
	w.addKey(structs.KeyStateActive)
	must(w.heartbeat(1, token, renewal))(t)
	if diff := cmp.Diff([]string{"Node NodeStreamEvent", "Identity IdentityRenewed"}, types(next(t, r))); diff != "" {
		t.Errorf("of a renewal with another key (-want +got):\n%s", diff)
	}
	must(w.heartbeat(1, token))(t)
	w.purge(1)
	if diff := cmp.Diff([]string{"Node NodeDeregistration"}, types(next(t, r))); diff != "" {
		t.Errorf("of the end (-want +got):\n%s", diff)
	}
}

func TestAnEventStreamIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		req  *structs.EventStreamRequest
		set  func(w *world)
		code int
	}{
		{"an index that has left the buffer", &structs.EventStreamRequest{Index: 1}, nil, 410},
		{"a topic that nobody knows", &structs.EventStreamRequest{Topics: map[string][]string{"Nodes": nil}}, nil, 400},
		{"a server without events", &structs.EventStreamRequest{}, func(w *world) { w.srv.deps.Events = nil }, 501},
		{"a workload's identity", &structs.EventStreamRequest{QueryOptions: query("workload")}, nil, 403},
		{"a token that is none", &structs.EventStreamRequest{QueryOptions: query("nonsense")}, nil, 403},
		{"another region", &structs.EventStreamRequest{QueryOptions: structs.QueryOptions{Region: "mars"}}, nil, 500},
		{"too many streams", &structs.EventStreamRequest{}, func(w *world) {
			w.srv.limits = newLimiter(&Config{MaxInFlight: 1, MaxBlocking: 1}, &fakeMetrics{})
			w.srv.limits.blocking.now.Add(1)
		}, 429},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			if tc.set != nil {
				tc.set(w)
			}
			if tc.req.AuthToken == "workload" {
				tc.req.AuthToken = w.workload()
			}
			_, err := w.follow(t, tc.req).Next()
			if err == nil {
				t.Fatal("it was accepted")
			}
			if code, _ := structs.HTTPStatus(err); code != tc.code {
				t.Errorf("error %v has status %d, want %d", err, code, tc.code)
			}
		})
	}
}

// A follower answers by itself, without a leader even: its events are those of all servers.
func TestAnEventStreamNeedsNoLeader(t *testing.T) {
	w := newWorld(t)
	w.leader.set(false, false, "")
	r := w.follow(t, &structs.EventStreamRequest{})
	heartbeatLine(t, r)
	if diff := cmp.Diff([]string{"Keyring KeyringRotated"}, types(next(t, r))); diff != "" {
		t.Errorf("what the buffer holds (-want +got):\n%s", diff)
	}
}

func TestAnEventStreamOverAConnection(t *testing.T) {
	w := newWorld(t)
	pool := transport.NewPool(transport.PoolConfig{})
	t.Cleanup(func() { _ = pool.Close() })
	conn, err := pool.Stream(t.Context(), w.listen(), EventStream)
	if err != nil {
		t.Fatal(err)
	}
	r := follow(t, conn, &structs.EventStreamRequest{})
	heartbeatLine(t, r)
	if diff := cmp.Diff([]string{"Keyring KeyringRotated"}, types(next(t, r))); diff != "" {
		t.Errorf("what the buffer holds (-want +got):\n%s", diff)
	}
	w.events.Close()
	if _, err := r.Next(); err == nil {
		t.Error("the stream of a server that stops goes on")
	} else {
		wantCode(t, err, 503)
	}
}

func TestASilentEventStreamSendsHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWorld(t)
		r := w.follow(t, &structs.EventStreamRequest{Topics: map[string][]string{"NodePool": nil}})
		heartbeatLine(t, r)
		start := time.Now()
		heartbeatLine(t, r)
		heartbeatLine(t, r)
		if got := time.Since(start); got != 2*eventHeartbeat {
			t.Errorf("two heartbeats took %s", got)
		}
		_ = r.Close()
		synctest.Wait()
	})
}

// A caller that takes nothing is cut off, and holds the buffer back no more than its size.
func TestACallerThatDoesNotReadIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWorld(t)
		conn, err := w.srv.Stream(t.Context(), EventStream)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := writeValue(conn, &structs.EventStreamRequest{QueryOptions: query("")}); err != nil {
			t.Fatal(err)
		}
		<-time.After(2*eventWriteTimeout + drainTimeout)
		synctest.Wait()
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("the server still writes")
		}
	})
}

func TestAReaderOfEventsSaysHowTheStreamEnded(t *testing.T) {
	for _, tc := range []struct {
		name string
		sent any
		code int
	}{
		{"a refusal", &structs.EventFrame{Error: newStreamError(410, "events were lost")}, 410},
		{"a frame without anything is a heartbeat", &structs.EventFrame{}, 0},
		{"nothing", nil, 500},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn := peer(t, func(conn net.Conn, in *transport.Reader) {
				var req structs.EventStreamRequest
				if err := readValue(in, &req); err != nil || req.Index != 7 {
					t.Errorf("request %+v, %v", req, err)
				}
				if tc.sent != nil {
					_ = writeValue(conn, tc.sent) // the reader may be gone
				}
			})
			got, err := follow(t, conn, &structs.EventStreamRequest{Index: 7}).Next()
			if tc.code == 0 {
				if err != nil || string(got) != "{}" {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			if code, _ := structs.HTTPStatus(err); code != tc.code {
				t.Errorf("error %v has status %d, want %d", err, code, tc.code)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	conn := peer(t, func(_ net.Conn, in *transport.Reader) { _ = readValue(in, &structs.EventStreamRequest{}) })
	r, err := OpenEventStream(ctx, conn, &structs.EventStreamRequest{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}

// 100,000 events over a connection, with a follower that is cut off twice and comes back with the index after its last.
func TestAFollowerOverAConnectionReconnects(t *testing.T) {
	const total, perBatch = 100_000, 100
	w := newWorld(t)
	broker := events.New(events.Config{Batches: total / perBatch})
	w.srv.deps.Events = worldEvents{broker}
	addr := w.listen()
	published := make(chan struct{})
	go func() {
		defer close(published)
		pool := &structs.NodePool{Name: "edge"}
		for first := uint64(1); first <= total; first += perBatch {
			batch := make([]structs.Event, perBatch)
			for i := range batch {
				batch[i] = structs.Event{Topic: "NodePool", Type: "NodePoolUpserted", Key: "edge", Index: first + uint64(i), Payload: pool}
			}
			broker.Publish(first, batch)
		}
	}()
	pool := transport.NewPool(transport.PoolConfig{})
	t.Cleanup(func() { _ = pool.Close() })
	for want := uint64(1); want <= total; {
		conn, err := pool.Stream(t.Context(), addr, EventStream)
		if err != nil {
			t.Fatal(err)
		}
		r := follow(t, conn, &structs.EventStreamRequest{Index: want})
		heartbeatLine(t, r)
		for end := min(want+total/3, total+1); want < end; want++ {
			if l := next(t, r); l.Index != want || len(l.Events) != 1 || l.Events[0].Index != want {
				t.Fatalf("line %+v, want the one event of index %d", l, want)
			}
		}
		_ = r.Close()
	}
	<-published
	broker.Publish(total+1, []structs.Event{{Topic: "NodePool", Index: total + 1}}) // and the first batch falls out
	_, err := w.follow(t, &structs.EventStreamRequest{Index: perBatch}).Next()
	wantCode(t, err, 410)
}
