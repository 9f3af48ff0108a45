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

// snapshotStore is the store of Raft's snapshots. It spares servers to read a state more often than they must. An archive
// that the leader restores is verified by loading its records, and a snapshot that a follower receives is loaded as it
// arrives; Raft then writes it to a file and has the state machine restore that, and the file brings the loaded state along.
type snapshotStore struct {
	raft.SnapshotStore

	mu     sync.Mutex
	loaded map[string]*fsm.Loaded // by the snapshot's ID; what Raft has not restored yet
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

// Open opens a snapshot. The store below reads the whole file first, to check it; that waits for the first read if the
// state is loaded already.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	o := &openSnapshot{store: s, id: id}
	if meta := s.loadedMeta(id); meta != nil {
		return meta, o, nil
	}
	meta, err := o.open()
	if err != nil {
		return nil, nil, err
	}
	return meta, o, nil
}

// loadedMeta returns what is known of a snapshot whose state is loaded, nil for any other.
func (s *snapshotStore) loadedMeta(id string) *raft.SnapshotMeta {
	s.mu.Lock()
	loaded := s.loaded[id] != nil
	s.mu.Unlock()
	if !loaded {
		return nil
	}
	list, err := s.List()
	if err != nil {
		return nil // opening it tells
	}
	if at := slices.IndexFunc(list, func(m *raft.SnapshotMeta) bool { return m.ID == id }); at >= 0 {
		return list[at]
	}
	return nil
}

// keep has the state taken with its snapshot.
func (s *snapshotStore) keep(id string, loaded *fsm.Loaded) {
	if loaded == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded[id] = loaded
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
	store   *snapshotStore
	loaded  *fsm.Loaded   // what is written, if it is loaded already
	arrival *arrivingLoad // loads what is written; nil unless it arrives from the leader
}

// copyBuffer is the size of the pieces in which a state is copied, in bytes.
const copyBuffer = 256 << 10

// ReadFrom copies a state that arrives from the leader, and loads it on the way. Only Raft's installation of snapshots
// comes here: snapshots of this server's own state are written, and restored archives know how to write themselves.
func (k *snapshotSink) ReadFrom(src io.Reader) (int64, error) {
	k.store.forget()
	k.arrival = loadArriving()
	return copyState(k.SnapshotSink, io.TeeReader(src, k.arrival))
}

// Close makes the snapshot durable.
func (k *snapshotSink) Close() error {
	k.arrival.end(nil)
	if err := k.SnapshotSink.Close(); err != nil {
		return err
	}
	if k.arrival != nil {
		k.loaded = k.arrival.wait()
	}
	k.store.keep(k.ID(), k.loaded)
	return nil
}

// Cancel drops the snapshot.
func (k *snapshotSink) Cancel() error {
	k.arrival.end(errCanceled)
	if k.arrival != nil {
		k.arrival.wait()
	}
	return k.SnapshotSink.Cancel()
}

// openSnapshot is a snapshot that is being read.
type openSnapshot struct {
	store *snapshotStore
	id    string
	rc    io.ReadCloser // nil until it is opened
	src   io.Reader     // rc, or a reader of it
}

var _ fsm.LoadedSource = (*openSnapshot)(nil)

func (o *openSnapshot) open() (*raft.SnapshotMeta, error) {
	meta, rc, err := o.store.SnapshotStore.Open(o.id)
	if err != nil {
		return nil, err
	}
	o.rc = rc
	if o.src == nil {
		o.src = rc
	}
	return meta, nil
}

// Read reads the state.
func (o *openSnapshot) Read(p []byte) (int, error) {
	if o.rc == nil {
		if _, err := o.open(); err != nil {
			return 0, err
		}
	}
	return o.src.Read(p)
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
	if l == nil && o.rc != nil {
		o.src = heap.NewReader(o.rc)
	}
	return l
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
