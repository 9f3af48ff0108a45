package events

import (
	"context"
	"net/http"
	"slices"

	"github.com/rollcall-id/rollcall/structs"
)

// Subscription is one follower's place in the events. It is for one goroutine.
type Subscription struct {
	broker  *Broker
	topics  filter
	start   uint64 // first index wanted; 0 for none in particular
	listens bool   // to unlogged events

	next         uint64 // number of the next batch
	nextUnlogged uint64
	resets       int
	checked      bool   // start lies behind what the broker knows to be missing
	position     uint64 // all events up to this index have been delivered
	pending      batch  // what is left of the batch taken last
	closed       bool
}

// Frame is the events of one index that a subscription wants, never none.
type Frame struct {
	Index  uint64
	Events []structs.Event
}

// Close gives the place up. It is idempotent.
func (s *Subscription) Close() {
	if s.closed {
		return
	}
	s.closed = true
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	s.broker.subs--
	if s.listens {
		s.broker.listeners.Add(-1)
	}
}

// Next waits for the next frame. Errors are those that end a subscription, as coded errors, and why ctx has ended, after
// which it may be called again.
func (s *Subscription) Next(ctx context.Context) (Frame, error) {
	for {
		if f, ok := s.fromPending(); ok {
			return f, nil
		}
		got, wait, err := s.take()
		switch {
		case err != nil:
			return Frame{}, err
		case got.unlogged != nil:
			if f, ok := s.unloggedFrame(got.unlogged); ok {
				return f, nil
			}
		case got.logged != nil:
			s.pending = got.logged
		default:
			select {
			case <-wait:
			case <-ctx.Done():
				return Frame{}, context.Cause(ctx)
			}
		}
	}
}

// fromPending returns the next index of the batch that was taken.
func (s *Subscription) fromPending() (Frame, bool) {
	for len(s.pending) > 0 {
		index, n := s.pending[0].Index, 1
		for n < len(s.pending) && s.pending[n].Index == index {
			n++
		}
		of := s.pending[:n]
		s.pending = s.pending[n:]
		if index < s.start {
			continue
		}
		s.position = index
		if events := s.topics.of(of); len(events) > 0 {
			return Frame{Index: index, Events: events}, true
		}
	}
	return Frame{}, false
}

// unloggedFrame gives the events the subscription's place as their index.
func (s *Subscription) unloggedFrame(events []structs.Event) (Frame, bool) {
	events = s.topics.of(events)
	for i := range events {
		events[i].Index = s.position
	}
	return Frame{Index: s.position, Events: events}, len(events) > 0
}

// taken is a batch, or unlogged events that are the subscription's.
type taken struct {
	logged   batch
	unlogged []structs.Event
}

// take returns what there is, or if there is nothing a channel that is closed once there may be.
func (s *Subscription) take() (taken, <-chan struct{}, error) {
	b := s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	size := uint64(len(b.ring))
	switch {
	case b.closed:
		return taken{}, nil, structs.Coded(http.StatusServiceUnavailable, "%w", ErrClosed)
	case s.resets != b.resets:
		return taken{}, nil, b.reset()
	case !s.checked && b.known:
		s.checked = true
		if s.start > 0 && s.start <= b.base {
			return taken{}, nil, b.gap(s.start)
		}
		s.position = max(s.position, b.base)
	}
	if s.next < b.first {
		if b.floor >= max(s.start, s.position+1) {
			return taken{}, nil, b.gap(max(s.start, s.position+1))
		}
		s.next = b.first // what is gone was not wanted
	}
	if s.next < b.next {
		got := b.ring[s.next%size]
		s.next++
		return taken{logged: got}, nil, nil
	}
	if n := b.unlogged.next - s.nextUnlogged; s.listens && n > 0 {
		if n > unloggedRoom {
			return taken{}, nil, structs.Coded(http.StatusGone, "%w: this stream was too slow for renewals that no log entry tells of. "+
				"Stream again from index %d", ErrGap, s.position+1)
		}
		got := make([]structs.Event, 0, n)
		for ; s.nextUnlogged < b.unlogged.next; s.nextUnlogged++ {
			got = append(got, b.unlogged.events[s.nextUnlogged%unloggedRoom])
		}
		return taken{unlogged: got}, nil, nil
	}
	if b.wake == nil {
		b.wake = make(chan struct{})
	}
	return taken{}, b.wake, nil
}

// filter is what a subscription wants: the keys of each topic.
type filter map[string][]string

// newFilter returns the filter of a request that is valid. No topics are all topics, no keys all keys.
func newFilter(topics map[string][]string) filter {
	if len(topics) == 0 {
		return nil
	}
	f := make(filter, len(topics))
	for topic, keys := range topics {
		if len(keys) == 0 || slices.Contains(keys, structs.TopicAll) {
			keys = nil
		}
		f[topic] = keys
	}
	return f
}

// wants tells whether any event of the topic might match.
func (f filter) wants(topic string) bool {
	_, named := f[topic]
	_, all := f[structs.TopicAll]
	return f == nil || named || all
}

func (f filter) match(e *structs.Event) bool {
	if f == nil {
		return true
	}
	for _, topic := range [2]string{e.Topic, structs.TopicAll} {
		keys, ok := f[topic]
		if !ok {
			continue
		}
		if keys == nil || slices.Contains(keys, e.Key) || slices.ContainsFunc(e.FilterKeys, func(k string) bool { return slices.Contains(keys, k) }) {
			return true
		}
	}
	return false
}

// of returns copies of the events that match.
func (f filter) of(events []structs.Event) []structs.Event {
	var out []structs.Event
	for i := range events {
		if f.match(&events[i]) {
			out = append(out, events[i])
		}
	}
	return out
}
