package server

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// loneRaftFiles is a server that does not run, whose files hold the entries from first to last and then 12, and snapshots at the
// given indexes of term 2.
func loneRaftFiles(t *testing.T, first, last uint64, snapshots ...uint64) *Server {
	t.Helper()
	s := &Server{cfg: Config{DataDir: t.TempDir()}, log: hclog.NewNullLogger(), failed: make(chan error, 1)}
	var err error
	if s.stores, err = openStores(s.cfg.DataDir, RaftConfig{}, s.log, s.fail); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stores.close(); err != nil {
			t.Error(err)
		}
	})
	for i := first; i <= last; i++ {
		if err := s.stores.log.StoreLog(&raft.Log{Index: i, Term: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.stores.log.StoreLog(&raft.Log{Index: 12, Term: 2}); err != nil {
		t.Fatal(err)
	}
	for _, index := range snapshots {
		sink, err := s.stores.snaps.Create(1, index, 2, raft.Configuration{}, 1, raftAddrOnly{})
		if err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// raftAddrOnly is as much of a transport as writing a snapshot takes.
type raftAddrOnly struct{ raft.Transport }

func (raftAddrOnly) EncodePeer(raft.ServerID, raft.ServerAddress) []byte { return nil }

func TestUnfinishedSnapshotsAreRemovedWhenTheFilesAreOpened(t *testing.T) {
	s := loneRaftFiles(t, 1, 10, 5)
	if err := s.stores.close(); err != nil {
		t.Fatal(err)
	}
	unfinished := filepath.Join(s.cfg.DataDir, "raft", "snapshots", "2-9-1.tmp")
	if err := os.Mkdir(unfinished, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(unfinished, "state.bin"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.stores, err = openStores(s.cfg.DataDir, RaftConfig{}, s.log, s.fail); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(unfinished); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("unfinished snapshot: %v, want that it is gone", err)
	}
	if list, err := s.stores.snaps.List(); err != nil || len(list) != 1 {
		t.Errorf("snapshots %+v, %v, want the finished one", list, err)
	}
}

func TestAnEntryWhereTheSnapshotIsStopsTheServer(t *testing.T) {
	entries := func(term uint64, indexes ...uint64) (out []*raft.Log) {
		for _, i := range indexes {
			out = append(out, &raft.Log{Index: i, Term: term})
		}
		return out
	}
	for _, tc := range []struct {
		name      string
		snapshots []uint64
		req       raft.AppendEntriesRequest
		stops     bool
	}{
		{"an entry of a later term at the snapshot's index", []uint64{11}, raft.AppendEntriesRequest{Term: 3, Entries: entries(3, 11)}, true},
		{"the same among others", []uint64{5, 11}, raft.AppendEntriesRequest{Term: 4, Entries: entries(3, 10, 11, 12)}, true},
		{"the entry that the snapshot is of", []uint64{11}, raft.AppendEntriesRequest{Term: 3, Entries: entries(2, 11)}, false},
		{"entries after the snapshot", []uint64{11}, raft.AppendEntriesRequest{Term: 3, Entries: entries(3, 12, 13)}, false},
		{"an entry at an older snapshot's index", []uint64{5, 11}, raft.AppendEntriesRequest{Term: 3, Entries: entries(3, 5)}, false},
		{"a leader of the snapshot's term", []uint64{11}, raft.AppendEntriesRequest{Term: 2, Entries: entries(1, 11)}, false},
		{"no entries", []uint64{11}, raft.AppendEntriesRequest{Term: 3}, false},
		{"no snapshot", nil, raft.AppendEntriesRequest{Term: 3, Entries: entries(3, 11)}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := loneRaftFiles(t, 1, 10, tc.snapshots...)
			if err := s.noteNewestSnapshot(); err != nil {
				t.Fatal(err)
			}
			err := errors.Join(s.checkAppend(&tc.req), s.checkAppend(&tc.req))
			if got := errors.Is(err, errSuperseded); got != tc.stops {
				t.Errorf("got error %v, want one: %t", err, tc.stops)
			}
			if _, err := os.Stat(s.supersededPath()); (err == nil) != tc.stops {
				t.Errorf("the mark for the next start: %v, want it: %t", err, tc.stops)
			}
			if got := len(s.failed) == 1; got != tc.stops {
				t.Errorf("the server stops: %t, want %t", got, tc.stops)
			}
		})
	}
}

func TestASupersededSnapshotIsDroppedWithWhatFollowsIt(t *testing.T) {
	s := loneRaftFiles(t, 1, 10, 5, 11)
	if err := s.dropSuperseded(); err != nil {
		t.Fatalf("with no mark: %v", err)
	}
	if err := s.markSuperseded(&raft.SnapshotMeta{Index: 11, Term: 2}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds nothing to do
		if err := s.dropSuperseded(); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.stores.snaps.List()
	if err != nil || len(list) != 1 || list[0].Index != 5 {
		t.Errorf("snapshots %+v, %v, want the one at 5", list, err)
	}
	if last, err := s.stores.log.LastIndex(); err != nil || last != 10 {
		t.Errorf("the log ends at %d, %v, want 10", last, err)
	}
	if _, err := os.Stat(s.supersededPath()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("mark: %v, want that there is none", err)
	}
}

func TestNothingIsDroppedWhenWhatIsLeftWouldHaveAGap(t *testing.T) {
	s := loneRaftFiles(t, 7, 10, 5, 11)
	if err := s.markSuperseded(&raft.SnapshotMeta{Index: 11, Term: 2}); err != nil {
		t.Fatal(err)
	}
	if err := s.dropSuperseded(); err == nil || !strings.Contains(err.Error(), "remove the data directory") {
		t.Errorf("got %v, want what to do", err)
	}
	if list, err := s.stores.snaps.List(); err != nil || len(list) != 2 {
		t.Errorf("snapshots %+v, %v, want both", list, err)
	}
	if last, err := s.stores.log.LastIndex(); err != nil || last != 12 {
		t.Errorf("the log ends at %d, %v, want 12", last, err)
	}
	if err := os.WriteFile(filepath.Join(s.cfg.DataDir, "raft", supersededFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.dropSuperseded(); !errors.Is(err, errDamagedLog) {
		t.Errorf("a mark that says nothing: got %v", err)
	}
}
