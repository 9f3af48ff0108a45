package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/internal/heap"
	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	// restoreTimeout bounds how long Raft may take to accept a restored state.
	restoreTimeout = 5 * time.Minute
	// snapshotRetry is the pause before Raft is asked again for a snapshot that it could not take just then.
	snapshotRetry = 100 * time.Millisecond
	snapshotTries = 50
)

// snapshots is what endpoints save and restore through.
type snapshots struct{ s *Server }

var _ rpc.Snapshots = snapshots{}

// Save writes an archive of this server's state into a temporary file, whose size and digest are then known. The
// state is written as it was at one index; commands go on meanwhile.
func (p snapshots) Save(ctx context.Context) (_ *rpc.SavedSnapshot, err error) {
	meta, src, err := p.s.takeSnapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	tmp, err := os.CreateTemp(p.s.cfg.DataDir, ".save-*.snap")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tmp.Close())
		}
	}()
	if err := os.Remove(tmp.Name()); err != nil { // it has no name that could outlive the process
		return nil, err
	}
	written, err := snapshot.Write(ctx, tmp, snapshot.MetaFromRaft(meta), snapshot.From(src), snapshot.WriteOptions{TempDir: p.s.cfg.DataDir})
	if err != nil {
		return nil, err
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	p.s.log.Info("saved a snapshot", "index", meta.Index, "bytes", written.Size)
	return &rpc.SavedSnapshot{Index: meta.Index, Digest: written.DigestHeader(), Body: tmp}, nil
}

// takeSnapshot has Raft take a snapshot, or finds the one that is as new as the state.
func (s *Server) takeSnapshot(ctx context.Context) (*raft.SnapshotMeta, io.ReadCloser, error) {
	var err error
	for range snapshotTries {
		f := s.raft.Snapshot()
		switch err = f.Error(); {
		case err == nil:
			return f.Open()
		case errors.Is(err, raft.ErrNothingNewToSnapshot):
			list, err := s.stores.snaps.List()
			if err != nil {
				return nil, nil, fmt.Errorf("list snapshots: %w", err)
			}
			if len(list) == 0 {
				return nil, nil, structs.Coded(http.StatusServiceUnavailable, "there is nothing to save yet")
			}
			return s.stores.snaps.Open(list[0].ID)
		}
		// Raft refuses while a change of its servers is not applied yet, which passes.
		if err := pause(ctx, snapshotRetry); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, fmt.Errorf("take snapshot: %w", err)
}

// Restore verifies the archive, in a temporary file, and then makes it the state of the cluster. Nothing changes
// before the whole archive has been found good and every key in it can be unwrapped here.
func (p snapshots) Restore(ctx context.Context, archive io.Reader) error {
	s := p.s
	s.restoring.Lock()
	defer s.restoring.Unlock()
	verified, loaded, err := s.verifyArchive(ctx, archive)
	if err != nil {
		return structs.Coded(http.StatusBadRequest, "the archive was refused and nothing was changed: %w", err)
	}
	defer verified.Close()
	s.log.Warn("restoring the state of the cluster from a snapshot", "index", verified.Meta.Index, "created", verified.Meta.Created())
	defer s.stores.snaps.forget()
	err = s.raft.Restore(verified.Meta.Raft(), &loadedReader{src: verified.State(), loaded: loaded}, restoreTimeout)
	if err := errors.Join(err, s.noteNewestSnapshot()); err != nil {
		return fmt.Errorf("hand the state to Raft: %w", err)
	}
	if err := s.barrier(); err != nil {
		return fmt.Errorf("wait for the restored state: %w", err)
	}
	// The state that was restored may lack what a cluster of ours must have.
	if err := s.ensureRecords(); err != nil {
		return err
	}
	if err := s.ensureRootKey(ctx); err != nil {
		return err
	}
	if err := s.openFeatures(); err != nil {
		return err
	}
	s.log.Info("restored the state of the cluster")
	return nil
}

// verifyArchive checks the archive and each of its records, and that its keys are of use here: a cluster without
// the key that wrapped them could neither verify what they signed nor sign. The records are checked by loading them.
func (s *Server) verifyArchive(ctx context.Context, archive io.Reader) (*snapshot.Verified, *fsm.Loaded, error) {
	loader := fsm.NewLoader()
	defer loader.Abort()
	var room heap.Growth
	var keys []*structs.RootKey
	verified, err := snapshot.Verify(ctx, archive, snapshot.VerifyOptions{TempDir: s.cfg.DataDir, Record: func(rec snapshot.Record) error {
		if rec.Type == structs.RootKeyRecord {
			key := new(structs.RootKey)
			if err := structs.Decode(rec.Raw, key); err != nil {
				return err
			}
			if !structs.IsUUID(key.KeyID) {
				return fmt.Errorf("root key %q has no key ID; an archive that was redacted can't be restored", key.KeyID)
			}
			keys = append(keys, key)
		}
		room.Loaded(len(rec.Raw))
		return loader.Record(rec)
	}})
	if err != nil {
		return nil, nil, err
	}
	loaded, err := loader.Finish()
	if err == nil {
		err = s.checkArchiveKeys(ctx, keys)
	}
	if err != nil {
		return nil, nil, errors.Join(err, verified.Close())
	}
	return verified, loaded, nil
}

// checkArchiveKeys unwraps the keys in a keyring of their own.
func (s *Server) checkArchiveKeys(ctx context.Context, keys []*structs.RootKey) error {
	conf := s.keyringConfig()
	scratch, err := keyring.New(conf)
	if err != nil {
		return err
	}
	defer scratch.Set(ctx, nil) // wipes them
	scratch.Set(ctx, keys)
	_, pending, failed := scratch.Ready()
	for _, k := range keys {
		if err := failed[k.KeyID]; err != nil && len(k.WrappedKeys) > 0 {
			return fmt.Errorf("root key %s can't be unwrapped with the keyring providers of this server; configure the key-encryption key that the archive's cluster used: %w", k.KeyID, err)
		}
	}
	if len(pending) > 0 {
		return fmt.Errorf("root keys %v were not unwrapped in time; is the provider reachable?", pending)
	}
	return nil
}

// Stream starts a streaming call in this process.
func (s *Server) Stream(ctx context.Context, method string) (net.Conn, error) {
	return s.endpoints.Stream(ctx, method)
}
