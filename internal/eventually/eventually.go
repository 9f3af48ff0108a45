// Package eventually waits in tests for what real goroutines, sockets and processes do in their own time: it looks
// at a condition again and again until it holds, and fails the test with what was last wrong when it does not.
// Where no real I/O is involved, testing/synctest is better.
package eventually

import (
	"testing"
	"time"
)

const (
	// Patience is how long a condition may take; generous, since machines are slow at times.
	Patience = time.Minute
	interval = 5 * time.Millisecond
)

// True waits until ok returns nil. It must be called from the test's goroutine.
func True(t testing.TB, what string, ok func() error) {
	t.Helper()
	Every(t, interval, what, ok)
}

// Every is True with a given pause between two looks.
func Every(t testing.TB, pause time.Duration, what string, ok func() error) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s did not come about within %s: %v", what, Patience, err)
		case <-tick.C:
		}
	}
}
