package events

import (
	"errors"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/rollcall-id/rollcall/structs"
)

// DefaultBatches is how many batches a server keeps (wire.md §5.8).
const DefaultBatches = 100

// DefaultSubscriptions bounds the subscriptions of one server; each may have one encoded frame in memory.
const DefaultSubscriptions = 1024

// unloggedRoom is how many unlogged events a subscription may be behind.
const unloggedRoom = 4096

// What ends a subscription. All but ErrClosed are for the follower to act on.
var (
	// ErrGap: events that were asked for are no longer here. Read the state, then subscribe from the index after it.
	ErrGap = errors.New("events were lost")
	// ErrReset: the state was replaced by a snapshot. Read the state, then subscribe from the index after it.
	ErrReset = errors.New("the state was replaced by a snapshot")
	// ErrTooMany: there are as many subscriptions as there may be. Try another server, or later.
	ErrTooMany = errors.New("too many event streams on this server")
	// ErrClosed: the server stops. Subscribe at another one from the index after the last frame's.
	ErrClosed = errors.New("the server is shutting down")
)

// Config bounds a Broker. Values of 0 mean the defaults.
type Config struct {
	Batches       int
	Subscriptions int
}

// batch is what one commit changed: never empty, by ascending index.
type batch []structs.Event

func (b batch) last() uint64 { return b[len(b)-1].Index }

// Broker is the buffer of one server. It is safe for concurrent use; Publish and Reset are for one goroutine.
type Broker struct {
	maxSubs int

	listeners atomic.Int64 // subscriptions to unlogged events

	mu   sync.Mutex // guards the fields below
	ring []batch    // the batch with the number n is at n modulo its length
	// first and next are the numbers of the oldest batch there is and of the next one.
	first, next uint64
	// floor is the highest index whose events may not all be in the ring. known is false after a reset until the next
	// Publish says where the log goes on.
	floor    uint64
	known    bool
	base     uint64 // floor when it became known: before anything left the ring
	last     uint64 // index of the newest event
	resets   int
	subs     int
	closed   bool
	wake     chan struct{} // closed when there is something new; nil while nobody waits
	unlogged unloggedRing
}

// unloggedRing holds the latest events that no log entry made.
type unloggedRing struct {
	events [unloggedRoom]structs.Event
	next   uint64 // number of the next one; the one with the number n is at n modulo unloggedRoom
}

// New returns a broker over a state whose log has not begun.
func New(cfg Config) *Broker {
	if cfg.Batches <= 0 {
		cfg.Batches = DefaultBatches
	}
	if cfg.Subscriptions <= 0 {
		cfg.Subscriptions = DefaultSubscriptions
	}
	return &Broker{ring: make([]batch, cfg.Batches), maxSubs: cfg.Subscriptions}
}

// Publish takes what a commit changed, which may be nothing; first is the index of its first log entry.
func (b *Broker) Publish(first uint64, events []structs.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.known {
		b.known = true
		b.floor = max(b.floor, first-1)
		b.base = b.floor
		b.wakeAll()
	}
	if len(events) == 0 {
		return
	}
	size := uint64(len(b.ring))
	if b.next-b.first == size {
		b.floor = b.ring[b.first%size].last()
		b.first++
	}
	b.ring[b.next%size] = events
	b.next++
	b.last = batch(events).last()
	b.wakeAll()
}

// Reset forgets everything and ends all subscriptions: the state is another one, with index the highest of its tables.
func (b *Broker) Reset(index uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.ring)
	b.first, b.next = 0, 0
	b.floor, b.last = max(b.floor, b.last, index), max(b.last, index)
	b.known = false
	b.resets++
	b.wakeAll()
}

// Close ends all subscriptions. What is published after it goes nowhere.
func (b *Broker) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.wakeAll()
}

// Listening tells whether an unlogged event would reach anybody. It costs next to nothing.
func (b *Broker) Listening() bool { return b.listeners.Load() > 0 }

// PublishUnlogged takes an event that no log entry made. Its index is set as it is delivered.
func (b *Broker) PublishUnlogged(e structs.Event) {
	if !b.Listening() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unlogged.events[b.unlogged.next%unloggedRoom] = e
	b.unlogged.next++
	b.wakeAll()
}

// wakeAll makes all that wait look again.
func (b *Broker) wakeAll() {
	if b.wake != nil {
		close(b.wake)
		b.wake = nil
	}
}

// Subscribe begins a subscription to the topics of req from the first index that it asks for. Close it.
//
// Errors: ErrGap when that index, or one after it, may have had events that are gone; ErrTooMany, ErrClosed.
func (b *Broker) Subscribe(req *structs.EventStreamRequest) (*Subscription, error) {
	s := &Subscription{broker: b, topics: newFilter(req.Topics), start: req.Index}
	s.listens = s.topics.wants(structs.TopicIdentity)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, structs.Coded(http.StatusServiceUnavailable, "%w", ErrClosed)
	case b.subs >= b.maxSubs:
		return nil, structs.Coded(http.StatusTooManyRequests, "%w", ErrTooMany)
	case s.start > 0 && s.start <= b.floor:
		return nil, b.gap(s.start)
	}
	b.subs++
	if s.listens {
		b.listeners.Add(1)
	}
	s.resets, s.next, s.nextUnlogged = b.resets, b.first, b.unlogged.next
	s.checked = b.known
	s.position = b.floor
	for s.next < b.next && b.ring[s.next%uint64(len(b.ring))].last() < s.start {
		s.next++
	}
	if s.start > 0 {
		s.position = s.start - 1
	}
	return s, nil
}

// gap is the error of a follower that wants events from index on.
func (b *Broker) gap(index uint64) error {
	return structs.Coded(http.StatusGone, "%w: this server may no longer have all events from index %d on (it has those after %d). "+
		"Read the state anew and stream from the index that comes with it, plus one", ErrGap, index, b.floor)
}

func (b *Broker) reset() error {
	return structs.Coded(http.StatusGone, "%w: what was streamed before does not lead to it. "+
		"Read the state anew and stream from the index that comes with it, plus one", ErrReset)
}
