package server

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/fsm"
)

// TestALoadedStateGoesWithItsSnapshotOnce: it must never be taken for another snapshot's.
func TestALoadedStateGoesWithItsSnapshotOnce(t *testing.T) {
	inner, err := raft.NewFileSnapshotStore(t.TempDir(), 3, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s := newSnapshotStore(inner)
	write := func(index uint64, src io.Reader) (id string) {
		t.Helper()
		sink, err := s.Create(1, index, 1, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(sink, src); err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		return sink.ID()
	}
	take := func(id string) *fsm.Loaded {
		t.Helper()
		_, rc, err := s.Open(id)
		if err != nil {
			t.Fatal(err)
		}
		defer rc.Close()
		return rc.(fsm.LoadedSource).TakeLoaded()
	}
	content := func() io.Reader { return bytes.NewReader([]byte("state")) }
	loaded := &fsm.Loaded{}
	plain := write(1, content())
	with := write(2, &loadedReader{content(), loaded})
	if take(plain) != nil {
		t.Error("a snapshot brings a state that is not its own")
	}
	if take(with) != loaded || take(with) != nil {
		t.Error("the state does not go with its snapshot once")
	}
	_, rc, err := s.Open(with)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if b, err := io.ReadAll(rc); err != nil || string(b) != "state" {
		t.Errorf("the snapshot holds %q: %v", b, err)
	}
	forgotten := write(3, &loadedReader{content(), loaded})
	s.forget()
	if take(forgotten) != nil {
		t.Error("a state is kept that Raft did not take")
	}
	failing := &loadedReader{io.MultiReader(content(), failingReader{}), loaded}
	sink, err := s.Create(1, 4, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(sink, failing); err == nil {
		t.Error("a copy that failed is taken for a whole")
	}
	if sink.(*snapshotSink).loaded != nil {
		t.Error("half a snapshot brings the whole state")
	}
	if err := sink.Cancel(); err != nil {
		t.Fatal(err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("disk failure") }
