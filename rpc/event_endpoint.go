package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// Events are the changes of this server's state.
type Events interface {
	// Subscribe begins a subscription. Its errors, like those that end one, are coded.
	Subscribe(req *structs.EventStreamRequest) (EventSubscription, error)
	// Listening tells whether PublishUnlogged has anybody to tell.
	Listening() bool
	// PublishUnlogged tells those who listen here now of something that is in no log.
	PublishUnlogged(e structs.Event)
}

// EventSubscription is one follower's place among the events. It is for one goroutine.
type EventSubscription interface {
	// Next waits for the events of the next index, or for the end of ctx, after which it may be called again.
	Next(ctx context.Context) (index uint64, events []structs.Event, err error)
	Close()
}

const (
	// eventHeartbeat is the silence after which a stream says that it is still there (wire.md §5.8).
	eventHeartbeat = 30 * time.Second
	// eventWriteTimeout is how long a caller may take over one frame.
	eventWriteTimeout = time.Minute
)

func (s *Server) registerEventMethods() {
	handleStream(s, Spec{Name: EventStream, Route: RouteRegion, Blocking: true}, s.eventStream,
		func(code int, message string) any { return &structs.EventFrame{Error: newStreamError(code, message)} })
}

// eventStream sends the changes of this server's state as they come: events are the same on every server, so that a
// stream need not end when another one becomes the leader.
func (s *Server) eventStream(c *Call, req *structs.EventStreamRequest, st *stream) error {
	if err := req.Validate(); err != nil {
		return structs.Coded(http.StatusBadRequest, "%w", err)
	}
	if s.deps.Events == nil {
		return structs.Coded(http.StatusNotImplemented, "the event stream is disabled on this server (server.enable_event_broker)")
	}
	sub, err := s.deps.Events.Subscribe(req)
	if err != nil {
		return err
	}
	defer sub.Close()
	rights := &streamRights{c: c, req: req}
	defer rights.close()
	if err := rights.check(); err != nil {
		return err
	}
	if err := st.sendEvent(struct{}{}); err != nil {
		return err
	}
	for beat := time.Now().Add(eventHeartbeat); ; {
		sent, err := st.nextEvents(sub, rights, beat)
		if err != nil || c.ctx.Err() != nil {
			return err
		}
		if sent {
			beat = time.Now().Add(eventHeartbeat)
		}
	}
}

// nextEvents waits for the events of the next index, sends what the caller may still see of them, and a heartbeat when there
// are none until beat. It returns without an error, too, when the caller has gone or the server stops.
func (st *stream) nextEvents(sub EventSubscription, rights *streamRights, beat time.Time) (sent bool, err error) {
	ctx, cancel := rights.until(beat)
	index, events, err := sub.Next(ctx)
	cancel()
	waited := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errRightsChanged)
	switch {
	case rights.c.ctx.Err() != nil:
		return false, nil
	case err != nil && !waited:
		return false, err
	}
	if err := rights.check(); err != nil {
		return false, err
	}
	events = rights.c.visibleEvents(events)
	switch {
	case len(events) > 0:
		return true, st.sendEvent(&eventsOfIndex{index, events})
	case !time.Now().Before(beat):
		return true, st.sendEvent(struct{}{})
	}
	return false, nil
}

// eventsOfIndex is a line of the stream (wire.md §5.8).
type eventsOfIndex struct {
	Index  uint64
	Events []structs.Event
}

// MarshalJSON encodes the events where they are: Event's own method is the pointer's.
func (e *eventsOfIndex) MarshalJSON() ([]byte, error) {
	shown := make([]*structs.Event, len(e.Events))
	for i := range e.Events {
		shown[i] = &e.Events[i]
	}
	return json.Marshal(struct {
		Index  uint64
		Events []*structs.Event
	}{e.Index, shown})
}

func (st *stream) sendEvent(line any) error {
	data, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("encode events: %w", err)
	}
	if err := st.SetWriteDeadline(time.Now().Add(eventWriteTimeout)); err != nil {
		return err
	}
	return st.send(&structs.EventFrame{Event: &structs.EventData{Data: data}})
}

// newStreamError is an error as streams carry it.
func newStreamError(code int, message string) *structs.StreamError {
	c := int64(code)
	return &structs.StreamError{Message: message, Code: &c}
}

// tellRenewed tells whoever follows renewals here of one that the log says nothing of.
func (s *Server) tellRenewed(c *Call, n *structs.Node, minted *identity) {
	if s.deps.Events == nil || !s.deps.Events.Listening() {
		return
	}
	s.deps.Events.PublishUnlogged(structs.NewIdentityChange(n, minted.keyID, n.IdentitySigningKeyID, c.now.Unix(), minted.ttl).Event(0))
}
