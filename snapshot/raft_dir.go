package snapshot

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// tmpSuffix ends the name of a directory that Raft has not finished, and deletes itself.
const tmpSuffix = ".tmp"

// ErrNoSnapshot: a directory of snapshots has none that can be used. The log may have all entries instead.
var ErrNoSnapshot = errors.New("no usable snapshot")

// OpenRaftDir verifies one snapshot of Raft's store on disk, <data_dir>/server/raft/snapshots/<id> (wire.md §8.2):
// its CRC, its size, and its records as Verify does. The state stays where it is, and nothing is written. Of
// opts only Record, MaxState and Progress (with the bytes of state.bin) matter.
func OpenRaftDir(ctx context.Context, dir string, opts VerifyOptions) (*Verified, error) {
	opts.Name = dir
	opts = opts.withDefaults()
	refuse := func(member string, offset int64, err error) (*Verified, error) {
		return nil, &ArchiveError{File: dir, Member: member, Offset: offset, Err: err}
	}
	meta, crc, err := readRaftMeta(dir)
	if err != nil {
		return refuse(memberMeta, 0, err)
	}
	state, err := OpenRaftState(dir)
	if err != nil {
		return refuse(memberState, 0, err)
	}
	v := &Verified{Name: dir, Meta: meta, state: state}
	if at, err := v.checkRaftState(ctx, crc, opts); err != nil {
		_ = state.Close() // only read from
		return refuse(memberState, at, err)
	}
	return v, nil
}

// OpenRaftState opens the state of one snapshot of Raft's store on disk, as OpenRaftDir does, without a look at it: for
// whoever has just written it.
func OpenRaftState(dir string) (*os.File, error) { return openRegular(filepath.Join(dir, memberState)) }

// checkRaftState reads the whole state, records and sums at once, and says how far it came.
func (v *Verified) checkRaftState(ctx context.Context, want []byte, opts VerifyOptions) (int64, error) {
	info, err := v.state.Stat()
	switch {
	case err != nil:
		return 0, err
	case info.Size() != v.Meta.Size:
		return 0, because(ErrDamaged, "state.bin has %d bytes, meta.json says %d", info.Size(), v.Meta.Size)
	case info.Size() > opts.MaxState:
		return 0, because(ErrTooLarge, "it has %d bytes, more than %d", info.Size(), opts.MaxState)
	}
	crc := crc64.New(crc64.MakeTable(crc64.ECMA))
	src := newSource(ctx, v.State(), v.Meta.Size, opts.Progress)
	both := io.TeeReader(src, crc)
	var counts Counts
	bad := eachRecord(both, &counts, opts.Record)
	if src.err != nil {
		return src.n, fmt.Errorf("read: %w", src.err)
	}
	if bad != nil {
		return src.n, because(ErrDamaged, "%w", bad)
	}
	if got := crc.Sum(nil); !bytes.Equal(got, want) {
		return src.n, because(ErrDamaged, "the CRC-64 of state.bin is %x, meta.json says %x", got, want)
	}
	v.Counts, v.StateSum = counts.List(), sum(src.sum.Sum(make([]byte, 0, sha256.Size)))
	return src.n, nil
}

// readRaftMeta reads meta.json of a snapshot in Raft's store: the metadata and the CRC-64 of the state.
func readRaftMeta(dir string) (Meta, []byte, error) {
	f, err := openRegular(filepath.Join(dir, memberMeta))
	if err != nil {
		return Meta{}, nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	b, err := io.ReadAll(io.LimitReader(f, maxMetaBytes+1))
	if err != nil {
		return Meta{}, nil, err
	}
	if len(b) > maxMetaBytes {
		return Meta{}, nil, because(ErrTooLarge, "it has more than %d bytes", maxMetaBytes)
	}
	var meta struct {
		Meta
		CRC []byte
	}
	if err := decodeMeta(b, &meta); err != nil {
		return Meta{}, nil, because(ErrDamaged, "%w", err)
	}
	if err := meta.Validate(); err != nil {
		return Meta{}, nil, because(ErrDamaged, "%w", err)
	}
	if len(meta.CRC) != crc64.Size {
		return Meta{}, nil, because(ErrDamaged, "it has no CRC of state.bin")
	}
	return meta.Meta, meta.CRC, nil
}

// openRegular opens a file that is not a link and not special.
func openRegular(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, because(ErrDamaged, "the file is missing")
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, because(ErrRefused, "it is not a regular file")
	}
	return os.Open(path)
}

// Skipped is a snapshot that was passed over, and why.
type Skipped struct {
	Name string
	Err  error
}

// OpenNewest verifies the snapshots in Raft's store dir (<data_dir>/server/raft/snapshots) from the newest on and
// returns the first that is whole, with those it passed over. Directories that were never finished (".tmp") are
// ignored. Without a whole one the error is ErrNoSnapshot, which is also true of a store that has none at all.
func OpenNewest(ctx context.Context, dir string, opts VerifyOptions) (*Verified, []Skipped, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	type candidate struct {
		name string
		meta Meta
	}
	var list []candidate
	var skipped []Skipped
	for _, e := range entries {
		if !e.IsDir() || strings.HasSuffix(e.Name(), tmpSuffix) {
			continue
		}
		meta, _, err := readRaftMeta(filepath.Join(dir, e.Name()))
		if err != nil {
			skipped = append(skipped, Skipped{e.Name(), &ArchiveError{File: filepath.Join(dir, e.Name()), Member: memberMeta, Err: err}})
			continue
		}
		list = append(list, candidate{e.Name(), meta})
	}
	slices.SortFunc(list, func(a, b candidate) int {
		return -cmp.Or(cmp.Compare(a.meta.Term, b.meta.Term), cmp.Compare(a.meta.Index, b.meta.Index), cmp.Compare(a.meta.ID, b.meta.ID))
	})
	for _, c := range list {
		if err := ctx.Err(); err != nil {
			return nil, skipped, err
		}
		v, err := OpenRaftDir(ctx, filepath.Join(dir, c.name), opts)
		if err == nil {
			return v, skipped, nil
		}
		skipped = append(skipped, Skipped{c.name, err})
	}
	if err := ctx.Err(); err != nil { // the last one may have been whole
		return nil, skipped, err
	}
	return nil, skipped, fmt.Errorf("%w in %s", ErrNoSnapshot, dir)
}
