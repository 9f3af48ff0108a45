package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// supersededFile stands in the Raft folder from when a server finds that its newest snapshot must go until it has gone.
const supersededFile = "superseded.json"

// superseded is where in the log the cluster has something else than a snapshot of this server says.
type superseded struct{ Index, Term uint64 }

// errSuperseded is why a server stops whose newest snapshot is one that the cluster never agreed on.
var errSuperseded = errors.New("this server alone has restored a snapshot, and the others have gone on without it; start the server again and it drops that snapshot and follows them")

// noteNewestSnapshot remembers which snapshot checkAppend has to mind. Most snapshots are of what a quorum has committed. The
// library writes one that is restored to its own disk first, though, at an index of its own, and sends it to the others only
// then: a leader that is lost in between has on its disk what nobody else knows of.
func (s *Server) noteNewestSnapshot() error {
	list, err := s.stores.snaps.List()
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	if len(list) > 0 {
		s.newest.Store(list[0])
	}
	return nil
}

// checkAppend sees what a leader sends before Raft does, and returns an error if Raft must not. A leader of a later term that
// has an entry where this server has a snapshot of another term was elected without that snapshot, which therefore can't have
// been committed and, by the rules of Raft, has to give way as an entry of the log would. The library can't do that: it finds
// a hole in its log, for ever, or puts the leader's next commands on top of the wrong state.
func (s *Server) checkAppend(req *raft.AppendEntriesRequest) error {
	newest := s.newest.Load()
	if newest == nil || req.Term <= newest.Term {
		return nil
	}
	for _, e := range req.Entries {
		if e.Index == newest.Index && e.Term != newest.Term {
			err := fmt.Errorf("snapshot %s is of term %d at index %d, where the leader has an entry of term %d: %w",
				newest.ID, newest.Term, newest.Index, e.Term, errSuperseded)
			s.superseding.Do(func() { s.fail(errors.Join(err, s.markSuperseded(newest))) })
			return err
		}
	}
	return nil
}

func (s *Server) supersededPath() string { return filepath.Join(s.cfg.DataDir, "raft", supersededFile) }

func (s *Server) markSuperseded(m *raft.SnapshotMeta) error {
	if s.cfg.DataDir == "" {
		return nil // it is gone with the process
	}
	b, err := json.Marshal(superseded{Index: m.Index, Term: m.Term})
	if err != nil {
		return err
	}
	return writeFileSync(s.supersededPath(), b, 0o600)
}

// dropSuperseded goes back to before the snapshot that the file names, if there is one. It may be cut short anywhere and
// repeated. Term and vote stay, and so does everything that came before the snapshot.
func (s *Server) dropSuperseded() error {
	if s.cfg.DataDir == "" {
		return nil
	}
	b, err := os.ReadFile(s.supersededPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var at superseded
	if err := json.Unmarshal(b, &at); err != nil || at.Index == 0 {
		return fmt.Errorf("%s does not say at which index the superseded snapshot is: %w", s.supersededPath(), errDamagedLog)
	}
	if err := s.dropFrom(at.Index); err != nil {
		return fmt.Errorf("drop the superseded snapshot at index %d: %w", at.Index, err)
	}
	s.log.Warn("dropped a restored snapshot that the cluster has gone on without", "index", at.Index, "term", at.Term)
	return os.Remove(s.supersededPath())
}

// dropFrom removes snapshots and log entries from an index on, if what is left is a whole.
func (s *Server) dropFrom(index uint64) error {
	list, err := s.stores.snaps.List()
	if err != nil {
		return err
	}
	first, err := s.stores.log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.stores.log.LastIndex()
	if err != nil {
		return err
	}
	base := uint64(0)
	for _, m := range list {
		if m.Index < index {
			base = max(base, m.Index)
		}
	}
	if first > base+1 {
		return fmt.Errorf("the log begins at %d and no older snapshot reaches it: remove the data directory and let the server join anew", first)
	}
	if last >= index {
		if err := s.stores.log.DeleteRange(index, last); err != nil {
			return err
		}
	}
	dir := s.stores.snaps.dir
	for _, m := range list {
		if m.Index >= index {
			if err := os.RemoveAll(filepath.Join(dir, m.ID)); err != nil {
				return err
			}
		}
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
