package heap

import (
	"bytes"
	"io"
	"testing"
)

func TestRoomIsAskedForAheadOfTheState(t *testing.T) {
	for name, tc := range map[string]struct {
		loaded int64
		room   int64
	}{
		"nothing for a state that is little":     {little, 0},
		"once it is not":                         {little + 1, firstRoom},
		"as much again when half of it is taken": {firstRoom/2 + 1, 2 * firstRoom},
		"never more than a gigabyte at once":     {firstRoom * 5, 3 * mostRoom},
	} {
		t.Run(name, func(t *testing.T) {
			g := Growth{}
			for done := int64(0); done < tc.loaded; {
				n := min(little/4, tc.loaded-done)
				g.Loaded(int(n))
				done += n
			}
			if g.loaded != tc.loaded || g.room != tc.room {
				t.Errorf("%d bytes loaded and %d of room, want %d and %d", g.loaded, g.room, tc.loaded, tc.room)
			}
		})
	}
}

func TestReaderHandsOnWhatItReads(t *testing.T) {
	state := bytes.Repeat([]byte("state"), 2<<20)
	r := NewReader(bytes.NewReader(state))
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, state) {
		t.Errorf("%d of %d bytes: %v", len(got), len(state), err)
	}
	if r.heap.loaded != int64(len(state)) || r.heap.room != firstRoom {
		t.Errorf("%d bytes noted, %d of room", r.heap.loaded, r.heap.room)
	}
}
