package server

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/internal/heap"
	"github.com/rollcall-id/rollcall/snapshot"
)

// snapshotStore is the store of Raft's snapshots. It spares servers to read a state more often than they must, and Raft to
// wait for it. An archive that the leader restores is verified by loading its records; Raft then writes it to a file and has
// the state machine restore that, and the file brings the loaded state along. A snapshot that a follower has received is in
// a file when Raft has the state machine restore it, which can be done behind the answer to the leader. The file of either is
// not checked again as long as it is about to be restored or sent, and is sent to one server after the other.
type snapshotStore struct {
	raft.SnapshotStore
	dir  string        // where the snapshots are, a folder each; empty if they are in memory
	turn chan struct{} // holds a value while the file that was just written is sent

	mu       sync.Mutex             // guards the fields below
	loaded   map[string]*fsm.Loaded // by the snapshot's ID; what Raft has not restored yet
	written  string                 // the ID of the latest that was restored here, until all is done about it
	received string                 // the ID of the latest that came from the leader, until Raft has restored it
}

func newSnapshotStore(inner raft.SnapshotStore, dir string) *snapshotStore {
	return &snapshotStore{SnapshotStore: inner, dir: dir, turn: make(chan struct{}, 1), loaded: map[string]*fsm.Loaded{}}
}

// Create starts a snapshot.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil {
		return nil, err
	}
	return &snapshotSink{SnapshotSink: sink, store: s}, nil
}

// Open opens a snapshot. The store below reads the whole file first, to check it, which is left out for one that this process
// has written a moment ago: the sum is one of the bytes that it wrote, and an answer waits.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	o := &openSnapshot{store: s, id: id}
	if !s.fresh(id) {
		meta, rc, err := s.SnapshotStore.Open(id)
		if err != nil {
			return nil, nil, err
		}
		o.rc = rc
		return meta, o, nil
	}
	list, err := s.List()
	if err != nil {
		return nil, nil, fmt.Errorf("list snapshots: %w", err)
	}
	at := slices.IndexFunc(list, func(m *raft.SnapshotMeta) bool { return m.ID == id })
	if at < 0 {
		return nil, nil, fmt.Errorf("snapshot %s is not there any more", id)
	}
	o.fresh, o.size = true, list[at].Size
	o.rc, err = snapshot.OpenRaftState(filepath.Join(s.dir, id))
	if err != nil {
		return nil, nil, fmt.Errorf("open snapshot %s: %w", id, err)
	}
	return list[at], o, nil
}

// fresh tells whether this process has written the file of a snapshot a moment ago, to restore or to send it.
func (s *snapshotStore) fresh(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dir != "" && (s.written == id || s.received == id)
}

// forget ends what is done about a restored archive, and drops what Raft has not taken.
func (s *snapshotStore) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = ""
	clear(s.loaded)
}

// snapshotSink is a snapshot that is being written.
type snapshotSink struct {
	raft.SnapshotSink
	store    *snapshotStore
	loaded   *fsm.Loaded // what is written, if it is loaded already
	received bool        // it comes from the leader
}

// copyBuffer is the size of the pieces in which a state is copied, in bytes.
const copyBuffer = 256 << 10

// ReadFrom copies a state that arrives from the leader. Only Raft's installation of snapshots comes here: snapshots of
// this server's own state are written, and restored archives know how to write themselves.
func (k *snapshotSink) ReadFrom(src io.Reader) (int64, error) {
	k.received = true
	return copyState(k.SnapshotSink, src)
}

// Close makes the snapshot durable.
func (k *snapshotSink) Close() error {
	if err := k.SnapshotSink.Close(); err != nil {
		return err
	}
	k.store.mu.Lock()
	defer k.store.mu.Unlock()
	if k.loaded != nil {
		k.store.loaded[k.ID()] = k.loaded
		k.store.written = k.ID()
	}
	if k.received {
		k.store.received = k.ID()
	}
	return nil
}

// openSnapshot is a snapshot that is being read. It is for one goroutine.
type openSnapshot struct {
	store *snapshotStore
	id    string
	rc    io.ReadCloser
	room  heap.Growth
	loads bool  // what is read is loaded
	fresh bool  // this process has just written it
	size  int64 // of the state, in bytes; known if it is fresh
	began bool  // something was read
	turn  bool  // it is this one's turn to be sent
}

var (
	_ fsm.LoadedSource   = (*openSnapshot)(nil)
	_ fsm.DeferredSource = (*openSnapshot)(nil)
)

// Read reads the state.
func (o *openSnapshot) Read(p []byte) (int, error) {
	if !o.began {
		o.began = true
		if o.fresh && !o.loads {
			o.waitForTurn()
		}
	}
	n, err := o.rc.Read(p)
	if o.loads {
		o.room.Loaded(n)
	}
	return n, err
}

// slowest is how slow a server may take a snapshot before another is sent to at the same time, in bytes a second.
const slowest = 50 << 20

// waitForTurn waits while the same state is sent to another server. Whoever restores a state waits until the first has
// it, and both at once take each twice as long. One that does not take it must not keep it from the other.
func (o *openSnapshot) waitForTurn() {
	timeout := time.NewTimer(time.Second + time.Duration(o.size)*time.Second/slowest)
	defer timeout.Stop()
	select {
	case o.store.turn <- struct{}{}:
		o.turn = true
	case <-timeout.C:
	}
}

// Close closes the file.
func (o *openSnapshot) Close() error {
	if o.turn {
		o.turn = false
		<-o.store.turn
	}
	return o.rc.Close()
}

// TakeLoaded returns the state if this server has loaded it. Who asks is about to load it otherwise.
func (o *openSnapshot) TakeLoaded() *fsm.Loaded {
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	l := o.store.loaded[o.id]
	delete(o.store.loaded, o.id)
	o.loads = true
	return l
}

// Detach returns a reader of its own of a snapshot that this server has received. Without anything else that is restored
// a server can't start or go on, so that it has to wait for it.
func (o *openSnapshot) Detach() io.ReadCloser {
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	if o.store.received != o.id {
		return nil
	}
	o.store.received = ""
	later := &openSnapshot{store: o.store, id: o.id, rc: o.rc, loads: true}
	o.rc = io.NopCloser(strings.NewReader(""))
	return later
}

// loadedReader is a verified state on its way into a snapshotSink, which learns that it is loaded.
type loadedReader struct {
	src    io.Reader
	loaded *fsm.Loaded
}

// Read is for the interface: Raft copies by io.Copy.
func (r *loadedReader) Read(p []byte) (int, error) { return r.src.Read(p) }

// WriteTo copies the state.
func (r *loadedReader) WriteTo(w io.Writer) (int64, error) {
	k, ours := w.(*snapshotSink)
	if ours {
		w = k.SnapshotSink
	}
	n, err := copyState(w, r.src)
	if err == nil && ours {
		k.loaded = r.loaded
	}
	return n, err
}

func copyState(w io.Writer, src io.Reader) (int64, error) {
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{src}, make([]byte, copyBuffer))
	if err != nil {
		return n, fmt.Errorf("write the state: %w", err)
	}
	return n, nil
}
