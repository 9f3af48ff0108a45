package fsm

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/structs"
)

// FuzzApply: whatever a log entry holds, applying it does not panic, an error changes nothing, and the state that comes out
// can be saved and restored.
func FuzzApply(f *testing.F) {
	for _, e := range newGenerator(f, 1).log(300) {
		f.Add(e.Data)
	}
	f.Add([]byte{})
	f.Add([]byte{byte(structs.NodeRegisterMsg), 0xc0})
	f.Add([]byte{byte(structs.BatchNodeUpdateDrainMsg), 0x81, 0xa7, 'U', 'p', 'd', 'a', 't', 'e', 's', 0x81, 0xa1, 'a', 0xc0})
	base := persist(f, func() *FSM {
		base := New(Config{})
		base.ApplyBatch(newGenerator(f, 1).log(60))
		return base
	}())
	f.Fuzz(func(t *testing.T, data []byte) {
		m := New(Config{})
		restore(t, m, base)
		before := digest(t, m)
		res := m.Apply(&raft.Log{Index: 10_000, Type: raft.LogCommand, Data: data})
		if _, failed := res.(error); failed && digest(t, m) != before {
			t.Fatalf("failed with %v and changed the state", res)
		}
		if m.Err() != nil {
			if res != m.Err() { //nolint:errorlint // the very same error
				t.Fatalf("stopped by %v, answered %v", m.Err(), res)
			}
			return
		}
		if digest(t, m) == before {
			return
		}
		saved := persist(t, m)
		again := New(Config{})
		restore(t, again, saved)
		sameState(t, "saved and restored", m, again)
	})
}

// FuzzRestore: whatever a stream holds, restoring it does not panic; what it accepts is saved and restored to the same,
// and what it refuses leaves the state alone.
func FuzzRestore(f *testing.F) {
	f.Add(everything(f))
	f.Add(member(f, "state.snap", "state.bin")[:4000])
	f.Add([]byte("\x80\x00\x81\xa2ID\xa1a"))
	f.Add([]byte("\x80\x04\x80\x16\xc0"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		m := New(Config{})
		before := m.State()
		if err := m.Restore(io.NopCloser(bytes.NewReader(stream))); err != nil {
			var at *snapshot.RecordError
			if !errors.As(err, &at) || m.State() != before {
				t.Fatalf("no place in %v, or the state was replaced", err)
			}
			return
		}
		saved := persist(t, m)
		again := New(Config{})
		restore(t, again, saved)
		sameState(t, "saved and restored", m, again)
	})
}
