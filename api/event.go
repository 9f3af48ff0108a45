package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

const (
	// eventSilence is how long a server may say nothing on an event stream: it sends a line every 30 s.
	eventSilence = 90 * time.Second
	// maxEventLine bounds the events of one index in bytes.
	maxEventLine = 128 << 20
)

// ErrEventStreamEnded is how a stream ends that the server did not say more about: it stopped, or the connection broke.
// Stream again, from the index after that of the last Events.
var ErrEventStreamEnded = errors.New("the event stream ended")

// Event is one change of the cluster's state.
type Event struct {
	Topic      string
	Type       string
	Key        string // the ID or name of what has changed
	Namespace  string
	FilterKeys []string
	Index      uint64
	Payload    json.RawMessage // an object with one key, the topic
}

// Decode reads the payload into v, a pointer to what the topic's payload is.
func (e *Event) Decode(v any) error {
	var payload map[string]json.RawMessage
	err := json.Unmarshal(e.Payload, &payload)
	if err == nil {
		err = json.Unmarshal(payload[e.Topic], v)
	}
	if err != nil {
		return fmt.Errorf("decode payload of %s %s: %w", e.Type, e.Key, err)
	}
	return nil
}

// Events are the changes of one index of the log that were asked for.
type Events struct {
	Index  uint64
	Events []Event
}

// EventOptions choose what an event stream tells.
type EventOptions struct {
	Topics []string // "Topic" or "Topic:key"; none means everything
	// Index is the first index wanted; 0 means what the server has, and what comes.
	Index     uint64
	Region    string // overrides the client's
	Namespace string // overrides the client's
}

// EventStream is a stream of changes. It is for one goroutine, but for Close. Close it.
type EventStream struct {
	*openStream
	lines *bufio.Scanner
}

// StreamEvents asks for changes. It returns when the server has accepted.
//
// Errors: a *StatusError with 410 when events from the index on are no longer there: read the state, then stream from the
// index that comes with it, plus one.
func (c *Client) StreamEvents(ctx context.Context, o *EventOptions) (*EventStream, error) {
	if o == nil {
		o = &EventOptions{}
	}
	params := c.scope(o.Region, o.Namespace)
	params["topic"] = o.Topics
	if o.Index > 0 {
		params.Set("index", strconv.FormatUint(o.Index, 10))
	}
	open, err := c.stream(ctx, "/v1/event/stream", params, eventSilence)
	if err != nil {
		return nil, err
	}
	s := &EventStream{open, bufio.NewScanner(open)}
	s.lines.Buffer(nil, maxEventLine)
	return s, nil
}

// Next waits for the next changes. It ends with a *StatusError if the server said why, else with an error that wraps
// ErrEventStreamEnded, and why ctx ended if it did.
func (s *EventStream) Next() (*Events, error) {
	for s.lines.Scan() {
		var line struct {
			Events
			Error *struct {
				Code    int
				Message string
			}
		}
		if err := json.Unmarshal(s.lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("decode events: %w", err)
		}
		switch {
		case line.Error != nil:
			return nil, &StatusError{Code: line.Error.Code, Body: line.Error.Message}
		case len(line.Events.Events) > 0:
			return &line.Events, nil
		}
	}
	if err := s.lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEventStreamEnded, err)
	}
	return nil, ErrEventStreamEnded
}
