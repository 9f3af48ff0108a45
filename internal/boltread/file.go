package boltread

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	// ErrLocked: a process that writes to the file has it open. Stop it, or read a copy of the file.
	ErrLocked = errors.New("held by another process")
	// ErrNotBolt: the file does not begin as a BoltDB file does, or its beginning is damaged.
	ErrNotBolt = errors.New("not a BoltDB file, or its first pages are damaged")
	// ErrNoBucket: the file has no bucket of that name.
	ErrNoBucket = errors.New("no such bucket")
)

// PageError says which page of a file is wrong.
type PageError struct {
	Page   uint64
	Offset int64 // of the page, in bytes from the start of the file
	What   string
}

// Error names page and offset.
func (e *PageError) Error() string {
	return fmt.Sprintf("page %d at byte %d: %s", e.Page, e.Offset, e.What)
}

func (f *File) pageError(id uint64, format string, args ...any) *PageError {
	return &PageError{Page: id, Offset: int64(id) * f.meta.pageSize, What: fmt.Sprintf(format, args...)}
}

// File is an open file. It is for one goroutine.
type File struct {
	lock *bbolt.DB
	file *os.File
	size int64
	meta meta
}

// meta is what a meta page says.
type meta struct {
	pageSize   int64
	root       uint64 // page of the root bucket
	pages      uint64 // all pages have lower numbers
	generation uint64
}

// Open opens a file for reading, waiting up to timeout for writers to go.
func Open(path string, timeout time.Duration) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: it is no regular file", path, ErrNotBolt)
	}
	if info.Size() == 0 {
		return nil, fmt.Errorf("%s: %w: it is empty", path, ErrNotBolt)
	}
	lock, err := acquire(path, timeout)
	if err != nil {
		return nil, err
	}
	f := &File{lock: lock}
	if f.file, err = os.Open(path); err == nil {
		err = f.readMeta(path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// acquire takes the lock the way every user of the library does.
func acquire(path string, timeout time.Duration) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if x := recover(); x != nil {
			db, err = nil, fmt.Errorf("%s: %w: %v", path, ErrNotBolt, x)
		}
	}()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: timeout})
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s: %w", path, ErrLocked)
	case errors.Is(err, os.ErrPermission):
		return nil, err
	}
	return nil, fmt.Errorf("%s: %w: %w", path, ErrNotBolt, err)
}

const (
	magic       = 0xED0CDAED
	version     = 2
	pageHeader  = 16
	metaSize    = 64
	minPageSize = 1 << 10
	maxPageSize = 16 << 20
)

// readMeta picks the meta page of the latest commit out of the two.
func (f *File) readMeta(path string) error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	f.size = info.Size()
	found := false
	for _, offset := range []int64{0, int64(f.lock.Info().PageSize)} {
		var b [pageHeader + metaSize]byte
		if _, err := f.file.ReadAt(b[:], offset); err != nil {
			continue // the other one may do
		}
		if m, ok := parseMeta(b[pageHeader:]); ok && (!found || m.generation > f.meta.generation) {
			f.meta, found = m, true
		}
	}
	if !found {
		return fmt.Errorf("%s: %w", path, ErrNotBolt)
	}
	return nil
}

func parseMeta(b []byte) (meta, bool) {
	h := fnv.New64a()
	_, _ = h.Write(b[:56]) // a hash can't fail
	u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	m := meta{pageSize: int64(u32(b[8:])), root: u64(b[16:]), pages: u64(b[40:]), generation: u64(b[48:])}
	ok := u32(b) == magic && u32(b[4:]) == version && u64(b[56:]) == h.Sum64() &&
		m.pageSize >= minPageSize && m.pageSize <= maxPageSize && m.pages < 1<<40
	return m, ok
}

// Size is the file's length in bytes.
func (f *File) Size() int64 { return f.size }

// Extent is how many bytes the file must have to hold all of its pages. A shorter file has been cut off.
func (f *File) Extent() int64 { return int64(f.meta.pages) * f.meta.pageSize }

// Close lets go of the file and its lock.
func (f *File) Close() error {
	var err error
	if f.file != nil {
		err = f.file.Close()
	}
	return errors.Join(err, f.lock.Close())
}

// page reads a page with the pages that it runs over into.
func (f *File) page(id uint64) ([]byte, error) {
	if id < 2 || id >= f.meta.pages {
		return nil, &PageError{Page: id, What: fmt.Sprintf("no such page among %d", f.meta.pages)}
	}
	offset := int64(id) * f.meta.pageSize
	fail := func(format string, args ...any) ([]byte, error) { return nil, f.pageError(id, format, args...) }
	if offset+f.meta.pageSize > f.size {
		return fail("the file ends at byte %d", f.size)
	}
	b := make([]byte, f.meta.pageSize)
	if _, err := f.file.ReadAt(b, offset); err != nil {
		return fail("%v", err)
	}
	if got := binary.NativeEndian.Uint64(b); got != id {
		return fail("it calls itself page %d", got)
	}
	more := int64(binary.NativeEndian.Uint32(b[12:]))
	if more == 0 {
		return b, nil
	}
	if id+uint64(more) >= f.meta.pages {
		return fail("it claims %d more pages than there are", id+uint64(more)-f.meta.pages+1)
	}
	if offset+(more+1)*f.meta.pageSize > f.size {
		return fail("it goes on to byte %d, the file ends at byte %d", offset+(more+1)*f.meta.pageSize, f.size)
	}
	b = append(b, make([]byte, more*f.meta.pageSize)...)
	if _, err := io.ReadFull(io.NewSectionReader(f.file, offset, int64(len(b))), b); err != nil {
		return fail("%v", err)
	}
	return b, nil
}
