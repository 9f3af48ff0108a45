package transport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/rollcall-id/rollcall/internal/quota"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	readBufferSize = 2 << 10  // a new stream's buffer; a heartbeat or a status update with its token fits
	keptReadBuffer = 8 << 10  // a larger read buffer is let go of before waiting for the next request
	keptBufferSize = 64 << 10 // a larger write buffer is not kept for reuse
)

var headerLimits = structs.Limits{MaxBytes: maxHeaderBytes, MaxDepth: 8}

// Reader reads one msgpack value after the other from a connection. Its buffer grows with the bytes that have
// arrived, never with a length that a peer claims. It is not safe for concurrent use.
type Reader struct {
	conn    net.Conn
	timeout time.Duration // for a frame that has begun; 0: none
	armed   bool          // a read deadline is set
	scan    structs.MsgpackScanner
	buf     []byte
	start   int // buf[start:end] has arrived and is not used yet
	end     int
	budget  *budget // of the connection; nil: none
	charged int     // what buf, grown beyond its usual size, takes of the budget
}

// NewReader returns a Reader for conn. A value that has begun to arrive, and one that the caller of ReadValue says has to
// follow, must be complete within timeout, or reading fails with the connection's timeout error; 0 means no limit.
func NewReader(conn net.Conn, timeout time.Duration) *Reader {
	return &Reader{conn: conn, timeout: timeout}
}

// ReadValue reads the next value; what names it in errors. The result is valid until the next call. At the end
// of input before the value's first byte the error is io.EOF itself; every other problem is a FrameError.
func (r *Reader) ReadValue(what string, limits structs.Limits) ([]byte, error) {
	return r.read(what, limits, true)
}

// Rest is what follows the last value as plain bytes: those that have arrived already, then the connection's. The
// Reader must not be used after it.
func (r *Reader) Rest() io.Reader {
	r.conn.SetReadDeadline(time.Time{})
	return io.MultiReader(bytes.NewReader(r.buffered()), r.conn)
}

// readNext is ReadValue for a value that has to follow what was read before: it may neither be missing nor keep us waiting.
func (r *Reader) readNext(what string, limits structs.Limits) ([]byte, error) {
	return r.read(what, limits, false)
}

func (r *Reader) read(what string, limits structs.Limits, mayIdle bool) ([]byte, error) {
	r.scan.Reset(limits)
	if mayIdle {
		r.finish()
	}
	for {
		got := r.buf[r.start:r.end]
		done, err := r.scan.Scan(got)
		if err != nil {
			return nil, &FrameError{What: what, Err: err}
		}
		if done {
			n := r.scan.Need()
			r.start += n
			return got[:n:n], nil
		}
		begun := len(got) > 0 || !mayIdle
		if begun && !r.armed && r.timeout > 0 {
			r.armed = true
			r.conn.SetReadDeadline(time.Now().Add(r.timeout))
		}
		if err := r.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				if !begun {
					return nil, io.EOF
				}
				err = errFrameTruncated
			}
			return nil, &FrameError{What: what, Err: err}
		}
	}
}

// finish ends what has to be complete in time: the next value may take as long as it likes to begin.
func (r *Reader) finish() {
	if r.armed {
		r.armed = false
		r.conn.SetReadDeadline(time.Time{})
	}
}

// fill reads what there is, at least one byte.
func (r *Reader) fill() error {
	switch {
	case r.start == r.end:
		r.start, r.end = 0, 0
		if r.buf == nil || len(r.buf) > keptReadBuffer {
			r.release()
			r.buf = make([]byte, readBufferSize)
		}
	case r.end == len(r.buf) && r.start > 0:
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	case r.end == len(r.buf):
		size := 2 * len(r.buf)
		if size > keptReadBuffer {
			if err := r.budget.take(len(r.buf)); err != nil {
				return err
			}
			r.charged += len(r.buf)
		}
		bigger := make([]byte, size)
		copy(bigger, r.buf)
		r.buf = bigger
	}
	n, err := r.conn.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil // an error comes again with the next read
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// readByte reads one byte that is no value.
func (r *Reader) readByte() (byte, error) {
	if r.start == r.end {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	b := r.buf[r.start]
	r.start++
	return b, nil
}

// buffered is what has arrived and was not read; valid until the next call.
func (r *Reader) buffered() []byte { return r.buf[r.start:r.end] }

// give hands the buffer that value was returned from over to the caller, so that a large body need not be copied, and with it
// what the buffer takes of the budget.
func (r *Reader) give(value []byte) (body []byte, charged int) {
	rest := r.buffered()
	r.buf = append(make([]byte, 0, max(readBufferSize, len(rest))), rest...)
	r.start, r.end = 0, len(rest)
	r.buf = r.buf[:cap(r.buf)]
	charged, r.charged = r.charged, 0
	return value, charged
}

// release gives back what the buffer takes of the budget; the buffer is not used any more.
func (r *Reader) release() {
	r.budget.give(r.charged)
	r.charged = 0
}

// budget bounds the bytes of unfinished requests that one connection's streams hold together, and takes them from what their
// source address may have. A nil budget has no bound.
type budget struct {
	left  atomic.Int64
	share *quota.Share
}

var (
	errOverBudget = errors.New("too many bytes of unfinished requests on one connection")
	errOverShare  = errors.New("too many bytes of unfinished requests from this address")
)

func newBudget(bytes int, share *quota.Share) *budget {
	b := &budget{share: share}
	b.left.Store(int64(bytes))
	return b
}

func (b *budget) take(n int) error {
	if b == nil || n == 0 {
		return nil
	}
	if b.left.Add(-int64(n)) < 0 {
		b.left.Add(int64(n))
		return errOverBudget
	}
	if !b.share.Take(quota.Bytes, n) {
		b.left.Add(int64(n))
		return errOverShare
	}
	return nil
}

func (b *budget) give(n int) {
	if b != nil && n != 0 {
		b.left.Add(int64(n))
		b.share.Give(quota.Bytes, n)
	}
}
