package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/yamux"

	"github.com/rollcall-id/rollcall/internal/quietlog"
	"github.com/rollcall-id/rollcall/internal/quota"
	"github.com/rollcall-id/rollcall/structs"
)

func TestServerAnswersEveryKindOfOutcome(t *testing.T) {
	ts := startServer(t, nil)
	conn := dialBytes(t, ts.addr, ByteRPC)
	r := NewReader(conn, 0)
	cases := []struct{ name, method, wantErr, wantBody string }{
		{"a reply", "Test.Raw", "", "\x81\xa1x\x01"},
		{"a nil reply is an empty map", "Test.Nil", "", "\x80"},
		{"an error has an empty map for a body", "Test.Fail", "it went wrong", "\x80"},
		{"an error without a text is still one", "Test.FailEmpty", "unspecified error", "\x80"},
		{"a coded error", "Test.Coded", "RPC Error:: 404,no such thing", "\x80"},
		{"an unknown method", "Test.Missing", "rpc: can't find method Test.Missing", "\x80"},
		{"an unknown service", "Other.Thing", "rpc: can't find service Other.Thing", "\x80"},
		{"a name without a dot", "Nonsense", "rpc: service/method request ill-formed: Nonsense", "\x80"},
		{"a handler that panics", "Test.Panic", "internal error in Test.Panic", "\x80"},
		{"a reply that can't be encoded", "Test.BadReply", "encode transport.unencodable: msgpack encode error: can't be encoded", "\x80"},
		{"and the conversation goes on", "Test.Raw", "", "\x81\xa1x\x01"},
	}
	for i, c := range cases {
		seq := uint64(i + 300)
		if _, err := conn.Write(append(AppendHeader(nil, Header{seq, c.method}), "\x81\xa1x\x01"...)); err != nil {
			t.Fatal(err)
		}
		h, body := readResponse(t, r)
		if strings.HasPrefix(c.wantErr, "encode ") && strings.HasPrefix(h.Error, "encode transport.unencodable:") {
			h.Error = c.wantErr
		}
		if d := cmp.Diff(ResponseHeader{c.wantErr, seq, c.method}, h); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		if string(body) != c.wantBody {
			t.Errorf("%s: body %q, want %q", c.name, body, c.wantBody)
		}
	}
}

func TestServerClosesConnectionsThatItDoesNotUnderstand(t *testing.T) {
	ts := startServer(t, nil)
	good := dialBytes(t, ts.addr, ByteRPC)
	for b := range 256 {
		switch b {
		case ByteRPC, ByteRaft, ByteMultiplex, ByteStreaming, ByteMultiplexV2:
			continue
		}
		conn := dialBytes(t, ts.addr, byte(b))
		expectClosed(t, conn)
		conn.Close()
	}
	eventuallyTrue(t, "a log line about TLS that is not configured", func() bool { return ts.logs.count("which is not configured here") == 1 })
	if n := ts.logs.count("connection closed"); n > 5*quietlog.DefaultRate+quietlog.DefaultRate*int(patience/time.Second) {
		t.Errorf("%d log lines", n)
	}
	good.Write(requestBytes(t, 1, "Test.Nil", nil))
	if h, _ := readResponse(t, NewReader(good, 0)); h.Error != "" {
		t.Errorf("the other connection: %s", h.Error)
	}
}

func TestServerClosesConnectionsThatSayNothing(t *testing.T) {
	cases := []struct {
		name   string
		tls    bool
		hello  func(t *testing.T, addr string) net.Conn
		logged string
	}{
		{"no first byte", false, func(t *testing.T, addr string) net.Conn { return dialBytes(t, addr) }, "waiting for the first byte"},
		{"no TLS handshake", true, func(t *testing.T, addr string) net.Conn { return dialBytes(t, addr, ByteTLS) }, "TLS handshake"},
		{"half a TLS record", true, func(t *testing.T, addr string) net.Conn { return dialBytes(t, addr, ByteTLS, 22, 3, 1) }, "TLS handshake"},
		{"no byte after the TLS handshake", true, func(t *testing.T, addr string) net.Conn {
			c := tls.Client(dialBytes(t, addr, ByteTLS), testTLS())
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			return c
		}, "waiting for the first byte"},
		{"no streaming header", false, func(t *testing.T, addr string) net.Conn { return dialBytes(t, addr, ByteStreaming) }, "streaming header"},
		{"half a request", false, func(t *testing.T, addr string) net.Conn {
			return dialBytes(t, addr, append([]byte{ByteRPC}, "\x82\xa3Seq"...)...)
		}, "request header"},
		{"a header without a body", false, func(t *testing.T, addr string) net.Conn {
			return dialBytes(t, addr, AppendHeader([]byte{ByteRPC}, Header{1, "Test.Echo"})...)
		}, "request body"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ts := startServer(t, func(cfg *Config) {
				cfg.HandshakeTimeout, cfg.FrameTimeout = 500*time.Millisecond, 500*time.Millisecond
				if c.tls {
					cfg.TLSConfig = testTLS
				}
			})
			expectClosed(t, c.hello(t, ts.addr))
			eventuallyTrue(t, "its one log line", func() bool { return ts.logs.count("connection closed") == 1 && ts.logs.count(c.logged) == 1 })
		})
	}
}

func TestServerRefusesMalformedRequests(t *testing.T) {
	header := string(AppendHeader(nil, Header{1, "Test.Echo"}))
	cases := []struct{ name, in, logged string }{
		{"a header that is no map", "\x05", "frame: request header"},
		{"a header of 5 KiB", "\x81\xa3New\xda\x14\x00", "size limit of 4096 bytes"},
		{"a header that nests", strings.Repeat("\x91", 20), "nests too deeply"},
		{"a reserved byte in the header", "\x82\xc1", "invalid lead byte"},
		{"a body that claims 4 GiB", header + "\xdb\xff\xff\xff\xff", "size limit of 65536 bytes"},
		{"a body that claims 4 G values", header + "\xdd\xff\xff\xff\xff", "size limit of 65536 bytes"},
		{"a body that nests", header + strings.Repeat("\x91", 100), "nests too deeply"},
		{"a reserved byte in the body", header + "\x91\xc1", "invalid lead byte"},
		{"the end within a body", header + "\x92\x01", "connection ended inside it"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := &counters{}
			ts := startServer(t, func(cfg *Config) { cfg.MaxRequestBytes, cfg.Metrics = 64<<10, m })
			conn := dialBytes(t, ts.addr, append([]byte{ByteRPC}, c.in...)...)
			conn.(*net.TCPConn).CloseWrite()
			expectClosed(t, conn)
			eventuallyTrue(t, "its one log line", func() bool { return ts.logs.count("connection closed") == 1 && ts.logs.count(c.logged) == 1 })
			// A connection that breaks off may be anybody's.
			if n := m.count("rpc_malformed"); n != 1 && c.logged != "connection ended inside it" {
				t.Errorf("counted %d times", n)
			}
		})
	}
	t.Run("on one stream of a session, the others go on", func(t *testing.T) {
		ts := startServer(t, nil)
		session, err := yamux.Client(dialBytes(t, ts.addr, ByteMultiplexV2), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		for _, bad := range []string{"\x07", "\x01\xc1", "\x01" + header + "\xc1", "\x05\xc1"} {
			st, err := session.Open()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := st.Write([]byte(bad)); err != nil {
				t.Fatal(err)
			}
			expectClosed(t, st)
		}
		st, err := openStream(context.Background(), session, ByteRPC)
		if err != nil {
			t.Fatal(err)
		}
		if err := CallStream(context.Background(), st, "Test.Nil", nil, nil); err != nil {
			t.Error(err)
		}
		session.Close()
		eventuallyTrue(t, "one log line for the whole connection", func() bool { return ts.logs.count("connection closed") == 1 })
	})
}

func TestServerHandlesPipelinedRequestsTogether(t *testing.T) {
	ts := startServer(t, func(c *Config) { c.MaxInFlight = 3 })
	conn := dialBytes(t, ts.addr, ByteRPC)
	r := NewReader(conn, 0)
	// The first two wait until the third has been answered.
	conn.Write(bytes.Join([][]byte{requestBytes(t, 1, "Test.Hold", nil), requestBytes(t, 2, "Test.Hold", nil), requestBytes(t, 3, "Test.Nil", nil)}, nil))
	if h, _ := readResponse(t, r); h.Seq != 3 {
		t.Fatalf("answer to %d first", h.Seq)
	}
	close(ts.h.release)
	seen := map[uint64]bool{}
	for range 2 {
		h, _ := readResponse(t, r)
		seen[h.Seq] = true
	}
	if !seen[1] || !seen[2] {
		t.Errorf("answers to %v", seen)
	}
}

func TestServerBoundsTheRequestsInFlight(t *testing.T) {
	ts := startServer(t, func(c *Config) { c.MaxInFlight = 2 })
	conn := dialBytes(t, ts.addr, ByteRPC)
	r := NewReader(conn, 0)
	conn.Write(bytes.Join([][]byte{requestBytes(t, 1, "Test.Hold", nil), requestBytes(t, 2, "Test.Hold", nil), requestBytes(t, 3, "Test.Nil", nil)}, nil))
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Fatal("the third request did not wait")
	}
	close(ts.h.release)
	for range 3 {
		readResponse(t, r)
	}
}

func TestServerBoundsTheUnfinishedBytesOfAConnection(t *testing.T) {
	ts := startServer(t, func(c *Config) { c.MaxRequestBytes = 64 << 10 })
	session, err := yamux.Client(dialBytes(t, ts.addr, ByteMultiplex), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	open := func() net.Conn {
		st, err := session.Open()
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	body := strings.Repeat("x", 30<<10)
	for range 14 { // 14 bodies of 30 KiB, and reading one more, are within 8 of 64 KiB
		if _, err := open().Write(requestBytes(t, 1, "Test.Block", body)); err != nil {
			t.Fatal(err)
		}
	}
	eventuallyTrue(t, "the handlers to run", func() bool { return ts.h.blocked.Load() == 14 })
	refused := make(chan string, 4)
	for range 4 { // one of these is too many: answered if it has arrived, cut off if it is arriving
		over := open()
		over.Write(requestBytes(t, 1, "Test.Block", body))
		go func() {
			over.SetReadDeadline(time.Now().Add(patience))
			head, err := NewReader(over, 0).ReadValue("response header", headerLimits)
			if err != nil {
				refused <- err.Error()
				return
			}
			h, err := ParseResponseHeader(head)
			refused <- fmt.Sprintf("%s %v", h.Error, err)
		}()
	}
	if text := <-refused; text != "EOF" && text != structs.ErrOverloaded.Error()+" <nil>" {
		t.Errorf("got %q", text)
	}
	small := open()
	small.Write(requestBytes(t, 2, "Test.Conn", nil))
	readResponse(t, NewReader(small, 0))
	c := <-ts.h.conns
	session.Close()
	eventuallyTrue(t, "everything to be given back", func() bool { return c.budget.left.Load() == 8*64<<10 })
}

func TestHandlersEndWithTheirCaller(t *testing.T) {
	for _, c := range []struct {
		name string
		byte byte
	}{{"a raw connection", ByteRPC}, {"a session", ByteMultiplex}, {"a stream of a session", ByteMultiplexV2}} {
		t.Run(c.name, func(t *testing.T) {
			ts := startServer(t, nil)
			raw := dialBytes(t, ts.addr, c.byte)
			conn := raw
			hello := []byte(nil)
			if c.byte != ByteRPC {
				session, err := yamux.Client(raw, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer session.Close()
				if conn, err = session.Open(); err != nil {
					t.Fatal(err)
				}
				if c.byte == ByteMultiplexV2 {
					hello = []byte{ByteRPC}
				}
			}
			conn.Write(append(hello, requestBytes(t, 1, "Test.Block", nil)...))
			eventuallyTrue(t, "the handler to run", func() bool { return ts.h.blocked.Load() == 1 })
			if c.byte == ByteMultiplex {
				raw.Close()
			} else {
				conn.Close()
			}
			eventuallyTrue(t, "the handler's context to end", func() bool { return ts.h.ended.Load() == 1 })
		})
	}
}

func TestServerLimitsConnectionsBySource(t *testing.T) {
	m := &counters{}
	ts := startServer(t, func(c *Config) { c.MaxConnsPerIP, c.Metrics = 22, m })
	ping := func(conn net.Conn) {
		t.Helper()
		conn.Write(requestBytes(t, 1, "Test.Nil", nil))
		readResponse(t, NewReader(conn, 0))
	}
	var streams []net.Conn
	for range 2 {
		conn := dialBytes(t, ts.addr, append([]byte{ByteStreaming}, "\x81\xa6Method\xa9Test.Wait"...)...)
		if ack, err := NewReader(conn, 0).ReadValue("ack", structs.Limits{}); err != nil || string(ack) != "\x81\xa5Error\xa0" {
			t.Fatalf("%q, %v", ack, err)
		}
		streams = append(streams, conn)
	}
	expectClosed(t, dialBytes(t, ts.addr, append([]byte{ByteStreaming}, "\x81\xa6Method\xa9Test.Wait"...)...))
	eventuallyTrue(t, "the refused connection to be uncounted", func() bool { return ts.quota.Used(quota.Conns) == 2 })
	var conns []net.Conn
	for range 20 {
		conn := dialBytes(t, ts.addr, ByteRPC)
		ping(conn)
		conns = append(conns, conn)
	}
	expectClosed(t, dialBytes(t, ts.addr))
	conns[0].Close()
	streams[0].Close()
	eventuallyTrue(t, "the closed connections to be uncounted", func() bool { return ts.quota.Used(quota.Conns) == 20 })
	ping(dialBytes(t, ts.addr, ByteRPC))
	for _, c := range append(conns, streams...) {
		c.Close()
	}
	if ts.logs.count("too many connections") == 0 || ts.logs.count("too many streaming connections") != 1 {
		t.Error("limits are not logged")
	}
	if m.count("rpc_conns_refused") == 0 || m.count("rpc_streaming_refused") != 1 {
		t.Errorf("counted %d connections and %d streaming ones", m.count("rpc_conns_refused"), m.count("rpc_streaming_refused"))
	}
}

func TestRaftLayerCarriesRaftConnections(t *testing.T) {
	for _, secure := range []bool{false, true} {
		ts := startServer(t, func(c *Config) {
			c.MaxConnsPerIP = 1
			if secure {
				c.TLSConfig, c.DialTLS, c.RequireTLS = testTLS, useTestTLS, true
			}
		})
		layer := ts.RaftLayer()
		eventuallyTrue(t, "the layer to know its address", func() bool { return layer.Addr() != nil })
		for range 3 { // more than the limit: Raft's connections don't count
			accepted := make(chan net.Conn, 1)
			go func() {
				c, err := layer.Accept()
				if err != nil {
					t.Error(err)
				}
				accepted <- c
			}()
			out, err := layer.Dial(layer.Addr().String(), patience)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			in := <-accepted
			defer in.Close()
			out.Write([]byte("vote"))
			buf := make([]byte, 4)
			if _, err := io.ReadFull(in, buf); err != nil || string(buf) != "vote" {
				t.Fatalf("%q, %v", buf, err)
			}
		}
		layer.Close()
		if _, err := layer.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: %v", err)
		}
		if !secure {
			expectClosed(t, dialBytes(t, ts.addr, ByteRaft))
		}
	}
}

func TestRaftConnectionsCanBeRefused(t *testing.T) {
	ts := startServer(t, func(c *Config) { c.AuthorizeRaft = func(*Conn) error { return errors.New("not a server") } })
	expectClosed(t, dialBytes(t, ts.addr, ByteRaft))
	eventuallyTrue(t, "its log line", func() bool { return ts.logs.count("not a server") == 1 })
}

func TestServerTLS(t *testing.T) {
	ts := startServer(t, func(c *Config) { c.TLSConfig, c.RequireTLS = testTLS, true })
	t.Run("plain connections are refused", func(t *testing.T) {
		for _, b := range []byte{ByteRPC, ByteRaft, ByteMultiplex, ByteStreaming, ByteMultiplexV2} {
			expectClosed(t, dialBytes(t, ts.addr, b))
		}
	})
	t.Run("TLS inside TLS is refused", func(t *testing.T) {
		c := tls.Client(dialBytes(t, ts.addr, ByteTLS), testTLS())
		c.Write([]byte{ByteTLS})
		expectClosed(t, c)
		eventuallyTrue(t, "its log line", func() bool { return ts.logs.count("nested TLS") == 1 })
	})
	t.Run("calls work and the handler sees the certificate", func(t *testing.T) {
		p := startPool(t, PoolConfig{DialTLS: useTestTLS})
		if err := p.Call(context.Background(), ts.addr, "Test.Conn", nil, nil); err != nil {
			t.Fatal(err)
		}
		c := <-ts.h.conns
		if st := c.TLSState(); st == nil || st.PeerCertificates[0].Subject.CommonName != "server.global.nomad" {
			t.Errorf("state %+v", st)
		}
	})
	t.Run("streaming works", func(t *testing.T) {
		p := startPool(t, PoolConfig{DialTLS: useTestTLS})
		st, err := p.Stream(context.Background(), ts.addr, "Test.Shout")
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		shout(t, st)
	})
}

func TestServeRetriesAfterTemporaryErrors(t *testing.T) {
	ln := &flakyListener{failures: 3, addr: &net.TCPAddr{}, closed: make(chan struct{})}
	s := New(Config{Handler: newTestHandler()})
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	<-ln.closed
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve ended with %v", err)
	}
	s.Close()
	if err := s.Serve(ln); err != nil {
		t.Errorf("Serve after Close: %v", err)
	}
}

// flakyListener fails a few times and then for good.
type flakyListener struct {
	failures int
	addr     net.Addr
	closed   chan struct{}
}

func (l *flakyListener) Accept() (net.Conn, error) {
	if l.failures == 0 {
		select {
		case <-l.closed:
		default:
			close(l.closed)
		}
		return nil, net.ErrClosed
	}
	l.failures--
	return nil, errors.New("too many open files")
}

func (l *flakyListener) Close() error   { return nil }
func (l *flakyListener) Addr() net.Addr { return l.addr }

func TestCloseEndsEverything(t *testing.T) {
	ts := startServer(t, nil)
	p := startPool(t, PoolConfig{})
	errs := make(chan error, 4)
	for range 4 {
		go func() { errs <- p.Call(context.Background(), ts.addr, "Test.Block", nil, nil) }()
	}
	st, err := p.Stream(context.Background(), ts.addr, "Test.Wait")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	eventuallyTrue(t, "the handlers to run", func() bool { return ts.h.blocked.Load() == 4 })
	ts.Close()
	if n := ts.h.ended.Load(); n != 5 {
		t.Errorf("Close returned with %d of 5 handlers ended", n)
	}
	for range 4 {
		if err := <-errs; err == nil || NeverSent(err) {
			t.Errorf("call ended with %v", err)
		}
	}
	ts.Close()
}
