package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	raftProtocol      = 3
	snapshotsRetained = 2
	logCacheEntries   = 512
	// lockTimeout is how long to wait for another process to let go of the log before saying so.
	lockTimeout = 2 * time.Second
)

// peersInfo is left in the Raft folder of a new server for whoever has to repair it by hand.
const peersInfo = `A file peers.json beside this one is read once, when the server starts, and then removed. It replaces the
Raft configuration when a majority of the servers is lost for good. Stop every server that is left, put the same
file on all of them and start them again:

[
  {"id": "<contents of the server's node-id file>", "address": "10.0.0.1:4647", "non_voter": false}
]
`

// errDamagedLog is why a server does not start on files that can't be what a server wrote.
var errDamagedLog = errors.New("the file is damaged; restore the data directory from a backup, or remove it and let the server join anew")

// stores are where Raft keeps its log, its vote and its snapshots.
type stores struct {
	log    raft.LogStore
	stable raft.StableStore
	snaps  *snapshotStore
	bolt   *raftboltdb.BoltStore // nil in memory
}

func (s *stores) close() error {
	if s.bolt == nil {
		return nil
	}
	return s.bolt.Close()
}

// openStores opens the files below dir, or keeps everything in memory if dir is empty. failed is called with
// the first write that the disk refuses.
func openStores(dir string, conf RaftConfig, log hclog.Logger, failed func(error)) (*stores, error) {
	if dir == "" {
		mem := raft.NewInmemStore()
		return &stores{log: mem, stable: mem, snaps: newSnapshotStore(raft.NewInmemSnapshotStore(), "")}, nil
	}
	raftDir := filepath.Join(dir, "raft")
	if err := os.MkdirAll(raftDir, 0o700); err != nil {
		return nil, fmt.Errorf("create Raft folder: %w", err)
	}
	if err := checkRaftVersion(filepath.Join(raftDir, "version")); err != nil {
		return nil, err
	}
	path := filepath.Join(raftDir, "raft.db")
	bolt, err := openBolt(path, conf)
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open Raft log %s: another process holds it; is a server running on this data directory?", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open Raft log %s: %w", path, err)
	}
	snapshotsDir := filepath.Join(raftDir, "snapshots")
	if err := removeUnfinished(snapshotsDir); err != nil {
		return nil, errors.Join(err, bolt.Close())
	}
	snaps, err := raft.NewFileSnapshotStoreWithLogger(raftDir, snapshotsRetained, log.Named("snapshots"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open snapshots in %s: %w", raftDir, err), bolt.Close())
	}
	guarded := guardedStore{LogStore: bolt, StableStore: bolt, path: path, failed: failed}
	s := &stores{log: guarded, stable: guarded, snaps: newSnapshotStore(snaps, snapshotsDir), bolt: bolt}
	if !conf.DisableLogCache {
		if s.log, err = raft.NewLogCache(logCacheEntries, guarded); err != nil {
			return nil, errors.Join(err, bolt.Close())
		}
	}
	return s, nil
}

// removeUnfinished removes the snapshots that a server was writing when it was killed, which nobody else ever does. The log is
// open, so no other server writes them.
func removeUnfinished(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look for unfinished snapshots: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".tmp") {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("remove unfinished snapshot: %w", err)
		}
	}
	return nil
}

// openBolt opens the log's file once it has been found sound. The library panics over pages that make no sense to
// it, and does so from a goroutine of its own while it opens a file for writing.
func openBolt(path string, conf RaftConfig) (*raftboltdb.BoltStore, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		if err := checkBolt(path); err != nil {
			return nil, err
		}
	}
	return raftboltdb.New(raftboltdb.Options{
		Path:                    path,
		BoltOptions:             &bbolt.Options{NoFreelistSync: conf.NoFreelistSync, Timeout: lockTimeout},
		MsgpackUseNewTimeFormat: true,
	})
}

// checkBolt visits every page of the file. A page that the file is too short for is a fault of memory, which is
// made a panic and, like those of the library, an error.
func checkBolt(path string) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrChecksum) {
		return fmt.Errorf("%w: %w", err, errDamagedLog)
	}
	if err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v: %w", r, errDamagedLog)
		}
		err = errors.Join(err, db.Close())
	}()
	return db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(_, _ []byte) error { return nil })
		})
	})
}

// checkRaftVersion refuses files of a later Raft protocol than ours.
func checkRaftVersion(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return writeFileSync(path, []byte(strconv.Itoa(raftProtocol)), 0o600)
	}
	if err != nil {
		return fmt.Errorf("read Raft version: %w", err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return fmt.Errorf("%s says %q, which is not a Raft protocol version", path, b)
	}
	if v > raftProtocol {
		return fmt.Errorf("%s says Raft protocol %d, this version speaks %d: the data directory was written by a newer server", path, v, raftProtocol)
	}
	return nil
}

// guardedStore reports a write that the disk refuses. What the disk holds after that is not known, so the
// server must not go on: it would vote and acknowledge on the strength of what it may have lost.
type guardedStore struct {
	raft.LogStore
	raft.StableStore
	path   string
	failed func(error)
}

func (g guardedStore) check(op string, err error) error {
	if err != nil {
		err = fmt.Errorf("%s %s: %w", op, g.path, err)
		g.failed(err)
	}
	return err
}

func (g guardedStore) StoreLog(l *raft.Log) error {
	return g.check("write to", g.LogStore.StoreLog(l))
}

func (g guardedStore) StoreLogs(ls []*raft.Log) error {
	return g.check("write to", g.LogStore.StoreLogs(ls))
}

func (g guardedStore) DeleteRange(first, last uint64) error {
	return g.check("truncate", g.LogStore.DeleteRange(first, last))
}

func (g guardedStore) Set(key, val []byte) error {
	return g.check("write to", g.StableStore.Set(key, val))
}

func (g guardedStore) SetUint64(key []byte, val uint64) error {
	return g.check("write to", g.StableStore.SetUint64(key, val))
}

// loadNodeID reads the server's Raft ID, or makes it on the first start.
func loadNodeID(dir string, newID func() string) (string, error) {
	if dir == "" {
		return newID(), nil
	}
	path := filepath.Join(dir, "node-id")
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		id := newID()
		if err := writeFileSync(path, []byte(id), 0o600); err != nil {
			return "", err
		}
		return id, nil
	case err != nil:
		return "", fmt.Errorf("read server ID: %w", err)
	}
	id := strings.ToLower(strings.TrimSpace(string(b)))
	if !structs.IsUUID(id) {
		return "", fmt.Errorf("%s does not hold a UUID; it is this server's identity in Raft: restore it from a backup, or remove the whole data directory to join anew", path)
	}
	return id, nil
}

// recoverPeers applies a peers.json that an operator left after losing a majority. On the first start of a
// server, when there is no peers.info yet, such a file is left over from elsewhere and is removed unread.
func (s *Server) recoverPeers(conf *raft.Config, st *stores, trans raft.Transport) error {
	if s.cfg.DataDir == "" {
		return nil
	}
	dir := filepath.Join(s.cfg.DataDir, "raft")
	info, peers := filepath.Join(dir, "peers.info"), filepath.Join(dir, "peers.json")
	if _, err := os.Stat(info); errors.Is(err, os.ErrNotExist) {
		if err := os.Remove(peers); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove left-over %s: %w", peers, err)
		}
		return writeFileSync(info, []byte(peersInfo), 0o600)
	}
	if _, err := os.Stat(peers); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	configuration, err := raft.ReadConfigJSON(peers)
	if err != nil {
		return fmt.Errorf("read %s: %w", peers, err)
	}
	s.log.Warn("replacing the Raft configuration", "file", peers, "servers", len(configuration.Servers))
	// Recovery replays into a state of its own and is thrown away with it.
	if err := raft.RecoverCluster(conf, s.newFSM(), st.log, st.stable, st.snaps, trans, configuration); err != nil {
		return fmt.Errorf("recover from %s: %w", peers, err)
	}
	if err := os.Remove(peers); err != nil {
		return fmt.Errorf("remove %s after recovery: %w", peers, err)
	}
	return nil
}

// writeFileSync writes a file so that it is there whole after a crash, or not at all.
func writeFileSync(path string, data []byte, mode os.FileMode) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, werr := tmp.Write(data)
	if err := errors.Join(werr, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
