package snapshot

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"github.com/klauspost/compress/gzip"
	"hash"
	"hash/crc32"
	"io"
)

// source reads the bytes of a file. It counts and hashes them, and keeps the error that reading failed with, so that
// a failed disk or connection can be told from a damaged archive.
type source struct {
	ctx      context.Context
	r        io.Reader
	n        int64
	total    int64 // for progress; 0 if unknown
	sum      hash.Hash
	tail     uint32 // CRC-32 of what follows the first gzipHeaderBytes
	progress func(done, total int64)
	err      error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err = s.ctx.Err(); s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if n < 0 || n > len(p) {
		n, err = 0, fmt.Errorf("source returned an impossible count")
	}
	s.tail = crc32.Update(s.tail, crc32.IEEETable, p[min(int64(n), max(0, int64(gzipHeaderBytes)-s.n)):n])
	s.n += int64(n)
	_, _ = s.sum.Write(p[:n]) // a hash can't fail
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	if s.progress != nil && n > 0 {
		s.progress(s.n, s.total)
	}
	return n, err
}

// inflater is the uncompressed side of an archive: one gzip member, under a ratio and a budget.
type inflater struct {
	src      *source
	buf      *bufio.Reader
	gz       *gzip.Reader
	n        int64 // bytes out so far
	budget   int64 // bytes that may still come out; see allow
	maxRatio int64
	ours     bool   // Write wrote it
	tail     uint32 // if so, the CRC-32 of what follows the header
}

// The flags of the optional parts of a gzip header that are accepted: the extra field that Write writes, and a name,
// which tools that compress files set.
const (
	gzipExtra = 0x04
	gzipName  = 0x08
)

func newInflater(src *source, maxRatio int64) (*inflater, error) {
	f := &inflater{src: src, buf: bufio.NewReaderSize(src, 64<<10), maxRatio: maxRatio}
	start, err := f.buf.Peek(4)
	switch {
	case len(start) >= 2 && (start[0] != 0x1f || start[1] != 0x8b):
		return f, because(ErrNotArchive, "it does not begin as a gzip file does")
	case err != nil && len(start) == 0:
		return f, because(ErrDamaged, "the file is empty")
	case err != nil:
		return f, because(ErrDamaged, "the file ends in its gzip header")
	case start[2] != 8:
		return f, because(ErrDamaged, "the gzip header names compression method %d", start[2])
	case start[3] != 0 && start[3] != gzipExtra && start[3] != gzipName:
		return f, because(ErrDamaged, "the gzip header has the flags 0x%02x", start[3])
	}
	if start[3] == gzipExtra {
		h, _ := f.buf.Peek(gzipHeaderBytes)
		crc, ok := bytes.CutPrefix(h, []byte(gzipHeader))
		if !ok || len(crc) != crc32.Size {
			return f, because(ErrDamaged, "the gzip header has other extra fields than a server writes")
		}
		f.ours, f.tail = true, binary.LittleEndian.Uint32(crc)
	}
	f.gz, err = gzip.NewReader(f.buf)
	if err != nil {
		return f, because(ErrDamaged, "gzip header: %w", err)
	}
	f.gz.Multistream(false) // what follows the first member is trailing data
	return f, nil
}

// used is how many bytes of the file have been taken in.
func (f *inflater) used() int64 { return f.src.n - int64(f.buf.Buffered()) }

// allow sets how many bytes may be read from here on.
func (f *inflater) allow(n int64) { f.budget = n }

// Read returns io.EOF only once gzip's own sum and length have been found right.
func (f *inflater) Read(p []byte) (int, error) {
	if f.budget <= 0 {
		// There may be no more to come, in which case this is the end and not too much.
		if n, err := f.gz.Read(make([]byte, 1)); n == 0 {
			return 0, f.end(err)
		}
		return 0, because(ErrTooLarge, "more uncompressed bytes follow than belong here")
	}
	n, err := f.gz.Read(p[:min(int64(len(p)), f.budget)])
	f.n += int64(n)
	f.budget -= int64(n)
	if used := f.used(); f.n > ratioFree && f.n/max(used, 1) > f.maxRatio {
		return n, because(ErrTooLarge, "%d bytes stand for more than %d times as many", used, f.maxRatio)
	}
	return n, f.end(err)
}

// end makes what gzip finds wrong an ErrDamaged.
func (f *inflater) end(err error) error {
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return because(ErrDamaged, "the compressed data is cut off")
	default:
		return because(ErrDamaged, "%w", err)
	}
}

// trailing reports whether anything follows the gzip member, or is not as it was written although the content is.
func (f *inflater) trailing() error {
	switch next, err := f.buf.Peek(1); {
	case len(next) > 0 && next[0] == 0x1f:
		return because(ErrRefused, "a second gzip stream follows the first")
	case len(next) > 0:
		return because(ErrRefused, "data follows the end of the archive")
	case !errors.Is(err, io.EOF):
		return err
	case f.ours && f.src.tail != f.tail:
		return because(ErrDamaged, "the CRC-32 of the compressed data is %08x, the gzip header says %08x", f.src.tail, f.tail)
	}
	return nil
}

func newSource(ctx context.Context, r io.Reader, size int64, progress func(done, total int64)) *source {
	return &source{ctx: ctx, r: r, total: size, sum: sha256.New(), progress: progress}
}
