package server

import (
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/internal/heap"
)

// snapshotStore is the store of Raft's snapshots. It spares servers to read a state more often than they must, and Raft to
// wait for it. An archive that the leader restores is verified by loading its records; Raft then writes it to a file and has
// the state machine restore that, and the file brings the loaded state along. A snapshot that a follower has received is in
// a file when Raft has the state machine restore it, which can be done behind the answer to the leader.
type snapshotStore struct {
	raft.SnapshotStore

	mu       sync.Mutex             // guards the fields below
	loaded   map[string]*fsm.Loaded // by the snapshot's ID; what Raft has not restored yet
	received string                 // the ID of the latest that came from the leader, until Raft has restored it
}

func newSnapshotStore(inner raft.SnapshotStore) *snapshotStore {
	return &snapshotStore{SnapshotStore: inner, loaded: map[string]*fsm.Loaded{}}
}

// Create starts a snapshot.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil {
		return nil, err
	}
	return &snapshotSink{SnapshotSink: sink, store: s}, nil
}

// Open opens a snapshot. The store below reads the whole file first, to check it; that waits for the first read if there
// may be none, because the state is loaded already or will be loaded later.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	o := &openSnapshot{store: s, id: id}
	if s.awaited(id) {
		list, err := s.List()
		if err != nil {
			return nil, nil, fmt.Errorf("list snapshots: %w", err)
		}
		if at := slices.IndexFunc(list, func(m *raft.SnapshotMeta) bool { return m.ID == id }); at >= 0 {
			return list[at], o, nil
		}
	}
	meta, err := o.open()
	if err != nil {
		return nil, nil, err
	}
	return meta, o, nil
}

// awaited tells whether Raft is about to have the snapshot restored that it has just written.
func (s *snapshotStore) awaited(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loaded[id] != nil || s.received == id
}

// forget drops what Raft has not taken.
func (s *snapshotStore) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
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
	rc    io.ReadCloser // nil until it is opened
	room  heap.Growth
	loads bool // what is read is loaded
}

var (
	_ fsm.LoadedSource   = (*openSnapshot)(nil)
	_ fsm.DeferredSource = (*openSnapshot)(nil)
)

func (o *openSnapshot) open() (meta *raft.SnapshotMeta, err error) {
	meta, o.rc, err = o.store.SnapshotStore.Open(o.id)
	return meta, err
}

// Read reads the state.
func (o *openSnapshot) Read(p []byte) (int, error) {
	if o.rc == nil {
		if _, err := o.open(); err != nil {
			return 0, fmt.Errorf("open snapshot %s: %w", o.id, err)
		}
	}
	n, err := o.rc.Read(p)
	if o.loads {
		o.room.Loaded(n)
	}
	return n, err
}

// Close closes the file.
func (o *openSnapshot) Close() error {
	if o.rc == nil {
		return nil
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
	return &openSnapshot{store: o.store, id: o.id, loads: true}
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
