package snapshot

import "io"

const (
	queueBuffer = 256 << 10
	queueDepth  = 4
)

// queue carries bytes from one goroutine to another and, unlike a pipe, lets the first go on meanwhile. The writer
// fills and sends buffers; the reader, an io.Reader, gives them back.
type queue struct {
	full chan []byte // closed by the writer, after err is set
	free chan []byte // never closed: it has room for all
	stop chan struct{}
	err  error // what the reader gets after the last buffer
	head []byte
	cur  []byte // the buffer that head is the rest of
}

// newQueue returns a queue for about size bytes.
func newQueue(size int64) *queue {
	q := &queue{full: make(chan []byte, queueDepth), free: make(chan []byte, queueDepth), stop: make(chan struct{})}
	for range queueDepth {
		q.free <- make([]byte, min(queueBuffer, size+1)) // one more, to find the end
	}
	return q
}

// buffer returns an empty buffer for the writer, or false if the reader has given up.
func (q *queue) buffer() ([]byte, bool) {
	select {
	case <-q.stop:
		return nil, false
	case b := <-q.free:
		return b[:cap(b)], true
	}
}

// send hands a buffer to the reader. It does not block.
func (q *queue) send(b []byte) { q.full <- b }

// end makes the reader get err after what was sent.
func (q *queue) end(err error) {
	q.err = err
	close(q.full)
}

// abandon tells the writer that the reader has given up.
func (q *queue) abandon() { close(q.stop) }

func (q *queue) Read(p []byte) (int, error) {
	for len(q.head) == 0 {
		if q.cur != nil {
			q.free <- q.cur
			q.cur = nil
		}
		b, ok := <-q.full
		if !ok {
			return 0, q.err
		}
		q.head, q.cur = b, b
	}
	n := copy(p, q.head)
	q.head = q.head[n:]
	return n, nil
}

var _ io.Reader = (*queue)(nil)
