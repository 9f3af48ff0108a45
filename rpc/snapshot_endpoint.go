package rpc

import (
	"context"
	"fmt"
	"io"

	"github.com/rollcall-id/rollcall/structs"
)

// Snapshots saves and restores this server's state as an archive.
type Snapshots interface {
	// Save makes an archive of the state as it is now and verifies nothing but its own writing of it.
	Save(ctx context.Context) (*SavedSnapshot, error)
	// Restore verifies the whole archive and only then replaces the state of the cluster by it. It returns when
	// this server, which leads, has the new state and is set up to go on with it.
	Restore(ctx context.Context, archive io.Reader) error
}

// SavedSnapshot is an archive that is ready to be sent.
type SavedSnapshot struct {
	Index  uint64
	Digest string        // "sha-256=<base64>" of the archive
	Body   io.ReadCloser // the archive; closing it removes it
}

func (s *Server) registerSnapshotMethods() {
	handleStream(s, Spec{Name: "Operator.SnapshotSave"}, s.snapshotSave,
		func(code int, message string) any {
			return &structs.SnapshotSaveResponse{ErrorCode: code, ErrorMsg: message}
		})
	handleStream(s, Spec{Name: "Operator.SnapshotRestore"}, s.snapshotRestore,
		func(code int, message string) any {
			return &structs.SnapshotRestoreResponse{ErrorCode: code, ErrorMsg: message}
		})
}

// snapshotSave sends an archive of the state: the leader's, or with stale this server's.
func (s *Server) snapshotSave(c *Call, req *structs.SnapshotSaveRequest, st *stream) error {
	if !req.AllowStale {
		if err := s.deps.Leader.VerifyLease(c.ctx); err != nil {
			return err
		}
	}
	saved, err := s.deps.Snapshots.Save(c.ctx)
	if err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	defer saved.Body.Close()
	reply := &structs.SnapshotSaveResponse{SnapshotChecksum: saved.Digest}
	reply.Index = saved.Index
	c.setContact(&reply.QueryMeta)
	if err := st.send(reply); err != nil {
		return err
	}
	// The reply has gone out: a failure from here on shows as an archive that is too short for its digest.
	if _, err := io.Copy(st.Conn, saved.Body); err != nil {
		s.log.Warn("snapshot not sent to its end", "error", err)
	}
	return nil
}

// snapshotRestore receives an archive and makes it the state of the cluster.
func (s *Server) snapshotRestore(c *Call, _ *structs.SnapshotRestoreRequest, st *stream) error {
	if err := s.deps.Leader.VerifyLease(c.ctx); err != nil {
		return err
	}
	// The archive has arrived whole before anything changes; after that the caller's going away changes nothing.
	if err := s.deps.Snapshots.Restore(context.WithoutCancel(c.ctx), &frames{conn: st, in: st.in}); err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	reply := &structs.SnapshotRestoreResponse{}
	c.setContact(&reply.QueryMeta)
	return st.send(reply)
}
