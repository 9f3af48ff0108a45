package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/internal/heap"
	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// meta describes the state as Raft would. The same log gives the same, so that the same state gives the same archive:
// the time in the ID is that of the last entry.
func (r *Result) meta() (snapshot.Meta, error) {
	var ms int64
	if !r.at.IsZero() {
		ms = r.at.UnixMilli()
	}
	var addresses [][]byte
	for _, s := range r.configuration.Servers {
		addresses = append(addresses, []byte(s.Address))
	}
	peers, err := structs.EncodeBytes(addresses)
	if err != nil {
		return snapshot.Meta{}, err
	}
	return snapshot.Meta{
		Version: 1, ID: fmt.Sprintf("%d-%d-%d", r.LastTerm, r.LastIndex, ms), Index: r.LastIndex, Term: r.LastTerm, Peers: peers,
		Configuration: r.configuration, ConfigurationIndex: r.ConfigurationIndex,
	}, nil
}

// WriteArchive writes the state as a snapshot archive. The file is there whole or not at all.
func (r *Result) WriteArchive(ctx context.Context, path string) (*snapshot.Written, error) {
	meta, err := r.meta()
	if err != nil {
		return nil, err
	}
	var out *snapshot.Written
	err = snapshot.WriteFile(path, func(f *os.File) (err error) {
		out, err = writeState(ctx, f, meta, r.state, filepath.Dir(path))
		return err
	})
	return out, err
}

func writeState(ctx context.Context, w io.Writer, meta snapshot.Meta, s *state.Store, temp string) (*snapshot.Written, error) {
	view := s.Snapshot()
	return snapshot.Write(ctx, w, meta, func(w io.Writer) error {
		_, err := fsm.WriteState(w, view)
		return err
	}, snapshot.WriteOptions{TempDir: temp})
}

// Comparison is how two states differ.
type Comparison struct {
	Other       string // as the caller named it
	OtherIndex  uint64
	Digest      string
	OtherDigest string
	Equal       bool
	// Difference leads from the other state to the replayed one; nil if they are equal.
	Difference *snapshot.Difference `json:",omitempty"`
}

// other is the state to compare with.
type other struct {
	state *state.Store
	meta  snapshot.Meta
}

// Compare compares the state with that of a snapshot archive, or of another data directory that is replayed with the
// same options. Either is brought up to date as this version does it, so that only what it means is compared.
func (r *Result) Compare(ctx context.Context, path string, opts Options) (*Comparison, error) {
	o, err := loadOther(ctx, path, opts)
	if err != nil {
		return nil, fmt.Errorf("compare with %s: %w", path, err)
	}
	digest, err := o.state.Digest()
	if err != nil {
		return nil, fmt.Errorf("compare with %s: %w", path, err)
	}
	c := &Comparison{Other: path, OtherIndex: o.meta.Index, Digest: r.Digest, OtherDigest: fmt.Sprintf("%x", digest)}
	if c.Equal = c.Digest == c.OtherDigest; c.Equal {
		return c, nil
	}
	meta, err := r.meta()
	if err != nil {
		return nil, err
	}
	ours, err := verified(ctx, "replay of "+r.Path, meta, r.state)
	if err != nil {
		return nil, err
	}
	defer func() { _ = ours.Close() }() // temporary
	theirs, err := verified(ctx, path, o.meta, o.state)
	if err != nil {
		return nil, err
	}
	defer func() { _ = theirs.Close() }() // temporary
	if c.Difference, err = snapshot.Diff(ctx, theirs, ours, snapshot.DiffOptions{}); err != nil {
		return nil, err
	}
	return c, nil
}

func loadOther(ctx context.Context, path string, opts Options) (*other, error) {
	dir, err := Open(path)
	if errors.Is(err, ErrDamaged) {
		o, notThat := loadArchive(ctx, path, opts)
		if errors.Is(notThat, snapshot.ErrNotArchive) {
			return nil, fmt.Errorf("it is neither log nor archive: %w; %w", err, notThat)
		}
		return o, notThat
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }() // only read from
	r, err := dir.Run(ctx, opts)
	if err != nil {
		return nil, err
	}
	meta, err := r.meta()
	if err != nil {
		return nil, err
	}
	return &other{state: r.state, meta: meta}, nil
}

func loadArchive(ctx context.Context, path string, opts Options) (*other, error) {
	verify := snapshot.VerifyOptions{}
	if opts.Progress != nil {
		verify.Progress = func(done, total int64) { opts.Progress("verify archive", done, total) }
	}
	v, err := snapshot.VerifyFile(ctx, path, verify)
	if err != nil {
		return nil, err
	}
	defer func() { _ = v.Close() }() // only read from
	store, _, err := fsm.ReadState(heap.NewReader(&progressReader{ctx: ctx, src: v.State(), report: func(int64) {}}))
	if err != nil {
		return nil, err
	}
	return &other{state: store, meta: v.Meta}, nil
}

// verified returns a state in the form that snapshots are compared in.
func verified(ctx context.Context, name string, meta snapshot.Meta, s *state.Store) (v *snapshot.Verified, err error) {
	meta.Size = 0 // another version's encoding may have had another
	f, err := os.CreateTemp("", "rollcall-replay-*.snap")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := writeState(ctx, f, meta, s, ""); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return snapshot.Verify(ctx, f, snapshot.VerifyOptions{Name: name})
}
