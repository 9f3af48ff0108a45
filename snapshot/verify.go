package snapshot

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"
)

// VerifyOptions are optional, all of them.
type VerifyOptions struct {
	Name     string // of the file, for errors; VerifyFile knows it
	Size     int64  // of the file in bytes, for Progress; VerifyFile knows it
	TempDir  string // where state.bin is unpacked; the default is os.TempDir(), which may be in memory
	MaxState int64  // longest state.bin in bytes; 0 stands for DefaultMaxState
	MaxRatio int64  // most bytes for one compressed byte; 0 stands for DefaultMaxRatio
	// Record, if set, is called with every record instead of decoding it with DecodeRecord, in a goroutine of its
	// own. An error refuses the snapshot. Record.Raw is valid until it returns.
	Record func(Record) error
	// Progress, if set, is called in the goroutine of the caller with the bytes of the file that have been read,
	// and Size.
	Progress func(done, total int64)
}

func (o VerifyOptions) withDefaults() VerifyOptions {
	if o.Name == "" {
		o.Name = "archive"
	}
	if o.MaxState <= 0 {
		o.MaxState = DefaultMaxState
	}
	if o.MaxRatio <= 0 {
		o.MaxRatio = DefaultMaxRatio
	}
	if o.Record == nil {
		o.Record = checkRecord
	}
	return o
}

// VerifyFile verifies the archive in the file at path.
func VerifyFile(ctx context.Context, path string, opts VerifyOptions) (v *Verified, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &ArchiveError{File: path, Err: because(ErrNotArchive, "it is not a regular file")}
	}
	opts.Name, opts.Size = path, info.Size()
	return Verify(ctx, f, opts)
}

// Verify reads an archive (wire.md §7.1) to the end and checks everything in it, unpacking the state into a temporary
// file. It never holds the state in memory. The members may come in any order. An *ArchiveError says what is wrong
// and where.
//
// Every flipped bit of an archive that Write wrote is noticed. Of others the modification time, the level, the system
// and the name in the gzip header are free, and a few bits of the compressed data stand for the same content either
// way: the content that comes out is what was written.
func Verify(ctx context.Context, r io.Reader, opts VerifyOptions) (*Verified, error) {
	opts = opts.withDefaults()
	v := &verifier{ctx: ctx, opts: opts, sums: map[string]sum{}}
	if err := v.run(r); err != nil {
		if v.state != nil {
			_ = v.state.Close() // it has no name and holds nothing of use
		}
		return nil, &ArchiveError{File: opts.Name, Member: v.member, Offset: v.in.used(), Err: err}
	}
	return &Verified{
		Name: opts.Name, Meta: v.meta, Counts: v.counts.List(), Size: v.in.src.n, Digest: sum(v.in.src.sum.Sum(nil)),
		StateSum: v.sums[memberState], state: v.state,
	}, nil
}

type verifier struct {
	ctx    context.Context
	opts   VerifyOptions
	in     *inflater
	state  *os.File // nil before state.bin
	member string   // the one being read

	seen      []string
	meta      Meta
	stateSize int64
	sums      map[string]sum // as they are
	listed    map[string]sum // as SHA256SUMS says
	counts    Counts
}

// run returns the reason to refuse the archive, where v.member and v.in say. A failed source goes before what it
// looks like.
func (v *verifier) run(r io.Reader) error {
	src := newSource(v.ctx, r, v.opts.Size, v.opts.Progress)
	err := v.read(src)
	if src.err != nil {
		return fmt.Errorf("read: %w", src.err)
	}
	return err
}

func (v *verifier) read(src *source) (err error) {
	if v.in, err = newInflater(src, v.opts.MaxRatio); err != nil {
		return err
	}
	tr := tar.NewReader(v.in)
	for {
		start := v.in.n
		v.in.allow(maxHeaderBytes)
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			// start is after the content of the last member, before its padding.
			if err := v.end(v.in.n - start - padding(start)); err != nil {
				return err
			}
			return v.in.trailing()
		}
		if err != nil {
			return tarError(err)
		}
		if err := v.enter(h); err != nil {
			return err
		}
		v.in.allow(h.Size)
		if err := v.content(tr, h.Size); err != nil {
			return err
		}
		v.member = ""
	}
}

// errTempFile: the archive is not to blame.
var errTempFile = errors.New("write temporary file")

// tarError makes what package tar finds wrong an ErrDamaged.
func tarError(err error) error {
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrTooLarge) || errors.Is(err, errTempFile) {
		return err
	}
	return because(ErrDamaged, "tar: %w", err)
}

// enter checks the header of a member.
func (v *verifier) enter(h *tar.Header) error {
	switch {
	case h.Name != memberMeta && h.Name != memberState && h.Name != memberSums:
		why := "it is none of meta.json, state.bin and SHA256SUMS"
		if strings.HasPrefix(h.Name, "/") || slices.Contains(strings.Split(h.Name, "/"), "..") {
			why = "it points out of the archive"
		}
		return because(ErrRefused, "unknown member %.64q: %s", h.Name, why)
	case slices.Contains(v.seen, h.Name):
		return because(ErrRefused, "second member %s", h.Name)
	}
	v.member = h.Name
	v.seen = append(v.seen, h.Name)
	if h.Typeflag != tar.TypeReg || h.Linkname != "" {
		return because(ErrRefused, "it is a link or a special file (type %q), not a regular file", h.Typeflag)
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse") {
			return because(ErrRefused, "it is a sparse file")
		}
	}
	limit := map[string]int64{memberMeta: maxMetaBytes, memberState: v.opts.MaxState, memberSums: maxSumsBytes}[h.Name]
	if h.Size > limit {
		return because(ErrTooLarge, "it has %d bytes, more than %d", h.Size, limit)
	}
	return nil
}

// content reads and checks a member by itself.
func (v *verifier) content(tr io.Reader, size int64) error {
	if v.member == memberState {
		return v.readState(tr, size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(tr, b); err != nil {
		return tarError(err)
	}
	if v.member == memberSums {
		listed, err := decodeSums(b)
		if err != nil {
			return because(ErrRefused, "%w", err)
		}
		v.listed = listed
		return nil
	}
	v.sums[memberMeta] = sha256.Sum256(b)
	if err := decodeMeta(b, &v.meta); err != nil {
		return because(ErrRefused, "%w", err)
	}
	if err := v.meta.Validate(); err != nil {
		return because(ErrRefused, "%w", err)
	}
	return nil
}

// readState copies state.bin to the temporary file and checks its records on the way, in another goroutine.
func (v *verifier) readState(tr io.Reader, size int64) error {
	v.stateSize = size
	if v.has(memberMeta) && v.meta.Size != size {
		return v.sizeError()
	}
	var err error
	if v.state, err = tempFile(v.opts.TempDir); err != nil {
		return err
	}
	h := sha256.New()
	q := newQueue(size)
	result := make(chan error, 1)
	go func() {
		err := eachRecord(q, &v.counts, v.opts.Record)
		q.abandon()
		result <- err
	}()
	err = copyState(q, v.state, h, tr)
	if err == nil {
		q.end(io.EOF)
	} else {
		q.end(err)
	}
	bad := <-result
	if err != nil {
		return tarError(err)
	}
	if bad != nil {
		return because(ErrDamaged, "%w", bad)
	}
	v.sums[memberState] = sum(h.Sum(nil))
	return nil
}

func (v *verifier) has(member string) bool { return slices.Contains(v.seen, member) }

// copyState reads src to the end into file, h and q, or until q's reader gives up.
func copyState(q *queue, file io.Writer, h hash.Hash, src io.Reader) error {
	for {
		b, ok := q.buffer()
		if !ok {
			return nil
		}
		n, err := 0, error(nil)
		for n < len(b) && err == nil { // io.ReadFull would hide that tar found its input too short
			var m int
			m, err = src.Read(b[n:])
			n += m
		}
		_, _ = h.Write(b[:n]) // a hash can't fail
		if _, err := file.Write(b[:n]); err != nil {
			return fmt.Errorf("%w: %w", errTempFile, err)
		}
		q.send(b[:n])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// end checks what can only be checked once all members are there. marker is how many bytes the end of the tar file
// took.
func (v *verifier) end(marker int64) error {
	for _, name := range []string{memberMeta, memberState, memberSums} {
		if !v.has(name) {
			return because(ErrDamaged, "member %s is missing", name)
		}
	}
	if marker != 2*tarBlock {
		return because(ErrDamaged, "the end of the tar file is missing")
	}
	if v.meta.Size != v.stateSize {
		return v.sizeError()
	}
	for _, name := range []string{memberMeta, memberState} {
		want, ok := v.listed[name]
		if !ok {
			return because(ErrRefused, "SHA256SUMS has no sum of %s", name)
		}
		if got := v.sums[name]; got != want {
			return because(ErrDamaged, "the SHA-256 of %s is %x, SHA256SUMS says %x", name, got, want)
		}
	}
	return v.rest()
}

func (v *verifier) sizeError() error {
	return because(ErrDamaged, "state.bin has %d bytes, meta.json says %d", v.stateSize, v.meta.Size)
}

// rest reads what follows the end of the tar file: nothing, or the zeros with which tar fills its last record. This
// is also what makes gzip check its sum.
func (v *verifier) rest() error {
	v.in.allow(tarRecord)
	b, err := io.ReadAll(v.in)
	if errors.Is(err, ErrTooLarge) || len(bytes.Trim(b, "\x00")) > 0 {
		return because(ErrRefused, "data follows the end of the tar file")
	}
	return err
}
