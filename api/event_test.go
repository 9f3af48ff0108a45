package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func TestStreamEventsReadsLineAfterLine(t *testing.T) {
	c, got := serve(t, 200, "{}\n"+
		`{"Index":7,"Events":[{"Topic":"NodePool","Type":"NodePoolUpserted","Key":"edge","Index":7,"Payload":{"NodePool":{"Name":"edge"}}}]}`+"\n{}\n"+
		`{"Error":{"Code":410,"Message":"events were lost"}}`+"\n")
	s, err := c.StreamEvents(t.Context(), &EventOptions{Topics: []string{"NodePool", "Node:a"}, Index: 7, Region: "eu"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got.Line != "GET /v1/event/stream?index=7&region=eu&topic=NodePool&topic=Node%3Aa" {
		t.Errorf("asked %s", got.Line)
	}
	events, err := s.Next()
	if err != nil || events.Index != 7 || len(events.Events) != 1 {
		t.Fatalf("%+v, %v", events, err)
	}
	var pool structs.NodePool
	if err := events.Events[0].Decode(&pool); err != nil || pool.Name != "edge" {
		t.Errorf("payload %+v, %v", pool, err)
	}
	if err := events.Events[0].Decode(new(int)); err == nil {
		t.Error("a pool is a number")
	}
	_, err = s.Next()
	if diff := cmp.Diff(error(&StatusError{Code: 410, Body: "events were lost"}), err); diff != "" {
		t.Errorf("the end (-want +got):\n%s", diff)
	}
	if _, err := s.Next(); !errors.Is(err, ErrEventStreamEnded) {
		t.Errorf("after the end: %v", err)
	}
}

func TestStreamEventsIsRefused(t *testing.T) {
	c, _ := serve(t, 410, "events were lost")
	var refusal *StatusError
	if _, err := c.StreamEvents(t.Context(), nil); !errors.As(err, &refusal) || refusal.Code != 410 {
		t.Errorf("got %v", err)
	}
	c, _ = serve(t, 200, "no JSON\n")
	s, err := c.StreamEvents(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Next(); err == nil || errors.Is(err, ErrEventStreamEnded) {
		t.Errorf("what is no JSON: %v", err)
	}
}

func TestStreamEventsEndsWithItsContext(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "{}\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer srv.Close()
	c, err := New(Config{Address: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	s, err := c.StreamEvents(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cancel()
	if _, err := s.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
