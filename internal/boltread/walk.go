package boltread

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
)

const (
	branchPage  = 0x01
	leafPage    = 0x02
	bucketFlag  = 0x01
	elementSize = 16
	bucketSize  = 16
	// maxDepth is far beyond what the tree of any file that fits a disk has.
	maxDepth = 48
)

// Bucket is a top-level bucket.
type Bucket struct {
	file   *File
	root   uint64
	inline []byte // the only page of a small bucket, which has no number
}

// Bucket finds a top-level bucket. The error is ErrNoBucket or a *PageError.
func (f *File) Bucket(name string) (*Bucket, error) {
	var found *Bucket
	w := walker{file: f, left: f.meta.pages, from: []byte(name), visit: func(key, value []byte, flags uint32) error {
		if string(key) != name || flags&bucketFlag == 0 {
			return errDone
		}
		if len(value) < bucketSize {
			return fmt.Errorf("bucket %q: its entry is damaged", name)
		}
		found = &Bucket{file: f, root: binary.NativeEndian.Uint64(value)}
		if found.root == 0 {
			found.inline = bytes.Clone(value[bucketSize:])
		}
		return errDone
	}}
	if err := w.page(f.meta.root, 0); err != nil && !errors.Is(err, errDone) {
		return nil, err
	}
	if found == nil {
		return nil, fmt.Errorf("%w %q", ErrNoBucket, name)
	}
	return found, nil
}

var (
	errDone   = errors.New("done")
	errCircle = errors.New("the tree of pages leads round in circles")
)

// Walk calls visit for every key not less than from, in order; nil starts at the first. The slices are valid until
// visit returns. Pages that can't be read are told to damaged with a *PageError, and the walk goes on after them if
// that returns nil. An error of either callback ends the walk and is returned.
func (b *Bucket) Walk(from []byte, visit func(key, value []byte) error, damaged func(error) error) error {
	w := walker{file: b.file, left: b.file.meta.pages, from: from, damaged: damaged}
	w.visit = func(key, value []byte, flags uint32) error {
		if flags&bucketFlag != 0 {
			value = nil
		}
		return visit(key, value)
	}
	if b.root == 0 {
		return w.bad(w.elements(b.inline, 0, 0))
	}
	return w.page(b.root, 0)
}

// walker is one walk over a tree.
type walker struct {
	file    *File
	left    uint64 // pages that may still be read: more visits than pages mean that the tree is none
	from    []byte
	last    []byte // key visited last, nil before the first
	visit   func(key, value []byte, flags uint32) error
	damaged func(error) error
}

// bad hands damage to who wants to know of it; other errors end the walk.
func (w *walker) bad(err error) error {
	var page *PageError
	if w.damaged != nil && errors.As(err, &page) {
		return w.damaged(err)
	}
	return err
}

func (w *walker) page(id uint64, depth int) error {
	if w.left == 0 || depth > maxDepth {
		return fmt.Errorf("%w at page %d", errCircle, id) // no PageError: going on would only find more of the same
	}
	w.left--
	b, err := w.file.page(id)
	if err != nil {
		return w.bad(err)
	}
	return w.bad(w.elements(b, id, depth))
}

// element is one row of a page: a child of a branch, or a key of a leaf.
type element struct {
	flags      uint32
	child      uint64
	key, value []byte
}

// elements visits what is on a page.
func (w *walker) elements(b []byte, id uint64, depth int) error {
	kind, rows, err := w.file.rows(b, id)
	if err != nil {
		return err
	}
	if kind == leafPage {
		return w.leaf(rows, id)
	}
	for i, row := range rows {
		if i+1 < len(rows) && bytes.Compare(rows[i+1].key, w.from) <= 0 {
			continue // all of its keys are less than from
		}
		if err := w.page(row.child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// rows reads what is on a page, keys in order.
func (f *File) rows(b []byte, id uint64) (kind uint16, rows []element, err error) {
	fail := func(format string, args ...any) (uint16, []element, error) {
		return 0, nil, f.pageError(id, format, args...)
	}
	if len(b) < pageHeader {
		return fail("it is too short")
	}
	kind, count := binary.NativeEndian.Uint16(b[8:]), int(binary.NativeEndian.Uint16(b[10:]))
	if kind != branchPage && kind != leafPage {
		return fail("it is neither branch nor leaf (0x%02x)", kind)
	}
	rows = make([]element, count)
	for i := range rows {
		var ok bool
		if rows[i], ok = parseElement(b, pageHeader+i*elementSize, kind); !ok {
			return fail("element %d of %d does not fit in it", i, count)
		}
		if i > 0 && bytes.Compare(rows[i-1].key, rows[i].key) >= 0 {
			return fail("keys are out of order at element %d", i)
		}
	}
	return kind, rows, nil
}

func (w *walker) leaf(rows []element, id uint64) error {
	if len(rows) > 0 && w.last != nil && bytes.Compare(w.last, rows[0].key) >= 0 {
		return w.file.pageError(id, "its keys come before those of the page before it")
	}
	for _, row := range rows {
		if bytes.Compare(row.key, w.from) < 0 {
			continue
		}
		if err := w.visit(row.key, row.value, row.flags); err != nil {
			return err
		}
	}
	if len(rows) > 0 {
		w.last = rows[len(rows)-1].key
	}
	return nil
}

// parseElement reads the row at offset at; ok is false if it points outside of the page.
func parseElement(b []byte, at int, kind uint16) (e element, ok bool) {
	if at+elementSize > len(b) {
		return e, false
	}
	u32 := func(i int) uint64 { return uint64(binary.NativeEndian.Uint32(b[at+i:])) }
	var position, keySize, valueSize uint64
	if kind == branchPage {
		position, keySize, e.child = u32(0), u32(4), binary.NativeEndian.Uint64(b[at+8:])
	} else {
		e.flags, position, keySize, valueSize = uint32(u32(0)), u32(4), u32(8), u32(12)
	}
	start := uint64(at) + position
	if start+keySize+valueSize > uint64(len(b)) {
		return e, false
	}
	e.key = b[start : start+keySize]
	e.value = b[start+keySize : start+keySize+valueSize]
	return e, true
}

// Last returns the greatest key, nil if there is none.
func (b *Bucket) Last() ([]byte, error) {
	page, id := b.inline, b.root
	for range maxDepth {
		if id != 0 {
			var err error
			if page, err = b.file.page(id); err != nil {
				return nil, err
			}
		}
		damaged := b.file.pageError(id, "its last element can't be read")
		if len(page) < pageHeader {
			return nil, damaged
		}
		kind, count := binary.NativeEndian.Uint16(page[8:]), int(binary.NativeEndian.Uint16(page[10:]))
		if count == 0 && kind == leafPage {
			return nil, nil
		}
		if count == 0 || kind != leafPage && kind != branchPage {
			return nil, damaged
		}
		row, ok := parseElement(page, pageHeader+(count-1)*elementSize, kind)
		if !ok {
			return nil, damaged
		}
		if kind == leafPage {
			return row.key, nil
		}
		id = row.child
	}
	return nil, errCircle
}

// Leaves calls visit for everything on all pages that look like leaves, by page number. It needs no tree, for files
// that have lost theirs: keys come in no order, from all buckets, and may be of an earlier state of the file, more than
// once and with other values.
func (f *File) Leaves(visit func(page uint64, key, value []byte) error) error {
	for id := uint64(2); id < f.meta.pages && int64(id) < f.size/f.meta.pageSize; id++ {
		rows, err := f.Leaf(id)
		if err != nil {
			continue // it is something else, or damaged
		}
		for key, value := range rows {
			if err := visit(id, key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// Leaf returns the keys of a leaf page and their values, in order.
func (f *File) Leaf(id uint64) (iter.Seq2[[]byte, []byte], error) {
	b, err := f.page(id)
	if err != nil {
		return nil, err
	}
	kind, rows, err := f.rows(b, id)
	if err != nil {
		return nil, err
	}
	if kind != leafPage {
		return nil, f.pageError(id, "it is no leaf")
	}
	return func(yield func(key, value []byte) bool) {
		for _, row := range rows {
			if row.flags&bucketFlag == 0 && !yield(row.key, row.value) {
				return
			}
		}
	}, nil
}
