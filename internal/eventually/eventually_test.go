package eventually

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestTrueLooksAgainUntilTheConditionHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		True(t, "the third look", func() error {
			if looks++; looks < 3 {
				return errors.New("not yet")
			}
			return nil
		})
		if looks != 3 {
			t.Errorf("looked %d times, want 3", looks)
		}
	})
}

// failing records a fatal failure and ends the goroutine as a real test does.
type failing struct {
	testing.TB
	failed chan struct{}
}

func (f failing) Helper() {}

func (f failing) Fatalf(string, ...any) {
	close(f.failed)
	panic(f)
}

func TestTrueFailsWhenPatienceIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f := failing{TB: t, failed: make(chan struct{})}
		func() {
			defer func() { _ = recover() }()
			True(f, "the impossible", func() error { return errors.New("never") })
		}()
		select {
		case <-f.failed:
		default:
			t.Error("did not fail")
		}
		if d := time.Since(began); d != Patience {
			t.Errorf("failed after %s, want %s", d, Patience)
		}
	})
}
