package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/yamux"
)

// Streams that wait for data spin between the moment that yamux declares a session's end and the moment that its reading
// goroutine has returned. So reading must have ended before a failed write, or an abort, is told.
func TestASessionsEndIsToldOnlyOnceReadingHasEnded(t *testing.T) {
	errGone := errors.New("gone")
	tests := []struct {
		name string
		fail func(m *muxConn, near net.Conn)
		want error // nil: any
	}{
		{"after an abort", func(m *muxConn, _ net.Conn) { m.abort(errGone) }, errGone},
		{"after a failed write", func(_ *muxConn, near net.Conn) { _ = near.SetWriteDeadline(time.Unix(1, 0)) }, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			m := newMuxConn(near)
			defer m.Close()
			test.fail(m, near)
			told := make(chan error, 1)
			go func() {
				for {
					if _, err := m.Write([]byte("x")); err != nil {
						told <- err
						return
					}
				}
			}()
			select {
			case err := <-told:
				t.Fatalf("the write failed before a read did: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			_, err := m.Read(make([]byte, 1))
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("read: got %v, want %v", err, test.want)
			}
			select {
			case err := <-told:
				if test.want != nil && !errors.Is(err, test.want) {
					t.Errorf("write: got %v, want %v", err, test.want)
				}
			case <-time.After(10 * time.Second):
				t.Error("the write hangs although a read has failed")
			}
		})
	}
}

// A session that yamux closes by itself, after a broken frame for instance, must not wait for a peer that does not read.
func TestClosingReleasesAWriterThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		m := newMuxConn(near)
		told := make(chan error, 1)
		go func() {
			for {
				if _, err := m.Write(make([]byte, batchLimit/4)); err != nil {
					told <- err
					return
				}
			}
		}()
		synctest.Wait() // the buffer is full
		_ = m.Close()   // always nil
		if err := <-told; !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("write: got %v", err)
		}
	})
}

// watchedConn tells when it is closed first.
type watchedConn struct {
	net.Conn
	once    sync.Once
	closing func()
}

func (c *watchedConn) Close() error {
	c.once.Do(c.closing)
	return c.Conn.Close()
}

// Whoever closes a session closes its connection before yamux declares the end, or thousands of streams would spin until the
// closing goroutine has its turn again.
func TestASessionIsClosedFromItsConnectionUp(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	var session *yamux.Session
	declared := true
	m := newMuxConn(&watchedConn{Conn: near, closing: func() { declared = session.IsClosed() }})
	session, err := yamux.Server(m, yamuxConfig(hclog.NewNullLogger()))
	if err != nil {
		t.Fatal(err)
	}
	m.closeSession(session)
	if !session.IsClosed() {
		t.Error("the session is open")
	}
	if declared {
		t.Error("the session was declared closed before its connection was")
	}
}

// deadlines tells whether a reading deadline was set.
type deadlines struct {
	net.Conn
	set bool
}

func (d *deadlines) SetReadDeadline(time.Time) error {
	d.set = true
	return nil
}

// Before yamux hears that reading has ended those who read from streams have stopped, since from then on they would spin.
func TestReadersOfStreamsStopWhenReadingTheSessionEnds(t *testing.T) {
	for name, end := range map[string]func(m *muxConn, far net.Conn){
		"the peer goes away":       func(m *muxConn, far net.Conn) { far.Close(); _, _ = m.Read(make([]byte, 1)) },
		"yamux closes the session": func(m *muxConn, _ net.Conn) { _ = m.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			m, told := newMuxConn(near), false
			m.ended = func() { told = true }
			defer m.Close()
			var streams []net.Conn
			for range 3 {
				s, other := net.Pipe()
				defer s.Close()
				defer other.Close()
				streams = append(streams, s)
			}
			early, gone, late := streams[0], &deadlines{Conn: streams[1]}, streams[2]
			m.beginReading(early)
			m.beginReading(gone)
			m.endReading(gone)
			end(m, far)
			if gone.set {
				t.Error("a stream that nobody reads from was touched")
			}
			m.beginReading(late)
			for name, s := range map[string]net.Conn{"early": early, "late": late} {
				if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("the %s reader got %v", name, err)
				}
			}
			if !told {
				t.Error("the connection does not know of its end")
			}
		})
	}
}
