// The race detector keeps notes of every byte that is allocated, which take memory of their own.

//go:build !race

package heap

import (
	"fmt"
	"os"
	"runtime"
	"testing"
)

// resident returns how much memory the process has, in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// Asking again finds the room of the last time, which must not be cleared: that would take all of it from the machine.
func TestRoomTakesNoMemoryUntilItIsWritten(t *testing.T) {
	before := resident(t)
	for range 3 {
		grow(firstRoom)
		runtime.GC()
	}
	if took := resident(t) - before; took > firstRoom/4 {
		t.Errorf("%d MiB were taken for room that nobody has used", took>>20)
	}
}

// Room that its maker keeps is of no use: what is loaded meanwhile would get memory elsewhere.
func TestRoomIsLeftToOthersAtOnce(t *testing.T) {
	grow(firstRoom)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapIdle < firstRoom {
		t.Errorf("%d MiB of the heap are idle, want the %d that were asked for", m.HeapIdle>>20, int64(firstRoom)>>20)
	}
}
