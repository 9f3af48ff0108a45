package fsm

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

// deferred is a source whose state arrives when it is let go.
type deferred struct {
	io.Reader
	release chan struct{}
	closed  chan struct{}
}

func newDeferred(stream []byte) *deferred {
	return &deferred{Reader: bytes.NewReader(stream), release: make(chan struct{}), closed: make(chan struct{})}
}

func (d *deferred) Close() error          { return nil }
func (d *deferred) Detach() io.ReadCloser { return detached{d} }

type detached struct{ d *deferred }

func (t detached) Read(p []byte) (int, error) {
	<-t.d.release
	return t.d.Reader.Read(p)
}

func (t detached) Close() error {
	select {
	case <-t.d.closed:
	default:
		close(t.d.closed)
	}
	return nil
}

// A follower's entries wait for the snapshot that they follow, and come to the same state as anywhere else.
func TestEntriesWaitForAStateThatIsLoadedBehind(t *testing.T) {
	source := New(Config{})
	for _, e := range registrations(t, 2, 40) {
		source.Apply(e)
	}
	stream := persist(t, source)
	rest := registrations(t, 41, 60)
	for _, e := range rest {
		source.Apply(e)
	}

	restores := 0
	f := New(Config{OnRestore: func(RestoreReport) { restores++ }})
	old := f.State()
	d := newDeferred(stream)
	if err := f.Restore(d); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(rest); i += 5 {
		for _, res := range f.ApplyBatch(rest[i : i+5]) {
			if res != nil {
				t.Errorf("an entry that waits has the result %v", res)
			}
		}
	}
	if f.State() != old || f.State().NodeCount() != 0 {
		t.Error("the state has changed before the other is loaded")
	}
	if _, err := f.Snapshot(); !errors.Is(err, errLoading) {
		t.Errorf("a snapshot of a state that is not here: %v", err)
	}
	close(d.release)
	f.Settle()
	<-d.closed
	if digest(t, f) != digest(t, source) {
		t.Errorf("%d nodes, another state than the %d of where the entries came one by one", f.State().NodeCount(), source.State().NodeCount())
	}
	select {
	case <-old.AbandonCh():
	default:
		t.Error("who waits for changes of the old state is not told")
	}
	if restores != 1 || f.LastRestore() == nil {
		t.Errorf("%d restores were told of, want 1", restores)
	}
	if res := f.Apply(entry(t, 61, structs.NodeRegisterMsg, registration(61, 0))); res != nil || f.State().NodeCount() != source.State().NodeCount()+1 {
		t.Errorf("an entry that comes later has the result %v, %d nodes", res, f.State().NodeCount())
	}
	if _, err := f.Snapshot(); err != nil {
		t.Errorf("no snapshot once the state is here: %v", err)
	}
	f.Settle() // does not wait
}

func TestASnapshotThatCannotBeLoadedBehindStopsTheFSM(t *testing.T) {
	var fatal error
	f := New(Config{OnFatal: func(err error) { fatal = err }})
	d := newDeferred([]byte("no state"))
	if err := f.Restore(d); err != nil {
		t.Fatal(err)
	}
	waiting := f.Apply(entry(t, 9, structs.NodeRegisterMsg, registration(1, 0)))
	close(d.release)
	f.Settle()
	if waiting != nil || !errors.Is(fatal, ErrUnreadableSnapshot) || !errors.Is(f.Err(), ErrUnreadableSnapshot) {
		t.Errorf("waiting entry: %v, told: %v, kept: %v", waiting, fatal, f.Err())
	}
	if err, _ := f.Apply(entry(t, 10, structs.NodeRegisterMsg, registration(1, 0))).(error); err == nil || f.State().NodeCount() != 0 {
		t.Errorf("it goes on applying: %v", err)
	}
	if err := f.Restore(newDeferred(persist(t, New(Config{})))); err == nil {
		t.Error("it restores although it has stopped")
	}
}

func TestTheNextRestoreWaitsForTheOneBehind(t *testing.T) {
	few, more := New(Config{}), New(Config{})
	for _, e := range registrations(t, 2, 40) {
		more.Apply(e)
	}
	f := New(Config{})
	d := newDeferred(persist(t, few))
	if err := f.Restore(d); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.Restore(io.NopCloser(bytes.NewReader(persist(t, more)))) }()
	close(d.release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if digest(t, f) != digest(t, more) {
		t.Error("the earlier restore is the one that stays")
	}
}

// Past a limit Raft has to wait, so that a log that comes faster than a state is loaded does not fill the memory.
func TestEntriesDoNotWaitInAnyNumber(t *testing.T) {
	f := New(Config{})
	d := newDeferred(persist(t, New(Config{})))
	if err := f.Restore(d); err != nil {
		t.Fatal(err)
	}
	const each = 16 << 20
	add := func(i uint64) any {
		return f.Apply(&raft.Log{Index: i, Term: 1, Type: raft.LogNoop, Data: make([]byte, each)})
	}
	for i := uint64(1); i <= mostWaiting/each+1; i++ {
		if res := add(i); res != nil {
			t.Fatal(res)
		}
	}
	applied := make(chan struct{})
	go func() {
		defer close(applied)
		add(100)
	}()
	select {
	case <-applied:
		t.Error("an entry beyond the limit waits like the others")
	default:
	}
	close(d.release)
	<-applied
	if f.behind.busy() {
		t.Error("the entry was applied before those that came before it")
	}
}
