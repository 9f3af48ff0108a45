package server

import (
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/fsm"
)

// snapshotStore is the store of Raft's snapshots. It spares the leader to load a restored state twice: an archive is
// verified by loading its records, Raft then writes the state to a file of its own and has the state machine load that,
// and the file that came of the archive brings the loaded state along.
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

// Open opens a snapshot.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, rc, err := s.SnapshotStore.Open(id)
	if err != nil {
		return nil, nil, err
	}
	return meta, &openSnapshot{ReadCloser: rc, store: s, id: id}, nil
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
	store  *snapshotStore
	loaded *fsm.Loaded // what is written, if it is loaded already
}

// Close makes the snapshot durable.
func (k *snapshotSink) Close() error {
	if err := k.SnapshotSink.Close(); err != nil || k.loaded == nil {
		return err
	}
	k.store.mu.Lock()
	defer k.store.mu.Unlock()
	k.store.loaded[k.ID()] = k.loaded
	return nil
}

// openSnapshot is a snapshot that is being read.
type openSnapshot struct {
	io.ReadCloser
	store *snapshotStore
	id    string
}

var _ fsm.LoadedSource = (*openSnapshot)(nil)

// TakeLoaded returns the state if this server has loaded it when it verified the archive.
func (o *openSnapshot) TakeLoaded() *fsm.Loaded {
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	l := o.store.loaded[o.id]
	delete(o.store.loaded, o.id)
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
	n, err := io.Copy(w, struct{ io.Reader }{r.src})
	if err != nil {
		return n, fmt.Errorf("write the state: %w", err)
	}
	if k, ok := w.(*snapshotSink); ok {
		k.loaded = r.loaded
	}
	return n, nil
}
