package server

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// testLease is good for 100 ms; verify takes the given time.
func testLease(takes time.Duration, err *atomic.Pointer[error]) (*lease, *atomic.Int64) {
	var asked atomic.Int64
	verify := func() error {
		asked.Add(1)
		_ = pause(context.Background(), takes) // nobody ends it
		if e := err.Load(); e != nil {
			return *e
		}
		return nil
	}
	return newLease(verify, time.Now, leaseShare*100*time.Millisecond), &asked
}

// advance lets fake time pass, and whatever is due then happen.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// checks calls check from n goroutines and delivers what each got.
func checks(ctx context.Context, l *lease, n int) <-chan error {
	out := make(chan error, n)
	for range n {
		go func() { out <- l.check(ctx) }()
	}
	return out
}

func TestLease(t *testing.T) {
	var fine atomic.Pointer[error]
	tests := []struct {
		name string
		run  func(t *testing.T)
	}{
		{"calls at the same time share one verification", func(t *testing.T) {
			l, asked := testLease(10*time.Millisecond, &fine)
			got := checks(t.Context(), l, 1000)
			for range 1000 {
				if err := <-got; err != nil {
					t.Fatal(err)
				}
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("quorum asked %d times, want once", n)
			}
		}},
		{"a verification serves until it is no longer fresh, counted from when it was asked for", func(t *testing.T) {
			l, asked := testLease(40*time.Millisecond, &fine)
			for _, step := range []struct {
				after time.Duration
				want  int64
			}{{0, 1}, {59 * time.Millisecond, 1}, {time.Millisecond, 2}} {
				advance(step.after)
				if err := l.check(t.Context()); err != nil || asked.Load() != step.want {
					t.Fatalf("after %v more: %v, asked %d times, want %d", step.after, err, asked.Load(), step.want)
				}
			}
		}},
		{"a failure reaches every call that shared the verification and is not remembered", func(t *testing.T) {
			lost := errors.New("quorum lost")
			var failing atomic.Pointer[error]
			failing.Store(&lost)
			l, asked := testLease(10*time.Millisecond, &failing)
			got := checks(t.Context(), l, 50)
			for range 50 {
				if err := <-got; !errors.Is(err, structs.ErrNoLeader) || !errors.Is(err, lost) {
					t.Fatalf("got %v, want no leader because the quorum is lost", err)
				}
			}
			failing.Store(nil)
			if err := l.check(t.Context()); err != nil || asked.Load() != 2 {
				t.Errorf("after recovery: %v, asked %d times, want 2", err, asked.Load())
			}
		}},
		{"a call that finds an old verification under way, stale when it comes, asks again", func(t *testing.T) {
			l, asked := testLease(150*time.Millisecond, &fine)
			first := checks(t.Context(), l, 1)
			advance(120 * time.Millisecond)
			second := checks(t.Context(), l, 1)
			if err := <-first; err != nil {
				t.Fatal(err)
			}
			if err := <-second; err != nil {
				t.Fatal(err)
			}
			if n := asked.Load(); n != 2 {
				t.Errorf("quorum asked %d times, want 2: the second call came after the first verification's lease began", n)
			}
		}},
		{"a drop during a verification makes it count for nothing", func(t *testing.T) {
			l, asked := testLease(20*time.Millisecond, &fine)
			got := checks(t.Context(), l, 10)
			synctest.Wait()
			l.drop()
			for range 10 {
				if err := <-got; !errors.Is(err, structs.ErrNoLeader) {
					t.Fatalf("got %v, want no leader", err)
				}
			}
			if err := l.check(t.Context()); err != nil || asked.Load() != 2 {
				t.Errorf("after the drop: %v, asked %d times, want a second time", err, asked.Load())
			}
		}},
		{"a drop ends a fresh lease", func(t *testing.T) {
			l, asked := testLease(0, &fine)
			_ = l.check(t.Context())
			l.drop()
			if err := l.check(t.Context()); err != nil || asked.Load() != 2 {
				t.Errorf("%v, asked %d times, want 2", err, asked.Load())
			}
		}},
		{"nothing is verified during a handover, nor does one under way count", func(t *testing.T) {
			l, asked := testLease(20*time.Millisecond, &fine)
			got := checks(t.Context(), l, 1)
			synctest.Wait()
			over := l.handover()
			if err := <-got; !errors.Is(err, structs.ErrNoLeader) {
				t.Errorf("verification under way: %v", err)
			}
			if err := l.check(t.Context()); !errors.Is(err, structs.ErrNoLeader) || asked.Load() != 1 {
				t.Errorf("during the handover: %v, asked %d times", err, asked.Load())
			}
			over()
			if err := l.check(t.Context()); err != nil {
				t.Errorf("after the handover: %v", err)
			}
		}},
		{"handovers at the same time hold until the last is over", func(t *testing.T) {
			l, _ := testLease(0, &fine)
			first, second := l.handover(), l.handover()
			first()
			if err := l.check(t.Context()); !errors.Is(err, structs.ErrNoLeader) {
				t.Errorf("one of two over: %v", err)
			}
			second()
			if err := l.check(t.Context()); err != nil {
				t.Errorf("both over: %v", err)
			}
		}},
		{"a caller that goes away does not end the verification for others", func(t *testing.T) {
			l, asked := testLease(50*time.Millisecond, &fine)
			ctx, cancel := context.WithCancel(t.Context())
			gone := checks(ctx, l, 1)
			synctest.Wait()
			stays := checks(t.Context(), l, 1)
			cancel()
			if err := <-gone; !errors.Is(err, context.Canceled) {
				t.Errorf("caller that left got %v", err)
			}
			if err := <-stays; err != nil || asked.Load() != 1 {
				t.Errorf("caller that stayed got %v, asked %d times", err, asked.Load())
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { synctest.Test(t, tt.run) })
	}
}

func TestLeaseUnderSteadyLoadAsksOncePerWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fine atomic.Pointer[error]
		l, asked := testLease(time.Millisecond, &fine)
		const calls, every = 10_000, 100 * time.Microsecond // a second of load
		got := make(chan error, calls)
		for range calls {
			go func() { got <- l.check(t.Context()) }()
			time.Sleep(every)
		}
		for range calls {
			if err := <-got; err != nil {
				t.Fatal(err)
			}
		}
		// 10 windows of 100 ms; a call that joins the last moment of one may ask once more.
		if n := asked.Load(); n < 9 || n > 12 {
			t.Errorf("quorum asked %d times for %d calls in a second, want about 10", n, calls)
		}
	})
}

func TestALeaseErrorReadsAsNothingDone(t *testing.T) {
	// Whoever forwarded a call tells by the error's end whether it may ask the next leader.
	synctest.Test(t, func(t *testing.T) {
		lost := errors.New("quorum lost")
		var failing atomic.Pointer[error]
		failing.Store(&lost)
		l, _ := testLease(0, &failing)
		over := l.handover()
		handed := l.check(t.Context())
		over()
		for _, err := range []error{handed, l.check(t.Context())} {
			if err == nil || !strings.HasSuffix(err.Error(), structs.ErrNoLeader.Error()) {
				t.Errorf("%v does not end in %q", err, structs.ErrNoLeader)
			}
		}
	})
}
