package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/rpc"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-msgpack/v2/codec"
	msgpackrpc "github.com/hashicorp/net-rpc-msgpackrpc/v2"
	"github.com/hashicorp/yamux"

	"github.com/rollcall-id/rollcall/internal/eventually"
	"github.com/rollcall-id/rollcall/internal/quota"
	"github.com/rollcall-id/rollcall/structs"
)

func shout(t *testing.T, c net.Conn) {
	t.Helper()
	for _, word := range []string{"hello", "again"} {
		if _, err := c.Write([]byte(word)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, len(word))
		if _, err := io.ReadFull(c, buf); err != nil || string(buf) != strings.ToUpper(word) {
			t.Fatalf("%q, %v", buf, err)
		}
	}
}

func TestPoolCalls(t *testing.T) {
	ts := startServer(t, nil)
	p := startPool(t, PoolConfig{})
	ctx := context.Background()
	in := echoArgs{Text: strings.Repeat("long", 20000), Number: -5, Meta: map[string]string{"a": "b"}}
	var out echoArgs
	if err := p.Call(ctx, ts.addr, "Test.Echo", &in, &out); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(in, out); d != "" {
		t.Error(d)
	}
	t.Run("an error of the handler", func(t *testing.T) {
		err := p.Call(ctx, ts.addr, "Test.Fail", nil, nil)
		text, ok := RemoteText(err)
		if !ok || text != "it went wrong" || err.Error() != "rpc error: it went wrong" || NeverSent(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a coded error is not wrapped", func(t *testing.T) {
		if err := p.Call(ctx, ts.addr, "Test.Coded", nil, nil); err == nil || err.Error() != "RPC Error:: 404,no such thing" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("bodies are passed on unread", func(t *testing.T) {
		var body codec.Raw
		if err := p.Call(ctx, ts.addr, "Test.Raw", codec.Raw("\x92\x01\x02"), &body); err != nil || string(body) != "\x92\x01\x02" {
			t.Errorf("%q, %v", body, err)
		}
	})
	t.Run("an answer larger than a window", func(t *testing.T) {
		var s string
		if err := p.Call(ctx, ts.addr, "Test.Big", nil, &s); err != nil || len(s) != 3<<20 {
			t.Errorf("%d bytes, %v", len(s), err)
		}
	})
	t.Run("an answer that does not fit", func(t *testing.T) {
		var n int
		err := p.Call(ctx, ts.addr, "Test.Big", nil, &n)
		var te *TransportError
		if err == nil || errors.As(err, &te) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("arguments that can't be encoded", func(t *testing.T) {
		if err := p.Call(ctx, ts.addr, "Test.Echo", unencodable{}, nil); err == nil {
			t.Error("no error")
		}
	})
	t.Run("all on one connection and one stream", func(t *testing.T) {
		if n := ts.quota.Used(quota.Conns); n != 1 {
			t.Errorf("%d connections", n)
		}
		if n := p.sessions[ts.addr].mux.NumStreams(); n != 1 {
			t.Errorf("%d streams", n)
		}
	})
}

func TestPoolSharesOneDial(t *testing.T) {
	ts := startServer(t, nil)
	var dials atomic.Int32
	gate := make(chan struct{})
	p := startPool(t, PoolConfig{Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		dials.Add(1)
		<-gate
		return dialTCP(ctx, addr)
	}})
	var wg sync.WaitGroup
	for range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := p.Call(context.Background(), ts.addr, "Test.Nil", nil, nil); err != nil {
				t.Error(err)
			}
		}()
	}
	t.Run("a caller that gives up does not end it", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := p.Call(ctx, ts.addr, "Test.Nil", nil, nil); !errors.Is(err, context.Canceled) || !NeverSent(err) {
			t.Errorf("got %v", err)
		}
	})
	close(gate)
	wg.Wait()
	if n := dials.Load(); n != 1 {
		t.Errorf("%d dials", n)
	}
}

func TestPoolReportsAServerThatIsNotThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	p := startPool(t, PoolConfig{})
	for _, call := range []func() error{
		func() error { return p.Call(context.Background(), addr, "Test.Nil", nil, nil) },
		func() error { _, err := p.Stream(context.Background(), addr, "Test.Shout"); return err },
	} {
		err := call()
		if !NeverSent(err) || !strings.HasPrefix(err.Error(), "rpc error: failed to get conn: "+addr) {
			t.Errorf("got %v", err)
		}
	}
}

func TestCancelledCallsEndAtOnce(t *testing.T) {
	ts := startServer(t, nil)
	p := startPool(t, PoolConfig{})
	t.Run("by a deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		err := p.Call(ctx, ts.addr, "Test.Block", nil, nil)
		if !errors.Is(err, context.DeadlineExceeded) || NeverSent(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("by their caller", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		ended := ts.h.ended.Load()
		go func() {
			eventuallyTrue(t, "the handler to run", func() bool { return ts.h.blocked.Load() == 2 })
			cancel()
		}()
		err := p.Call(ctx, ts.addr, "Test.Block", nil, nil)
		if !errors.Is(err, context.Canceled) || NeverSent(err) {
			t.Errorf("got %v", err)
		}
		eventuallyTrue(t, "the handler to end too", func() bool { return ts.h.ended.Load() > ended })
	})
	t.Run("and leave the session usable", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for range 3 {
			if err := p.Call(ctx, ts.addr, "Test.Nil", nil, nil); err != nil {
				t.Error(err)
			}
		}
		if n := ts.quota.Used(quota.Conns); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
	t.Run("a deadline does not outlive its call", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if err := p.Call(ctx, ts.addr, "Test.Nil", nil, nil); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		if err := p.Call(context.Background(), ts.addr, "Test.Nil", nil, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestPoolSurvivesTheDeathOfASession(t *testing.T) {
	ts := startServer(t, nil)
	p := startPool(t, PoolConfig{})
	call := func() error { return p.Call(context.Background(), ts.addr, "Test.Conn", nil, nil) }
	if err := call(); err != nil {
		t.Fatal(err)
	}
	first := <-ts.h.conns
	held := make(chan error, 1)
	go func() { held <- p.Call(context.Background(), ts.addr, "Test.Hold", nil, nil) }()
	eventuallyTrue(t, "the call to be under way", func() bool { return p.inFlight(ts.addr) == 1 })
	first.raw.Close()
	if err := <-held; err == nil || NeverSent(err) {
		t.Errorf("a call in flight ended with %v", err)
	}
	<-first.Done()
	if err := call(); err != nil {
		t.Errorf("the next call: %v", err)
	}
	if second := <-ts.h.conns; second == first {
		t.Error("it went over the dead session")
	}
	close(ts.h.release)
}

func (p *Pool) inFlight(addr string) int {
	p.mu.Lock()
	s := p.sessions[addr]
	p.mu.Unlock()
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active
}

func TestACallThatWasNotSentIsSentOnceMore(t *testing.T) {
	ts := startServer(t, nil)
	p := startPool(t, PoolConfig{})
	if err := p.Call(context.Background(), ts.addr, "Test.Nil", nil, nil); err != nil {
		t.Fatal(err)
	}
	// The peer will accept no more streams, which the pool learns only when it opens one.
	s := p.sessions[ts.addr]
	s.mu.Lock()
	s.idle = nil
	s.mu.Unlock()
	if err := p.callAfterGoAway(t, ts, s); err != nil {
		t.Error(err)
	}
}

func (p *Pool) callAfterGoAway(t *testing.T, ts *testServer, s *session) error {
	t.Helper()
	if err := p.Call(context.Background(), ts.addr, "Test.Conn", nil, nil); err != nil {
		return err
	}
	c := <-ts.h.conns
	s.mu.Lock()
	s.idle = nil
	s.mu.Unlock()
	if err := c.Session().GoAway(); err != nil {
		return err
	}
	eventuallyTrue(t, "the going away to be noticed", func() bool {
		st, err := s.mux.OpenStream()
		if err == nil {
			st.Close()
		}
		return errors.Is(err, yamux.ErrRemoteGoAway)
	})
	if err := p.Call(context.Background(), ts.addr, "Test.Conn", nil, nil); err != nil {
		return err
	}
	if <-ts.h.conns == c {
		return errors.New("the call went over the old session")
	}
	return nil
}

func TestPoolCloses(t *testing.T) {
	ts := startServer(t, nil)
	p := startPool(t, PoolConfig{})
	if err := p.Call(context.Background(), ts.addr, "Test.Conn", nil, nil); err != nil {
		t.Fatal(err)
	}
	p.CloseAddr(ts.addr)
	<-(<-ts.h.conns).Done()
	if err := p.Call(context.Background(), ts.addr, "Test.Nil", nil, nil); err != nil {
		t.Errorf("after CloseAddr: %v", err)
	}
	p.CloseAddr("nowhere:1")
	p.Close()
	if err := p.Call(context.Background(), ts.addr, "Test.Nil", nil, nil); !errors.Is(err, ErrShutdown) || !NeverSent(err) {
		t.Errorf("after Close: %v", err)
	}
	p.Close()
}

func TestServersCallBack(t *testing.T) {
	for _, secure := range []bool{false, true} {
		ts := startServer(t, func(c *Config) {
			if secure {
				c.TLSConfig = testTLS
			}
		})
		h := newTestHandler()
		cfg := PoolConfig{Reverse: h}
		if secure {
			cfg.DialTLS = useTestTLS
		}
		p := startPool(t, cfg)
		if err := p.Call(context.Background(), ts.addr, "Test.Conn", nil, nil); err != nil {
			t.Fatal(err)
		}
		c := <-ts.h.conns
		st, err := c.OpenReverse(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		for range 3 {
			var out echoArgs
			if err := CallStream(context.Background(), st, "Test.Echo", &echoArgs{Text: "back"}, &out); err != nil || out.Text != "back" {
				t.Fatalf("%+v, %v", out, err)
			}
		}
		if err := CallStream(context.Background(), st, "Test.Fail", nil, nil); err == nil || err.Error() != "rpc error: it went wrong" {
			t.Errorf("got %v", err)
		}
		if err := CallStream(context.Background(), st, "Test.Conn", nil, nil); err != nil {
			t.Fatal(err)
		}
		if back := <-h.conns; back.RemoteAddr().String() != ts.addr {
			t.Errorf("the client sees a call from %s", back.RemoteAddr())
		}
		blocked := make(chan error, 1)
		go func() { blocked <- CallStream(context.Background(), st, "Test.Block", nil, nil) }()
		eventuallyTrue(t, "the reverse handler to run", func() bool { return h.blocked.Load() == 1 })
		p.Close()
		if err := <-blocked; err == nil || NeverSent(err) {
			t.Errorf("got %v", err)
		}
		if h.ended.Load() != 1 {
			t.Error("the pool closed before its reverse handler ended")
		}
	}
}

func TestReverseStreamsAreRefusedWhereNobodyServesThem(t *testing.T) {
	ts := startServer(t, nil)
	p := startPool(t, PoolConfig{})
	if err := p.Call(context.Background(), ts.addr, "Test.Conn", nil, nil); err != nil {
		t.Fatal(err)
	}
	c := <-ts.h.conns
	st, err := c.OpenReverse(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := CallStream(context.Background(), st, "Test.Nil", nil, nil); err == nil {
		t.Error("answered")
	}
	conn := dialBytes(t, ts.addr, ByteRPC)
	conn.Write(requestBytes(t, 1, "Test.Conn", nil))
	if _, err := (<-ts.h.conns).OpenReverse(context.Background()); !errors.Is(err, ErrNoSession) {
		t.Errorf("on a connection without a session: %v", err)
	}
}

func TestStreamingCalls(t *testing.T) {
	ts := startServer(t, nil)
	p := startPool(t, PoolConfig{})
	ctx := context.Background()
	t.Run("both sides talk once the call is accepted", func(t *testing.T) {
		st, err := p.Stream(ctx, ts.addr, "Test.Shout")
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		shout(t, st)
	})
	t.Run("the handler ends with its caller's connection", func(t *testing.T) {
		st, err := p.Stream(ctx, ts.addr, "Test.Shout")
		if err != nil {
			t.Fatal(err)
		}
		st.Close()
		eventuallyTrue(t, "the connections to be uncounted", func() bool { return ts.quota.Used(quota.Conns) == 0 })
	})
	t.Run("a handler that does nothing accepts and ends", func(t *testing.T) {
		st, err := p.Stream(ctx, ts.addr, "Test.Nothing")
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		expectClosed(t, st)
	})
	for method, want := range map[string]string{
		"Test.Missing": `rpc error: Unknown rpc method: "Test.Missing"`,
		"Test.Panic":   "rpc error: internal error in Test.Panic",
	} {
		t.Run("refused: "+method, func(t *testing.T) {
			if _, err := p.Stream(ctx, ts.addr, method); err == nil || err.Error() != want {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("on a stream of a session, with bytes sent before the answer", func(t *testing.T) {
		st := goSession(t, ts.addr, ByteMultiplexV2)
		st.Write([]byte("\x05\x81\xa6Method\xaaTest.Shoutearly"))
		want := "\x81\xa5Error\xa0EARLY"
		buf := make([]byte, len(want))
		if _, err := io.ReadFull(st, buf); err != nil || string(buf) != want {
			t.Errorf("%q, %v", buf, err)
		}
	})
	t.Run("a context that ends before the answer", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		if _, err := p.Stream(ctx, ln.Addr().String(), "Test.Shout"); !errors.Is(err, context.DeadlineExceeded) || NeverSent(err) {
			t.Errorf("got %v", err)
		}
	})
}

func TestPoolDropsIdleSessions(t *testing.T) {
	ts := startServer(t, nil)
	t.Run("once nothing has been called for the idle time", func(t *testing.T) {
		p := startPool(t, PoolConfig{})
		if err := p.Call(context.Background(), ts.addr, "Test.Nil", nil, nil); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if n := len(p.takeStale(now.Add(DefaultIdleTimeout - time.Minute))); n != 0 {
			t.Errorf("%d stale sessions a minute early", n)
		}
		stale := p.takeStale(now.Add(DefaultIdleTimeout))
		if len(stale) != 1 || len(p.sessions) != 0 {
			t.Fatalf("%d stale sessions, %d left", len(stale), len(p.sessions))
		}
		stale[0].mux.Close()
	})
	t.Run("never with a call in flight", func(t *testing.T) {
		p := startPool(t, PoolConfig{})
		ended := make(chan error, 1)
		go func() { ended <- p.Call(context.Background(), ts.addr, "Test.Hold", nil, nil) }()
		eventuallyTrue(t, "the call to be under way", func() bool { return p.inFlight(ts.addr) == 1 })
		if n := len(p.takeStale(time.Now().Add(24 * time.Hour))); n != 0 {
			t.Errorf("%d stale sessions", n)
		}
		close(ts.h.release)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Run("and dials again for the next call", func(t *testing.T) {
		var dials atomic.Int32
		p := startPool(t, PoolConfig{IdleTimeout: 20 * time.Millisecond, Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			dials.Add(1)
			return dialTCP(ctx, addr)
		}})
		eventually.Every(t, 30*time.Millisecond, "a second dial", func() error {
			if err := p.Call(context.Background(), ts.addr, "Test.Nil", nil, nil); err != nil {
				t.Fatal(err)
			}
			if dials.Load() < 2 {
				return errors.New("still on the first session")
			}
			return nil
		})
	})
}

// Arith is a service in the manner of Go's net/rpc.
type Arith struct{}

type ArithArgs struct{ A, B int }

func (Arith) Add(a *ArithArgs, out *int) error { *out = a.A + a.B; return nil }

func (Arith) Fail(*ArithArgs, *int) error { return errors.New("can't do that") }

func TestPoolTalksToGoRPCServers(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	srv := rpc.NewServer()
	if err := srv.Register(Arith{}); err != nil {
		t.Fatal(err)
	}
	go serveGoRPC(ln, srv)
	p := startPool(t, PoolConfig{})
	for i := range 5 {
		var sum int
		if err := p.Call(context.Background(), ln.Addr().String(), "Arith.Add", &ArithArgs{i, 1000}, &sum); err != nil || sum != i+1000 {
			t.Errorf("%d, %v", sum, err)
		}
	}
	for method, want := range map[string]string{
		"Arith.Fail":  "rpc error: can't do that",
		"Arith.None":  "rpc error: rpc: can't find method Arith.None",
		"Other.Thing": "rpc error: rpc: can't find service Other.Thing",
		"Nonsense":    "rpc error: rpc: service/method request ill-formed: Nonsense",
	} {
		if err := p.Call(context.Background(), ln.Addr().String(), method, &ArithArgs{}, nil); err == nil || err.Error() != want {
			t.Errorf("%s: got %v", method, err)
		}
	}
}

// serveGoRPC is an independent server of the same protocol: yamux with a byte a stream, and Go's net/rpc.
func serveGoRPC(ln net.Listener, srv *rpc.Server) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		var b [1]byte
		if _, err := io.ReadFull(conn, b[:]); err != nil || b[0] != ByteMultiplexV2 {
			conn.Close()
			continue
		}
		session, err := yamux.Server(conn, nil)
		if err != nil {
			return
		}
		go func() {
			for {
				st, err := session.Accept()
				if err != nil {
					return
				}
				go func() {
					var b [1]byte
					if _, err := io.ReadFull(st, b[:]); err == nil && b[0] == ByteRPC {
						srv.ServeCodec(msgpackrpc.NewCodecFromHandle(true, true, st, structs.MsgpackHandle))
					}
				}()
			}
		}()
	}
}

func TestGoRPCClientsTalkToServer(t *testing.T) {
	ts := startServer(t, nil)
	for _, c := range []struct {
		name string
		open func(t *testing.T) net.Conn
	}{
		{"on a raw connection", func(t *testing.T) net.Conn { return dialBytes(t, ts.addr, ByteRPC) }},
		{"on a session", func(t *testing.T) net.Conn { return goSession(t, ts.addr, ByteMultiplex) }},
		{"on a session with typed streams", func(t *testing.T) net.Conn {
			st := goSession(t, ts.addr, ByteMultiplexV2)
			st.Write([]byte{ByteRPC})
			return st
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := c.open(t)
			defer conn.Close() // not the client: its codec's Close races with its own reading
			client := rpc.NewClientWithCodec(msgpackrpc.NewCodecFromHandle(true, true, conn, structs.MsgpackHandle))
			var wg sync.WaitGroup
			for i := range 100 { // all on one stream: pipelined
				wg.Add(1)
				go func() {
					defer wg.Done()
					in := echoArgs{Text: strings.Repeat("x", i*100), Number: int64(i)}
					var out echoArgs
					if err := client.Call("Test.Echo", &in, &out); err != nil || out.Number != in.Number || out.Text != in.Text {
						t.Errorf("%d: %d, %v", i, out.Number, err)
					}
				}()
			}
			wg.Wait()
			if err := client.Call("Test.Fail", &echoArgs{}, nil); err == nil || err.Error() != "it went wrong" {
				t.Errorf("got %v", err)
			}
			if err := client.Call("Nonsense", &echoArgs{}, nil); err == nil || err.Error() != "rpc: service/method request ill-formed: Nonsense" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func goSession(t *testing.T, addr string, first byte) net.Conn {
	t.Helper()
	session, err := yamux.Client(dialBytes(t, addr, first), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	st, err := session.Open()
	if err != nil {
		t.Fatal(err)
	}
	return st
}
