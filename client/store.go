package client

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"github.com/hashicorp/go-hclog"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/rollcall-id/rollcall/structs"
)

// persisted is what a node remembers of its servers.
type persisted struct {
	Identity      string // signed; empty before the first
	HasRegistered bool   // a server has accepted this node with its own credentials
}

// store keeps persisted, and the metadata that was applied to the running node. What a save was given survives a crash once
// it has returned. Its methods are safe for concurrent use, but close, which is the last.
type store interface {
	load() (persisted, error)
	save(persisted) error
	loadMeta() (map[string]*string, error) // nil if none was saved
	saveMeta(map[string]*string) error     // does not keep its argument
	close() error
}

// Buckets, keys and values of state.db (wire.md §3.6).
var (
	identityBucket  = []byte("node_identity")
	identityKey     = []byte("node_identity_state")
	nodeBucket      = []byte("node")
	registrationKey = []byte("registration")
	metaKey         = []byte("dynamic_meta") // ours
)

type identityRecord struct{ SignedIdentity string }

type registrationRecord struct{ HasRegistered bool }

type metaRecord struct{ Dynamic map[string]*string }

// boltStore is state.db.
type boltStore struct {
	path string
	db   *bbolt.DB
}

var _ store = (*boltStore)(nil)

// openStore opens or creates state.db in dir and locks it. A damaged file is an error and stays as it is.
func openStore(dir string, log hclog.Logger) (*boltStore, error) {
	path := filepath.Join(dir, stateFile)
	if err := tighten(path, 0o600, log); err != nil {
		return nil, err
	}
	s := &boltStore{path: path}
	if err := s.guard("open", s.open); err != nil {
		return nil, err
	}
	if err := syncDir(dir); err != nil {
		s.db.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return s, nil
}

func (s *boltStore) open() error {
	db, err := bbolt.Open(s.path, 0o600, &bbolt.Options{Timeout: lockTimeout, PreLoadFreelist: true})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return fmt.Errorf("another agent uses this state directory; stop it or give this one its own data_dir: %w", err)
	}
	if err != nil {
		return err
	}
	if err := checkPages(db); err != nil {
		db.Close()
		return err
	}
	s.db = db
	return nil
}

// checkPages reads the whole database, a few pages. The size comes first: pages beyond the file's end can't be touched.
func checkPages(db *bbolt.DB) error {
	return db.View(func(tx *bbolt.Tx) error {
		info, err := os.Stat(db.Path())
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("file has %d bytes of %d", info.Size(), tx.Size())
		}
		var first error
		for err := range tx.Check() { // must be read to its end
			if first == nil {
				first = err
			}
		}
		return first
	})
}

// guard turns what the database does about damage, a panic or a memory fault, into an error.
func (s *boltStore) guard(op string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("%v", x)
		}
		if err != nil {
			err = fmt.Errorf("%s client state %s: %w", op, s.path, err)
			if !errors.Is(err, bolterrors.ErrTimeout) && !errors.Is(err, os.ErrPermission) && op == "open" {
				err = fmt.Errorf("%w: if the file is damaged, move it away and start again; the node then registers anew "+
					"with its ID and secret", err)
			}
		}
	}()
	return f()
}

func (s *boltStore) load() (p persisted, err error) {
	err = s.guard("read", func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			var id identityRecord
			var reg registrationRecord
			if err := errors.Join(read(tx, identityBucket, identityKey, &id), read(tx, nodeBucket, registrationKey, &reg)); err != nil {
				return err
			}
			p = persisted{Identity: id.SignedIdentity, HasRegistered: reg.HasRegistered}
			return nil
		})
	})
	return p, err
}

func read(tx *bbolt.Tx, bucket, key []byte, out any) error {
	b := tx.Bucket(bucket)
	if b == nil {
		return nil
	}
	v := b.Get(key)
	if v == nil {
		return nil
	}
	if err := structs.Decode(v, out); err != nil {
		return fmt.Errorf("record %s/%s: %w", bucket, key, err)
	}
	return nil
}

func (s *boltStore) save(p persisted) error {
	return s.guard("write", func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			return errors.Join(
				write(tx, identityBucket, identityKey, identityRecord{p.Identity}),
				write(tx, nodeBucket, registrationKey, registrationRecord{p.HasRegistered}),
			)
		})
	})
}

func (s *boltStore) loadMeta() (meta map[string]*string, err error) {
	err = s.guard("read", func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			var m metaRecord
			err := read(tx, nodeBucket, metaKey, &m)
			meta = m.Dynamic
			return err
		})
	})
	return meta, err
}

func (s *boltStore) saveMeta(meta map[string]*string) error {
	return s.guard("write", func() error {
		return s.db.Update(func(tx *bbolt.Tx) error { return write(tx, nodeBucket, metaKey, metaRecord{meta}) })
	})
}

func write(tx *bbolt.Tx, bucket, key []byte, value any) error {
	enc, err := structs.EncodeBytes(value)
	if err != nil {
		return err
	}
	b, err := tx.CreateBucketIfNotExists(bucket)
	if err != nil {
		return err
	}
	return b.Put(key, enc)
}

func (s *boltStore) close() error { return s.db.Close() }

// memStore is the store of an agent in development mode.
type memStore struct {
	mu   sync.Mutex // guards the fields below
	p    persisted
	meta map[string]*string
}

var _ store = (*memStore)(nil)

func (m *memStore) load() (persisted, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.p, nil
}

func (m *memStore) save(p persisted) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.p = p
	return nil
}

func (m *memStore) loadMeta() (map[string]*string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.meta), nil
}

func (m *memStore) saveMeta(meta map[string]*string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.meta = maps.Clone(meta)
	return nil
}

func (m *memStore) close() error { return nil }
