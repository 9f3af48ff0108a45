package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/rollcall-id/rollcall/internal/quota"
	"github.com/rollcall-id/rollcall/structs"
)

// counters are metrics by name.
type counters struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counters) IncrCounter(key []string, n float32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[strings.Join(key, ".")] += int(n)
}

func (c *counters) count(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n["limits."+name]
}

func dialSession(t *testing.T, addr string) *yamux.Session {
	t.Helper()
	session, err := yamux.Client(dialBytes(t, addr, ByteMultiplex), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

func openOn(t *testing.T, s *yamux.Session) net.Conn {
	t.Helper()
	st, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// ask sends one request and returns the error that it is answered with.
func ask(t *testing.T, conn net.Conn, method string, arg any) string {
	t.Helper()
	if _, err := conn.Write(requestBytes(t, 7, method, arg)); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	h, _ := readResponse(t, NewReader(conn, 0))
	return h.Error
}

func TestAnAddressHasOnlySoManyStreams(t *testing.T) {
	m := &counters{}
	ts := startServer(t, func(c *Config) { c.MaxStreamsPerIP, c.Metrics = 5, m })
	first, second := dialSession(t, ts.addr), dialSession(t, ts.addr)
	var streams []net.Conn
	for i := range 5 {
		st := openOn(t, []*yamux.Session{first, second}[i%2])
		if text := ask(t, st, "Test.Nil", nil); text != "" {
			t.Fatalf("stream %d: %s", i, text)
		}
		streams = append(streams, st)
	}
	over := openOn(t, second)
	over.SetReadDeadline(time.Now().Add(patience))
	if _, err := over.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("one stream too many: %v", err)
	}
	if m.count("rpc_streams_refused") != 1 {
		t.Error("nothing was counted")
	}
	streams[0].Close()
	eventuallyTrue(t, "the closed stream to be given back", func() bool { return ts.quota.Used(quota.Streams) == 4 })
	if text := ask(t, openOn(t, second), "Test.Nil", nil); text != "" {
		t.Errorf("after one was closed: %s", text)
	}
}

func TestAnAddressIsToldThatItHasTooManyRequests(t *testing.T) {
	m := &counters{}
	busy := structs.Overloaded(3 * time.Second)
	ts := startServer(t, func(c *Config) { c.MaxRequestsPerIP, c.Metrics, c.Overloaded = 3, m, busy })
	session := dialSession(t, ts.addr)
	for range 3 {
		if _, err := openOn(t, session).Write(requestBytes(t, 1, "Test.Hold", nil)); err != nil {
			t.Fatal(err)
		}
	}
	eventuallyTrue(t, "the requests to be under way", func() bool { return ts.quota.Used(quota.Requests) == 3 })
	st := openOn(t, session)
	if text := ask(t, st, "Test.Nil", nil); text != busy.Error() {
		t.Errorf("answered %q", text)
	}
	if m.count("rpc_requests_refused") != 1 {
		t.Error("nothing was counted")
	}
	close(ts.h.release)
	eventuallyTrue(t, "the requests to end", func() bool { return ts.quota.Used(quota.Requests) == 0 })
	if text := ask(t, st, "Test.Nil", nil); text != "" { // on the same stream: refusing harms nothing
		t.Errorf("afterwards: %s", text)
	}
}

func TestServersSpeakForMany(t *testing.T) {
	ts := startServer(t, func(c *Config) {
		c.MaxRequestsPerIP, c.MaxStreamsPerIP = 1, 1
		c.Trusted = func(a netip.Addr) bool { return a.IsLoopback() }
	})
	session := dialSession(t, ts.addr)
	for range 5 {
		if _, err := openOn(t, session).Write(requestBytes(t, 1, "Test.Hold", nil)); err != nil {
			t.Fatal(err)
		}
	}
	eventuallyTrue(t, "the requests to be under way", func() bool { return ts.quota.Used(quota.Requests) == 5 })
	close(ts.h.release)
}

// What many values become when they are decoded counts before it happens.
func TestAnAddressHasOnlySoManyBytesUnderWay(t *testing.T) {
	m := &counters{}
	ts := startServer(t, func(c *Config) { c.MaxBytesPerIP, c.MaxRequestBytes, c.Metrics = 128<<10, 1<<20, m })
	session := dialSession(t, ts.addr)
	many := make([]int, 3500) // 3.5 KB that count as 115
	if _, err := openOn(t, session).Write(requestBytes(t, 1, "Test.Hold", many)); err != nil {
		t.Fatal(err)
	}
	eventuallyTrue(t, "the first to be under way", func() bool { return ts.quota.Used(quota.Requests) == 1 })
	if text := ask(t, openOn(t, session), "Test.Hold", many); text != structs.ErrOverloaded.Error() {
		t.Errorf("the second was answered %q", text)
	}
	if text := ask(t, openOn(t, session), "Test.Nil", nil); text != "" {
		t.Errorf("a small one was answered %q", text)
	}
	large := openOn(t, session) // one that would be too large is cut off while it arrives
	large.Write(requestBytes(t, 1, "Test.Nil", strings.Repeat("x", 200<<10)))
	large.SetReadDeadline(time.Now().Add(patience))
	if _, err := large.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, yamux.ErrConnectionReset) {
		t.Errorf("a large one: %v", err)
	}
	if m.count("rpc_bytes_refused") < 2 {
		t.Errorf("counted %d", m.count("rpc_bytes_refused"))
	}
	close(ts.h.release)
	eventuallyTrue(t, "everything to be given back", func() bool { return ts.quota.Used(quota.Bytes) == 0 })
}

// Refused streams stay with the session until the peer closes them, too. One that does may be refused as often as it likes.
func TestAPeerThatClosesNoRefusedStreamLosesItsSession(t *testing.T) {
	ts := startServer(t, func(c *Config) { c.MaxStreamsPerIP = 5 })
	sane := dialSession(t, ts.addr)
	held := make([]net.Conn, 5)
	for i := range held {
		held[i] = openOn(t, sane)
	}
	for range maxLingering + 2*5 {
		st := openOn(t, sane)
		st.SetReadDeadline(time.Now().Add(patience))
		if _, err := st.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("one too many: %v", err)
		}
		st.Close()
	}
	held[0].Write(requestBytes(t, 1, "Test.Echo", &echoArgs{Text: "still here"}))
	readResponse(t, NewReader(held[0], 0))

	conn := dialBytes(t, ts.addr, ByteMultiplex)
	go io.Copy(io.Discard, conn) // or the server would wait for somebody who reads
	for id := uint32(1); ; id += 2 {
		frame := binary.BigEndian.AppendUint32([]byte{0, 1, 0, 1}, id)
		if _, err := conn.Write(append(frame, 0, 0, 0, 0)); err != nil {
			break // the server has hung up
		}
		if id > 1<<20 {
			t.Fatal("the session goes on")
		}
	}
}

func TestStreamingCallsOnASessionCountAsThoseOnConnections(t *testing.T) {
	m := &counters{}
	ts := startServer(t, func(c *Config) { c.MaxConnsPerIP, c.Metrics = 22, m })
	session, err := yamux.Client(dialBytes(t, ts.addr, ByteMultiplexV2), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	header := append([]byte{ByteStreaming}, "\x81\xa6Method\xa9Test.Wait"...)
	for range 2 {
		st := openOn(t, session)
		st.Write(header)
		if _, err := NewReader(st, 0).ReadValue("ack", structs.Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	over := openOn(t, session)
	over.Write(header)
	over.SetReadDeadline(time.Now().Add(patience))
	if _, err := over.Read(make([]byte, 1)); err != io.EOF || m.count("rpc_streaming_refused") != 1 {
		t.Errorf("one too many: %v, counted %d", err, m.count("rpc_streaming_refused"))
	}
}

// Peers that are slow at any point are cut off, each after the time for that point, and the others are served meanwhile.
func TestSlowPeersAreCutOff(t *testing.T) {
	m := &counters{}
	ts := startServer(t, func(c *Config) {
		c.HandshakeTimeout, c.FrameTimeout, c.Metrics, c.TLSConfig = 300*time.Millisecond, 300*time.Millisecond, m, testTLS
	})
	request := requestBytes(t, 1, "Test.Echo", &echoArgs{Text: strings.Repeat("x", 100)})
	slow := map[string][]byte{
		"nothing at all":                nil,
		"TLS without a handshake":       {ByteTLS},
		"half of a TLS handshake":       {ByteTLS, 0x16, 0x03, 0x01, 0x02, 0x00, 0x01},
		"half of a header":              append([]byte{ByteRPC}, request[:7]...),
		"a header without a body":       append([]byte{ByteRPC}, request[:32]...),
		"half of a body":                append([]byte{ByteRPC}, request[:len(request)-20]...),
		"half of a streaming header":    append([]byte{ByteStreaming}, "\x81\xa6Meth"...),
		"a stream without a first byte": append([]byte{ByteMultiplexV2}, yamuxOpen(1, nil)...),
		"a stream with half a header":   append([]byte{ByteMultiplex}, yamuxOpen(1, request[:7])...),
	}
	for name, sent := range slow {
		t.Run(name, func(t *testing.T) {
			conn := dialBytes(t, ts.addr, sent...)
			good := dialBytes(t, ts.addr, ByteRPC)
			if text := ask(t, good, "Test.Nil", nil); text != "" {
				t.Errorf("somebody else: %s", text)
			}
			// A session stays; its stream does not. Both end with something to read.
			conn.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.ReadAtLeast(conn, make([]byte, 12), 1); err != nil && err != io.EOF {
				t.Errorf("ended with %v", err)
			}
		})
	}
	eventuallyTrue(t, "the slow ones to be counted", func() bool { return m.count("rpc_timeouts") >= len(slow)-2 })
}

// yamuxOpen is a frame that opens a stream and carries data.
func yamuxOpen(id byte, data []byte) []byte {
	frame := []byte{0, 0, 0, 1, 0, 0, 0, id, 0, 0, 0, byte(len(data))}
	return append(frame, data...)
}

// FuzzFirstBytes feeds the RPC port whatever it likes: the server neither fails nor keeps anything of it.
func FuzzFirstBytes(f *testing.F) {
	m := &counters{}
	f.Add([]byte{})
	for b := range 8 {
		f.Add([]byte{byte(b)})
		f.Add(append([]byte{byte(b)}, requestBytes(f, 1, "Test.Nil", nil)...))
	}
	f.Add([]byte{ByteTLS, 0x16, 0x03, 0x01, 0x00, 0x05, 0x01, 0x00, 0x00, 0x01, 0x03})
	f.Add([]byte{ByteTLS, ByteTLS})
	f.Add(append([]byte{ByteMultiplexV2}, yamuxOpen(1, []byte{ByteRPC, 0xdf, 0xff, 0xff, 0xff, 0xff})...))
	f.Add(append([]byte{ByteMultiplex}, yamuxOpen(1, bytes.Repeat([]byte{0x81}, 200))...))
	f.Add([]byte{ByteRPC, 0xdb, 0xff, 0xff, 0xff, 0xff})
	ts := startServer(f, func(c *Config) {
		c.HandshakeTimeout, c.FrameTimeout, c.Metrics, c.TLSConfig = time.Second, time.Second, m, testTLS
	})
	f.Fuzz(func(t *testing.T, sent []byte) {
		if len(sent) > 0 && sent[0] == ByteRaft {
			t.Skip("handed to whoever accepts Raft's connections")
		}
		conn, err := net.Dial("tcp", ts.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(sent)
		_ = conn.(*net.TCPConn).CloseWrite()
		conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, conn); err != nil && !isReset(err) {
			t.Fatalf("the server keeps the connection: %v", err)
		}
		conn.Close()
		eventuallyTrue(t, "everything to be given back", func() bool {
			for _, k := range []quota.Kind{quota.Conns, quota.Streams, quota.Requests, quota.Bytes, quota.Streaming} {
				if ts.quota.Used(k) != 0 {
					return false
				}
			}
			return true
		})
		if ts.logs.count("panicked") != 0 {
			t.Fatalf("a panic for %x", sent)
		}
	})
}
