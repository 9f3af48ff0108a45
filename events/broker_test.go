package events

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rollcall-id/rollcall/internal/leak"
	"github.com/rollcall-id/rollcall/structs"
)

func TestMain(m *testing.M) { leak.Main(m) }

// change is an event of a node that its log entry's index tells apart.
func change(index uint64) structs.Event {
	return structs.Event{Topic: structs.TopicNode, Type: structs.EventNodeStream, Key: fmt.Sprintf("node-%d", index%7), Index: index}
}

// commit publishes one event for each of the indexes, as one batch.
func commit(b *Broker, indexes ...uint64) {
	var events []structs.Event
	for _, i := range indexes {
		events = append(events, change(i))
	}
	b.Publish(indexes[0], events)
}

func subscribe(t *testing.T, b *Broker, index uint64, topics ...string) *Subscription {
	t.Helper()
	s, err := b.Subscribe(request(index, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func request(index uint64, topics ...string) *structs.EventStreamRequest {
	r := &structs.EventStreamRequest{Index: index, Topics: map[string][]string{}}
	for _, s := range topics {
		topic, key, err := structs.ParseEventTopic(s)
		if err != nil {
			panic(err)
		}
		r.Topics[topic] = append(r.Topics[topic], key)
	}
	return r
}

// drain returns the indexes of the frames that are there, and what comes after them.
func drain(t *testing.T, s *Subscription) ([]uint64, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var got []uint64
	for {
		f, err := s.Next(ctx)
		if errors.Is(err, context.Canceled) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, f.Index)
	}
}

func wantFrames(t *testing.T, s *Subscription, want ...uint64) {
	t.Helper()
	got, err := drain(t, s)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("frames (-want +got):\n%s%v", diff, err)
	}
}

func TestASubscriptionStartsAtTheIndexThatItAsksFor(t *testing.T) {
	for _, tc := range []struct {
		name  string
		index uint64
		want  []uint64
	}{
		{"0 is everything that is there", 0, []uint64{5, 6, 9, 12}},
		{"an index in a batch", 6, []uint64{6, 9, 12}},
		{"an index without events", 7, []uint64{9, 12}},
		{"the index after the newest", 10, []uint64{12}},
		{"an index to come", 12, []uint64{12}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := New(Config{})
			commit(b, 5, 6, 9)
			s := subscribe(t, b, tc.index)
			commit(b, 12)
			wantFrames(t, s, tc.want...)
		})
	}
}

func TestEventsOfOneIndexComeInOneFrame(t *testing.T) {
	b := New(Config{})
	b.Publish(3, []structs.Event{change(3), change(3), change(4)})
	s := subscribe(t, b, 3)
	f, err := s.Next(context.Background())
	if err != nil || f.Index != 3 || len(f.Events) != 2 {
		t.Errorf("first frame %+v, %v; want the two events of index 3", f, err)
	}
	wantFrames(t, s, 4)
}

func TestTopicsAndKeysChooseEvents(t *testing.T) {
	node := structs.Event{Topic: "Node", Key: "a", Index: 2}
	other := structs.Event{Topic: "Node", Key: "b", Index: 3}
	pool := structs.Event{Topic: "NodePool", Key: "gpu", Index: 4}
	identity := structs.Event{Topic: "Identity", Key: "a", FilterKeys: []string{"key-1", "gpu"}, Index: 5}
	for _, tc := range []struct {
		name   string
		topics []string
		want   []uint64
	}{
		{"no topic is all of them", nil, []uint64{2, 3, 4, 5}},
		{"the star is all of them", []string{"*"}, []uint64{2, 3, 4, 5}},
		{"a topic", []string{"Node"}, []uint64{2, 3}},
		{"a topic with a star", []string{"Node:*"}, []uint64{2, 3}},
		{"a key", []string{"Node:b"}, []uint64{3}},
		{"two keys", []string{"Node:b", "Node:a"}, []uint64{2, 3}},
		{"a key in a topic of which all is wanted", []string{"Node:b", "Node"}, []uint64{2, 3}},
		{"two topics", []string{"Node:a", "NodePool"}, []uint64{2, 4}},
		{"a key in any topic", []string{"*:gpu"}, []uint64{4, 5}},
		{"a filter key", []string{"Identity:key-1"}, []uint64{5}},
		{"a topic without events here", []string{"Job"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := New(Config{})
			s := subscribe(t, b, 0, tc.topics...)
			b.Publish(2, []structs.Event{node, other, pool, identity})
			wantFrames(t, s, tc.want...)
		})
	}
}

func TestEventsThatHaveLeftTheBufferAreAGap(t *testing.T) {
	b := New(Config{Batches: 2})
	slow := subscribe(t, b, 1)
	late := subscribe(t, b, 4) // what it is behind in is not what it wants
	commit(b, 1)
	commit(b, 2, 3)
	commit(b, 4)
	if _, err := drain(t, slow); !errors.Is(err, ErrGap) {
		t.Errorf("a subscription whose events are gone ended with %v, want a gap", err)
	}
	commit(b, 5)
	wantFrames(t, late, 4, 5)
	for index, gap := range map[uint64]bool{1: true, 3: true, 4: false, 0: false} {
		s, err := b.Subscribe(request(index))
		if errors.Is(err, ErrGap) != gap {
			t.Errorf("from index %d: %v, want a gap: %t", index, err, gap)
		}
		if err == nil {
			s.Close()
		}
	}
}

// A server that restores a snapshot does not learn how far in the log it reaches before the next entry.
func TestAfterARestoreEverybodyStartsAnew(t *testing.T) {
	b := New(Config{})
	commit(b, 10)
	before := subscribe(t, b, 10)
	b.Reset(8)
	if _, err := drain(t, before); !errors.Is(err, ErrReset) {
		t.Errorf("a subscription to the old state ended with %v, want a reset", err)
	}
	if _, err := b.Subscribe(request(10)); !errors.Is(err, ErrGap) {
		t.Errorf("index 10 is of the old state, and asking for it got %v", err)
	}
	tooEarly, inTime, any := subscribe(t, b, 15), subscribe(t, b, 21), subscribe(t, b, 0)
	commit(b, 21) // the snapshot reached up to 20
	if got, err := drain(t, tooEarly); !errors.Is(err, ErrGap) || len(got) > 0 {
		t.Errorf("from an index within the snapshot: %v, %v; want a gap at once", got, err)
	}
	wantFrames(t, inTime, 21)
	wantFrames(t, any, 21)
}

func TestUnloggedEventsCarryThePlaceOfTheSubscription(t *testing.T) {
	b := New(Config{})
	renewal := structs.Event{Topic: structs.TopicIdentity, Type: structs.EventIdentityRenewed, Key: "a"}
	b.PublishUnlogged(renewal) // nobody listens
	deaf := subscribe(t, b, 0, "Node")
	if b.Listening() {
		t.Error("a subscription to nodes alone counts as one to identities")
	}
	commit(b, 5)
	s := subscribe(t, b, 0, "Identity")
	if !b.Listening() {
		t.Error("a subscription to identities does not count")
	}
	b.PublishUnlogged(renewal)
	commit(b, 6)
	f, err := s.Next(context.Background())
	want := Frame{Index: 6, Events: []structs.Event{{Topic: "Identity", Type: "IdentityRenewed", Key: "a", Index: 6}}}
	if diff := cmp.Diff(want, f); diff != "" || err != nil {
		t.Errorf("the renewal (-want +got):\n%s%v", diff, err)
	}
	wantFrames(t, s)
	wantFrames(t, deaf, 5, 6)
	for range unloggedRoom + 1 {
		b.PublishUnlogged(renewal)
	}
	if _, err := drain(t, s); !errors.Is(err, ErrGap) {
		t.Errorf("a subscription that is too slow for renewals ended with %v, want a gap", err)
	}
	s.Close()
	s.Close()
	if b.Listening() {
		t.Error("a subscription counts after it was closed")
	}
}

func TestSubscriptionsAreCounted(t *testing.T) {
	b := New(Config{Subscriptions: 1})
	s := subscribe(t, b, 0)
	if _, err := b.Subscribe(request(0)); !errors.Is(err, ErrTooMany) {
		t.Errorf("the second of one subscription: %v", err)
	}
	s.Close()
	s = subscribe(t, b, 0)
	b.Close()
	if _, err := drain(t, s); !errors.Is(err, ErrClosed) {
		t.Errorf("a subscription to a server that stops: %v", err)
	}
	if _, err := b.Subscribe(request(0)); !errors.Is(err, ErrClosed) {
		t.Errorf("subscribing at a server that stops: %v", err)
	}
}

func TestASubscriptionWaitsAndIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Config{})
		const followers = 20
		got := make(chan uint64, followers)
		for range followers {
			s := subscribe(t, b, 7)
			go func() {
				f, err := s.Next(context.Background())
				if err != nil {
					t.Error(err)
				}
				got <- f.Index
			}()
		}
		synctest.Wait()
		commit(b, 3) // nothing that they want
		synctest.Wait()
		if len(got) > 0 {
			t.Error("a follower got an event before the index that it asked for")
		}
		commit(b, 7)
		for range followers {
			if i := <-got; i != 7 {
				t.Errorf("frame of index %d", i)
			}
		}
	})
}

// The naive model of a subscription is the list of all that was ever published.
func TestTheBufferLosesAndDoublesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := New(Config{Batches: rapid.IntRange(1, 5).Draw(t, "batches")})
		var all []uint64 // indexes with an event
		next := uint64(1)
		type follower struct {
			s    *Subscription
			want uint64 // the next index that it has not got
		}
		var followers []*follower
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(t *rapid.T) {
				first := next
				var events []structs.Event
				for range rapid.IntRange(1, 4).Draw(t, "entries") {
					if rapid.Bool().Draw(t, "changes something") {
						events = append(events, change(next))
						all = append(all, next)
					}
					next++
				}
				b.Publish(first, events)
			},
			"subscribe": func(t *rapid.T) {
				index := rapid.Uint64Range(1, next+3).Draw(t, "index")
				s, err := b.Subscribe(request(index))
				if err == nil {
					followers = append(followers, &follower{s, index})
				} else if !errors.Is(err, ErrGap) || index > b.floor {
					t.Fatalf("from index %d with everything after %d there: %v", index, b.floor, err)
				}
			},
			"read": func(t *rapid.T) {
				if len(followers) == 0 {
					t.Skip("nobody follows")
				}
				at := rapid.IntRange(0, len(followers)-1).Draw(t, "follower")
				f := followers[at]
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				frame, err := f.s.Next(ctx)
				expected := uint64(0)
				for _, i := range all {
					if i >= f.want {
						expected = i
						break
					}
				}
				switch {
				case errors.Is(err, ErrGap):
					if b.floor < f.want {
						t.Fatalf("a gap for one who wants index %d, with everything after %d there", f.want, b.floor)
					}
					f.s.Close()
					followers = append(followers[:at], followers[at+1:]...)
				case errors.Is(err, context.Canceled):
					if expected != 0 {
						t.Fatalf("nothing for one who wants index %d, though %d was published", f.want, expected)
					}
				case err != nil:
					t.Fatal(err)
				case frame.Index != expected:
					t.Fatalf("one who wants index %d got %d, want %d", f.want, frame.Index, expected)
				default:
					f.want = frame.Index + 1
				}
			},
		})
	})
}

// 100,000 events, with a follower that goes away in the middle and comes back with the index after its last.
func TestAFollowerReconnectsAndMissesNothing(t *testing.T) {
	const total, perBatch = 100_000, 50
	b := New(Config{Batches: total / perBatch})
	go func() {
		for i := uint64(1); i <= total; i += perBatch {
			var batch []uint64
			for j := range uint64(perBatch) {
				batch = append(batch, i+j)
			}
			commit(b, batch...)
		}
	}()
	want := uint64(1)
	for want <= total {
		s, err := b.Subscribe(request(want))
		if err != nil {
			t.Fatal(err)
		}
		for end := min(want+total/3, total+1); want < end; want++ {
			f, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if f.Index != want || len(f.Events) != 1 {
				t.Fatalf("frame of index %d with %d events, want index %d with one", f.Index, len(f.Events), want)
			}
		}
		s.Close()
	}
	commit(b, total+1) // and one falls out
	if _, err := b.Subscribe(request(1)); !errors.Is(err, ErrGap) {
		t.Errorf("beyond the buffer: %v, want a gap", err)
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, subs := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("subscriptions=%d", subs), func(b *testing.B) {
			broker := New(Config{})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{}, subs)
			for range subs {
				s, err := broker.Subscribe(request(0))
				if err != nil {
					b.Fatal(err)
				}
				go func() {
					defer func() { s.Close(); done <- struct{}{} }()
					for {
						if _, err := s.Next(ctx); err != nil {
							return
						}
					}
				}()
			}
			events := []structs.Event{change(1)}
			b.ReportAllocs()
			for b.Loop() {
				broker.Publish(1, events)
			}
			cancel()
			for range subs {
				<-done
			}
		})
	}
}
