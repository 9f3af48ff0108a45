package httpapi

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// start serves an API on loopback until the test ends.
func start(t *testing.T, rpc RPC, change ...func(*Config)) (*HTTPServer, string) {
	t.Helper()
	cfg := Config{Region: "global", Addrs: []string{"127.0.0.1:0"}}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg, rpc, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + s.Addrs()[0].String()
}

func httpClient(t *testing.T) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

func getBody(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestConfigMistakes(t *testing.T) {
	if _, err := New(Config{Region: "global"}, nil, nil, nil); err == nil {
		t.Error("an API without RPC was made")
	}
	if _, err := New(Config{}, &fakeRPC{}, nil, nil); err == nil {
		t.Error("an API without a region was made")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := New(Config{Region: "global", Addrs: []string{"127.0.0.1:0", l.Addr().String()}}, &fakeRPC{}, nil, nil); err == nil {
		t.Error("an address in use was taken")
	}
}

func TestShutdownAnswersBlockingReads(t *testing.T) {
	waiting := make(chan struct{})
	rpc := &fakeRPC{answer: map[string]any{"Node.List": func(ctx context.Context, _ any) (any, error) {
		close(waiting)
		<-ctx.Done()
		return nil, ctx.Err()
	}}}
	s, url := start(t, rpc)
	type answer struct {
		code int
		body string
	}
	got := make(chan answer, 1)
	c := httpClient(t)
	go func() {
		code, body := getBody(t, c, url+"/v1/nodes?index=5&wait=5m")
		got <- answer{code, body}
	}()
	<-waiting
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if a := <-got; a.code != 503 || a.body != "agent is shutting down" {
		t.Errorf("answered %+v", a)
	}
}

func TestShutdownLetsWritesFinish(t *testing.T) {
	writing, finish := make(chan struct{}), make(chan struct{})
	rpc := &fakeRPC{answer: map[string]any{"NodePool.DeleteNodePools": func(ctx context.Context, _ any) (any, error) {
		close(writing)
		select {
		case <-finish:
			return structs.GenericResponse{WriteMeta: structs.WriteMeta{Index: 3}}, nil
		case <-ctx.Done():
			return nil, errors.New("write was cut off")
		}
	}}}
	s, url := start(t, rpc)
	code := make(chan int, 1)
	c := httpClient(t)
	go func() {
		req, err := http.NewRequest("DELETE", url+"/v1/node/pool/a", nil)
		if err != nil {
			t.Error(err)
			return
		}
		res, err := c.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		res.Body.Close()
		code <- res.StatusCode
	}()
	<-writing
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	<-s.drain.Done()
	close(finish)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if got := <-code; got != 200 {
		t.Errorf("the write was answered %d", got)
	}
}

func TestAClientThatGoesAwayEndsItsQuery(t *testing.T) {
	waiting, ended := make(chan struct{}), make(chan struct{})
	rpc := &fakeRPC{answer: map[string]any{"Node.List": func(ctx context.Context, _ any) (any, error) {
		close(waiting)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}}}
	_, url := start(t, rpc)
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /v1/nodes?index=5 HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-waiting
	conn.Close()
	<-ended
}

func TestConnectionsOfOneAddressAreLimited(t *testing.T) {
	_, url := start(t, &fakeRPC{}, func(c *Config) { c.MaxConnsPerClient = 2 })
	addr := strings.TrimPrefix(url, "http://")
	ask := func(conn net.Conn) string {
		t.Helper()
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.WriteString(conn, "GET /v1/regions HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			return err.Error()
		}
		b := make([]byte, 15)
		if _, err := io.ReadFull(conn, b); err != nil {
			return err.Error()
		}
		return string(b)
	}
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	first, second := dial(), dial()
	for _, conn := range []net.Conn{first, second} {
		if got := ask(conn); got != "HTTP/1.1 200 OK" {
			t.Fatalf("within the limit: %q", got)
		}
	}
	third := dial()
	_ = third.SetDeadline(time.Now().Add(30 * time.Second))
	if b, _ := io.ReadAll(third); !strings.HasPrefix(string(b), "HTTP/1.1 429 ") {
		t.Fatalf("over the limit: %q", b)
	}
	first.Close()
	deadline := time.Now().Add(30 * time.Second)
	for { // the server notices the closed connection in its own time
		if got := ask(dial()); got == "HTTP/1.1 200 OK" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a closed connection still counts")
		}
	}
}

func TestUnixSocket(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/api.sock")
	if err != nil {
		t.Fatal(err)
	}
	start(t, &fakeRPC{answer: map[string]any{"Region.List": []string{"global"}}}, func(c *Config) {
		c.Listeners, c.MaxConnsPerClient = []net.Listener{l}, 1
	})
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", l.Addr().String())
	}}
	defer tr.CloseIdleConnections()
	if code, body := getBody(t, &http.Client{Transport: tr}, "http://unix/v1/regions"); code != 200 || body != `["global"]` {
		t.Errorf("answered %d %s", code, body)
	}
}

func TestServeReportsAListenerThatFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Region: "global", Addrs: []string{"127.0.0.1:0"}, Listeners: []net.Listener{l}}, &fakeRPC{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := s.Serve(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve returned %v", err)
	}
}

// A body that would be too large is refused when its length is known, not when that much has arrived.
func TestABodyThatClaimsTooMuchIsRefusedAtOnce(t *testing.T) {
	_, base := start(t, &fakeRPC{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PUT /v1/node/pools HTTP/1.1\r\nHost: x\r\nContent-Length: 4294967296\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn) // and the server hangs up
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 413 ") {
		t.Errorf("answered %q, %v", answer, err)
	}
}
