package replay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-id/rollcall/snapshot"
)

// maxMetaBytes bounds meta.json; a cluster of a thousand servers stays far below.
const maxMetaBytes = 1 << 20

// Snapshot is one folder below raft/snapshots.
type Snapshot struct {
	ID      string
	Index   uint64
	Term    uint64
	Size    int64 // of state.bin in bytes, as its metadata say
	Created time.Time
	Usable  bool
	Problem string `json:",omitempty"` // why it is not usable

	meta snapshot.Meta
	dir  string
}

// Snapshots lists the snapshots, newest first, and reads each to the end to see whether it is whole.
func (d *Dir) Snapshots(ctx context.Context) ([]*Snapshot, error) {
	list, err := d.listSnapshots()
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		if s.Problem != "" {
			continue
		}
		v, err := snapshot.OpenRaftDir(ctx, s.dir, snapshot.VerifyOptions{})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if s.fail(err); err == nil {
			_ = v.Close() // only read from
		}
	}
	return list, nil
}

// fail notes why the snapshot is not usable, or that it is.
func (s *Snapshot) fail(err error) {
	if s.Usable = err == nil; err != nil {
		s.Problem = err.Error()
	}
}

// listSnapshots reads the metadata alone.
func (d *Dir) listSnapshots() ([]*Snapshot, error) {
	folder := filepath.Join(d.raft, "snapshots")
	names, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var list []*Snapshot
	for _, n := range names {
		if !n.IsDir() {
			continue
		}
		s := &Snapshot{ID: n.Name(), dir: filepath.Join(folder, n.Name())}
		if err := s.readMeta(); err != nil {
			s.Problem = err.Error()
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *Snapshot) int { // as Raft orders them
		return -cmp.Or(cmp.Compare(a.Term, b.Term), cmp.Compare(a.Index, b.Index), strings.Compare(a.ID, b.ID))
	})
	return list, nil
}

func (s *Snapshot) readMeta() error {
	// Until the metadata are read, the name says where the snapshot stands among the others.
	_, _ = fmt.Sscanf(s.ID, "%d-%d-", &s.Term, &s.Index)
	if strings.HasSuffix(s.ID, ".tmp") {
		return errors.New("it was never finished")
	}
	f, err := os.Open(filepath.Join(s.dir, "meta.json"))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	if err := json.NewDecoder(io.LimitReader(f, maxMetaBytes)).Decode(&s.meta); err != nil {
		return fmt.Errorf("read meta.json: %w", err)
	}
	s.Index, s.Term, s.Size, s.Created = s.meta.Index, s.meta.Term, s.meta.Size, s.meta.Created()
	return nil
}
