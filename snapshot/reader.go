package snapshot

import (
	"errors"
	"fmt"
	"io"

	"github.com/rollcall-id/rollcall/structs"
)

// readBuffer is the Reader's first buffer, in bytes; it doubles while a record needs more.
const readBuffer = 64 << 10

// maxEmptyReads is how many times in a row a source may return nothing at all.
const maxEmptyReads = 100

// Reader reads a record stream. It reads ahead, so what it was given to read from must hold nothing else.
type Reader struct {
	src     io.Reader
	limits  structs.Limits
	scanner structs.MsgpackScanner
	buf     []byte
	start   int   // of what is not consumed yet, in buf[:end]
	end     int   // of what has arrived
	offset  int64 // of buf[start] in the stream
	number  int   // of the last record, 0 before the first
	began   bool  // the header has been read
	srcErr  error // what src ended with
	err     error // what Next ended with
}

// NewReader returns a Reader that refuses records longer than MaxRecordBytes.
func NewReader(src io.Reader) *Reader { return NewReaderSize(src, 0) }

// NewReaderSize returns a Reader that refuses records whose value is longer than maxRecord bytes; 0 stands for
// MaxRecordBytes.
func NewReaderSize(src io.Reader, maxRecord int) *Reader {
	return &Reader{src: src, limits: recordLimits(maxRecord)}
}

func recordLimits(maxRecord int) structs.Limits {
	if maxRecord <= 0 {
		maxRecord = MaxRecordBytes
	}
	return structs.Limits{MaxBytes: maxRecord, MaxValues: maxRecordValues}
}

// Next returns the next record, io.EOF after the last one, or a *RecordError. Every later call returns the same
// error. Record.Raw is valid until the next call.
func (r *Reader) Next() (Record, error) {
	if r.err != nil {
		return Record{}, r.err
	}
	rec, err := r.next()
	r.err = err
	return rec, err
}

func (r *Reader) next() (Record, error) {
	if !r.began {
		if err := r.readHeader(); err != nil {
			return Record{}, &RecordError{Offset: 0, Err: err}
		}
		r.began = true
	}
	if err := r.fill(1); errors.Is(err, io.EOF) {
		return Record{}, io.EOF
	} else if err != nil {
		return Record{}, fmt.Errorf("read snapshot after record %d at byte %d: %w", r.number, r.offset, err)
	}
	r.number++
	rec := Record{Number: r.number, Type: structs.RecordType(r.buf[r.start]), Offset: r.offset}
	if rec.Type >= firstInvalidType {
		return Record{}, rec.Fail(ErrBadType)
	}
	r.consume(1)
	n, err := r.value()
	if err != nil {
		return Record{}, rec.Fail(err)
	}
	rec.Raw = r.buf[r.start : r.start+n : r.start+n]
	r.consume(n)
	return rec, nil
}

// readHeader skips the first value. Writers put an empty map there; what a fuller one would say is not for us.
func (r *Reader) readHeader() error {
	if err := r.fill(1); errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the stream is empty", structs.ErrTruncated)
	} else if err != nil {
		return err
	}
	if c := r.buf[r.start]; c&0xf0 != 0x80 && c != 0xde && c != 0xdf {
		return fmt.Errorf("%w but with 0x%02x", ErrBadHeader, c)
	}
	n, err := r.value()
	if err != nil {
		return err
	}
	r.consume(n)
	return nil
}

// value makes the whole next value arrive at r.start and returns its length.
func (r *Reader) value() (int, error) {
	r.scanner.Reset(r.limits)
	for {
		done, err := r.scanner.Scan(r.buf[r.start:r.end])
		if err != nil {
			return 0, err
		}
		if done {
			return r.scanner.Need(), nil
		}
		if err := r.fill(r.scanner.Need()); errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("%w: at least %d bytes needed, %d left", structs.ErrTruncated, r.scanner.Need(), r.end-r.start)
		} else if err != nil {
			return 0, err
		}
	}
}

func (r *Reader) consume(n int) {
	r.start += n
	r.offset += int64(n)
}

// fill reads until need bytes are there. io.EOF means that the source has no more.
func (r *Reader) fill(need int) error {
	for empty := 0; r.end-r.start < need; {
		if r.srcErr != nil {
			return r.srcErr
		}
		r.makeRoom(need)
		n, err := r.src.Read(r.buf[r.end:])
		if n < 0 || n > len(r.buf)-r.end {
			return fmt.Errorf("source returned an impossible count %d", n)
		}
		r.end += n
		r.srcErr = err
		if n > 0 {
			empty = 0
		} else if empty++; err == nil && empty >= maxEmptyReads {
			r.srcErr = io.ErrNoProgress
		}
	}
	return nil
}

// makeRoom leaves room for at least one more byte. It moves what is there to the front before it takes more memory,
// and at most doubles what has arrived, so that a length field alone costs nothing.
func (r *Reader) makeRoom(need int) {
	if r.start > 0 && (r.start == r.end || r.start+need > len(r.buf)) {
		copy(r.buf, r.buf[r.start:r.end])
		r.end -= r.start
		r.start = 0
	}
	if r.end < len(r.buf) {
		return
	}
	bigger := make([]byte, max(readBuffer, 2*len(r.buf)))
	copy(bigger, r.buf[r.start:r.end])
	r.buf, r.end, r.start = bigger, r.end-r.start, 0
}
