package server

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/fsm"
)

// TestALoadedStateGoesWithItsSnapshotOnce: it must never be taken for another snapshot's.
func TestALoadedStateGoesWithItsSnapshotOnce(t *testing.T) {
	dir := t.TempDir()
	inner, err := raft.NewFileSnapshotStore(dir, 3, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s := newSnapshotStore(inner, filepath.Join(dir, "snapshots"))
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

// TestAReceivedSnapshotIsLoadedLater: only what Raft copies from the leader, and only when it is restored for that.
func TestAReceivedSnapshotIsLoadedLater(t *testing.T) {
	dir := t.TempDir()
	inner, err := raft.NewFileSnapshotStore(dir, 3, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s := newSnapshotStore(inner, filepath.Join(dir, "snapshots"))
	create := func(index uint64) raft.SnapshotSink {
		t.Helper()
		sink, err := s.Create(1, index, 1, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		return sink
	}
	open := func(id string) io.ReadCloser {
		t.Helper()
		meta, rc, err := s.Open(id)
		if err != nil || meta.ID != id || meta.Size != int64(len("state")) {
			t.Fatalf("opened %+v: %v", meta, err)
		}
		t.Cleanup(func() { rc.Close() })
		return rc
	}
	written := create(1)
	if _, err := written.Write([]byte("state")); err != nil {
		t.Fatal(err)
	}
	canceled := create(2)
	if _, err := io.Copy(canceled, strings.NewReader("sta")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(written.Close(), canceled.Cancel()); err != nil {
		t.Fatal(err)
	}
	if open(written.ID()).(fsm.DeferredSource).Detach() != nil {
		t.Error("a snapshot of this server's own state is restored later")
	}
	received := create(3)
	if n, err := io.Copy(received, struct{ io.Reader }{strings.NewReader("state")}); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	if err := received.Close(); err != nil {
		t.Fatal(err)
	}
	rc := open(received.ID())
	later := rc.(fsm.DeferredSource).Detach()
	if later == nil {
		t.Fatal("a received snapshot has to be restored at once")
	}
	if rc.(fsm.DeferredSource).Detach() != nil || open(received.ID()).(fsm.DeferredSource).Detach() != nil {
		t.Error("it can be taken for later twice")
	}
	if err := rc.Close(); err != nil { // as Raft does once Restore has returned
		t.Fatal(err)
	}
	b, err := io.ReadAll(later)
	if err := errors.Join(err, later.Close()); err != nil || string(b) != "state" {
		t.Errorf("read %q later: %v", b, err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("disk failure") }

// restoredSnapshot is a store with the snapshot of a state that was just restored, and its ID.
func restoredSnapshot(t *testing.T, state string) (s *snapshotStore, dir, id string) {
	t.Helper()
	dir = t.TempDir()
	inner, err := raft.NewFileSnapshotStore(dir, 3, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s = newSnapshotStore(inner, filepath.Join(dir, "snapshots"))
	sink, err := s.Create(1, 1, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(sink, &loadedReader{strings.NewReader(state), &fsm.Loaded{}}); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	return s, dir, sink.ID()
}

// TestASnapshotIsCheckedUnlessItWasWrittenAMomentAgo: what a disk has made of it in the meantime must be noticed.
func TestASnapshotIsCheckedUnlessItWasWrittenAMomentAgo(t *testing.T) {
	s, dir, id := restoredSnapshot(t, "state")
	if err := os.WriteFile(filepath.Join(dir, "snapshots", id, "state.bin"), []byte("stale"), 0o600); err != nil {
		t.Fatal(err)
	}
	meta, rc, err := s.Open(id)
	if err != nil || meta.ID != id || meta.Size != 5 {
		t.Fatalf("opened %+v: %v", meta, err)
	}
	if err := rc.Close(); err != nil {
		t.Fatal(err)
	}
	s.forget()
	if _, _, err := s.Open(id); err == nil {
		t.Error("a snapshot that has changed on the disk is taken for good")
	}
	if _, _, err := s.Open("1-1-1"); err == nil {
		t.Error("a snapshot that is not there was opened")
	}
}

// TestARestoredStateIsSentToOneServerAfterTheOther, and to the next nevertheless if one does not take it.
func TestARestoredStateIsSentToOneServerAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, id := restoredSnapshot(t, "state")
		open := func() io.ReadCloser {
			t.Helper()
			_, rc, err := s.Open(id)
			if err != nil {
				t.Fatal(err)
			}
			return rc
		}
		send := func(rc io.ReadCloser) (began time.Duration) {
			t.Helper()
			start := time.Now()
			if _, err := io.ReadFull(rc, make([]byte, 1)); err != nil {
				t.Error(err)
			}
			return time.Since(start)
		}
		first, second, third, loading := open(), open(), open(), open()
		loading.(fsm.LoadedSource).TakeLoaded()
		if waited := send(first) + send(loading); waited != 0 {
			t.Errorf("the first, and who loads it, waited %s for nobody", waited)
		}
		done := make(chan time.Duration)
		go func() { done <- send(second) }()
		synctest.Wait()
		time.Sleep(500 * time.Millisecond) // of the bubble's time
		if err := first.Close(); err != nil {
			t.Error(err)
		}
		if waited := <-done; waited != 500*time.Millisecond {
			t.Errorf("the second waited %s, want as long as the first was sent to", waited)
		}
		if waited := send(third); waited < time.Second || waited > 2*time.Second {
			t.Errorf("the third waited %s for a second that takes nothing", waited)
		}
		if err := errors.Join(second.Close(), third.Close(), loading.Close()); err != nil {
			t.Error(err)
		}
		last := open()
		if waited := send(last); waited != 0 {
			t.Errorf("the last waited %s for nobody", waited)
		}
		if err := last.Close(); err != nil {
			t.Error(err)
		}
	})
}
