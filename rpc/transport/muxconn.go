package transport

import (
	"encoding/binary"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

const (
	// batchLimit is how much a session may have waiting to be written before its writers wait; one system call can
	// take that much.
	batchLimit = 256 << 10
	// closeFlushTime is how long closing a session may wait for a peer that does not read.
	closeFlushTime = time.Second
	// keepAliveInterval is yamux's (wire.md §1.2). An answer may take yamux's ConnectionWriteTimeout.
	keepAliveInterval = 30 * time.Second

	yamuxHeaderSize = 12
	yamuxReadSize   = 4 << 10 // what yamux asks for in one read
	busyReadSize    = 32 << 10
)

// muxConn is what yamux runs on. By itself yamux makes two writes a frame, the header's and the body's, and waits for
// each. muxConn takes them at once and writes from a goroutine of its own whatever has come together meanwhile, so that
// under load one system call (and one TLS record) carries the frames of many streams; with a single call in
// flight it still carries header and body. Like a kernel's socket buffer it loses what was taken and can't be written; the session ends then.
//
// Reads are passed on, until one fills yamux's buffer: then the session is busy and reads go through a larger one.
//
// A session that ends must end with a failed Read. From the moment that yamux has declared its end until it has closed the
// last stream, every stream that somebody reads from spins, and a peer may have opened thousands: then nothing
// else runs, yamux included. So whatever goes wrong closes the connection, and only when a Read has failed, and those who
// read from streams have been told to stop, does yamux hear of it.
type muxConn struct {
	net.Conn
	overOnce sync.Once
	over     chan struct{} // closed once reading has failed, or the session has closed the connection

	ended     func() // called when reading is over, if it is set
	streamsMu sync.Mutex
	streams   map[net.Conn]struct{} // that are read from; nil once reading is over

	early []byte // read from Conn and not yet by yamux; only the reading goroutine uses it
	big   []byte
	busy  bool

	mu       sync.Mutex // guards the fields below
	work     sync.Cond  // there is something to write, or closed
	done     sync.Cond  // some was written, or it failed
	pending  []byte
	spare    []byte
	writing  bool
	bodyNext bool // the last write was the header of a frame with a body
	closed   bool
	err      error
}

func newMuxConn(c net.Conn) *muxConn {
	m := &muxConn{Conn: c, over: make(chan struct{}), streams: map[net.Conn]struct{}{}}
	m.work.L, m.done.L = &m.mu, &m.mu
	go m.writeLoop()
	return m
}

func (m *muxConn) Read(p []byte) (int, error) {
	if len(m.early) == 0 && m.busy {
		if m.big == nil {
			m.big = make([]byte, busyReadSize)
		}
		n, err := m.Conn.Read(m.big)
		m.early = m.big[:n]
		if n == 0 {
			return 0, m.readError(err)
		}
	}
	if len(m.early) > 0 {
		n := copy(p, m.early)
		m.early = m.early[n:]
		return n, nil
	}
	n, err := m.Conn.Read(p)
	m.busy = n >= yamuxReadSize
	return n, m.readError(err)
}

// readError notes that reading is over, and tells the reason instead of what came of it.
func (m *muxConn) readError(err error) error {
	if err == nil {
		return nil
	}
	m.end()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	return err
}

func (m *muxConn) readingOver() bool {
	select {
	case <-m.over:
		return true
	default:
		return false
	}
}

func (m *muxConn) end() {
	m.overOnce.Do(func() {
		if m.ended != nil {
			m.ended()
		}
		close(m.over)
		m.streamsMu.Lock()
		defer m.streamsMu.Unlock()
		for s := range m.streams { // in any order
			stopReading(s)
		}
		m.streams = nil
	})
}

func stopReading(stream net.Conn) { _ = stream.SetReadDeadline(time.Unix(1, 0)) } // never fails

// beginReading notes that somebody reads from a stream of the session, until endReading.
func (m *muxConn) beginReading(stream net.Conn) {
	m.streamsMu.Lock()
	defer m.streamsMu.Unlock()
	if m.streams == nil {
		stopReading(stream)
		return
	}
	m.streams[stream] = struct{}{}
}

func (m *muxConn) endReading(stream net.Conn) {
	m.streamsMu.Lock()
	defer m.streamsMu.Unlock()
	delete(m.streams, stream)
}

// abort ends the session for a reason.
func (m *muxConn) abort(reason error) {
	m.mu.Lock()
	if m.err == nil {
		m.err = reason
	}
	m.work.Signal()
	m.done.Broadcast()
	m.mu.Unlock()
	_ = m.Conn.Close() // the reason is what counts
}

// closeSession closes the session on m. By itself yamux would declare the end first, and close the connection then.
func (m *muxConn) closeSession(s *yamux.Session) {
	m.abort(net.ErrClosed)
	<-m.over      // soon: the connection is closed
	_ = s.Close() // always nil
}

// keepAlive asks the peer now and then whether it is there, until the session ends, and ends it if there is no answer.
// yamux's own keepalive would declare the end first and close the connection then.
func (m *muxConn) keepAlive(s *yamux.Session) {
	tick := time.NewTicker(keepAliveInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.CloseChan():
			return
		case <-tick.C:
		}
		if _, err := s.Ping(); err != nil {
			m.abort(yamux.ErrKeepAliveTimeout)
			return
		}
	}
}

func (m *muxConn) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.pending) >= batchLimit && m.err == nil && !m.closed {
		m.done.Wait()
	}
	if m.err != nil && !m.closed && !m.readingOver() {
		return len(b), nil // lost, as it would be in a kernel's buffer; a wait could be one for a reader that waits for the writer
	}
	if m.err != nil {
		return 0, m.err
	}
	if m.closed {
		return 0, net.ErrClosed
	}
	m.pending = append(m.pending, b...)
	// Each write is a whole header or a whole body; a data frame's header is not worth sending before its body is there.
	m.bodyNext = !m.bodyNext && hasBody(b)
	if !m.writing && !m.bodyNext {
		m.work.Signal()
	}
	return len(b), nil
}

// hasBody tells whether a frame with this header has a body, which is the next write.
func hasBody(header []byte) bool {
	const typeData = 0
	return len(header) == yamuxHeaderSize && header[1] == typeData && binary.BigEndian.Uint32(header[8:]) > 0
}

func (m *muxConn) writeLoop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.err == nil {
		for len(m.pending) == 0 {
			if m.closed {
				return
			}
			m.work.Wait()
		}
		out := m.pending
		m.pending = m.spare[:0]
		m.writing = true
		m.mu.Unlock()
		_, err := m.Conn.Write(out)
		m.mu.Lock()
		m.writing = false
		if m.err == nil && err != nil {
			m.err = err
			_ = m.Conn.Close() // ends the reading
		}
		m.spare = nil
		if cap(out) <= keptBufferSize {
			m.spare = out
		}
		m.done.Broadcast()
	}
}

// flush writes what is pending, unless the peer does not take it for closeFlushTime. The session is to be closed after it.
func (m *muxConn) flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	unwritten := func() bool { return (m.writing || len(m.pending) > 0) && m.err == nil && !m.closed }
	if !unwritten() {
		return
	}
	m.bodyNext = false
	m.work.Signal()
	m.Conn.SetWriteDeadline(time.Now().Add(closeFlushTime))
	for unwritten() {
		m.done.Wait()
	}
}

// Close closes the connection. What is pending is lost.
func (m *muxConn) Close() error {
	m.mu.Lock()
	m.closed = true
	m.work.Signal()
	m.done.Broadcast()
	m.mu.Unlock()
	m.end()
	return m.Conn.Close()
}
