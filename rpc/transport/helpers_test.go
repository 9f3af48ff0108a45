package transport

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/rollcall-id/rollcall/internal/eventually"
	"github.com/rollcall-id/rollcall/internal/leak"
	"github.com/rollcall-id/rollcall/structs"
)

func TestMain(m *testing.M) { leak.Main(m) }

const patience = eventually.Patience

// eventuallyTrue waits until cond holds.
func eventuallyTrue(t testing.TB, what string, cond func() bool) {
	t.Helper()
	eventually.True(t, what, func() error {
		if !cond() {
			return errors.New("not yet")
		}
		return nil
	})
}

type unencodable struct{}

func (unencodable) MarshalBinary() ([]byte, error) { return nil, errors.New("can't be encoded") }

func (*unencodable) UnmarshalBinary([]byte) error { return nil }

type echoArgs struct {
	Text   string
	Number int64
	Meta   map[string]string
}

// testHandler answers the methods that the tests call.
type testHandler struct {
	blocked atomic.Int32  // Test.Block calls waiting
	ended   atomic.Int32  // Test.Block calls that their context ended
	release chan struct{} // lets Test.Hold return
	conns   chan *Conn    // every connection that Test.Conn came by
}

func newTestHandler() *testHandler {
	return &testHandler{release: make(chan struct{}), conns: make(chan *Conn, 16)}
}

func (h *testHandler) ServeRPC(ctx context.Context, c *Conn, method string, body []byte) (any, error) {
	switch method {
	case "Test.Echo":
		var a echoArgs
		if err := structs.Decode(body, &a); err != nil {
			return nil, err
		}
		return &a, nil
	case "Test.Raw":
		return codec.Raw(bytes.Clone(body)), nil
	case "Test.Nil":
		return nil, nil
	case "Test.Fail":
		return nil, errors.New("it went wrong")
	case "Test.FailEmpty":
		return nil, errors.New("")
	case "Test.Coded":
		return nil, errors.New("RPC Error:: 404,no such thing")
	case "Test.Panic":
		panic("boom")
	case "Test.BadReply":
		return unencodable{}, nil
	case "Test.Conn":
		h.conns <- c
		return true, nil
	case "Test.Hold":
		<-h.release
		return true, nil
	case "Test.Block":
		h.blocked.Add(1)
		<-ctx.Done()
		h.ended.Add(1)
		return nil, ctx.Err()
	case "Test.Big":
		return strings.Repeat("x", 3<<20), nil
	}
	if strings.HasPrefix(method, "Test.") || !strings.Contains(method, ".") {
		return nil, ErrUnknownMethod(method)
	}
	return nil, ErrUnknownService(method)
}

func (h *testHandler) ServeStream(ctx context.Context, c *Conn, stream net.Conn, method string) error {
	switch method {
	case "Test.Shout":
		buf := make([]byte, 64)
		for {
			n, err := stream.Read(buf)
			if err != nil {
				return err
			}
			if _, err := stream.Write(bytes.ToUpper(buf[:n])); err != nil {
				return err
			}
		}
	case "Test.Wait":
		if err := AcceptStream(stream); err != nil {
			return err
		}
		<-ctx.Done()
		h.ended.Add(1)
		return ctx.Err()
	case "Test.Panic":
		panic("boom")
	case "Test.Nothing":
		return nil
	}
	return fmt.Errorf("Unknown rpc method: %q", method)
}

// logBuffer collects log output.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) count(sub string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), sub)
}

type testServer struct {
	*Server
	h    *testHandler
	addr string
	logs *logBuffer
}

// startServer serves on a loopback port until the test ends.
func startServer(t testing.TB, change func(*Config)) *testServer {
	t.Helper()
	ts := &testServer{h: newTestHandler(), logs: &logBuffer{}}
	cfg := Config{Handler: ts.h, Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: ts.logs})}
	if change != nil {
		change(&cfg)
	}
	ts.Server = New(cfg)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ts.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- ts.Serve(ln) }()
	t.Cleanup(func() {
		ts.Server.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return ts
}

func startPool(t testing.TB, cfg PoolConfig) *Pool {
	t.Helper()
	p := NewPool(cfg)
	t.Cleanup(func() { p.Close() })
	return p
}

// dialBytes connects and sends b.
func dialBytes(t testing.TB, addr string, b ...byte) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	return c
}

// requestBytes is a request.
func requestBytes(t testing.TB, seq uint64, method string, args any) []byte {
	t.Helper()
	b := AppendHeader(nil, Header{Seq: seq, ServiceMethod: method})
	b, err := structs.AppendEncode(b, args)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readResponse reads one response.
func readResponse(t testing.TB, r *Reader) (ResponseHeader, []byte) {
	t.Helper()
	r.conn.SetReadDeadline(time.Now().Add(patience))
	b, err := r.ReadValue("response header", responseHeaderLimits)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ParseResponseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	body, err := r.ReadValue("response body", structs.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return h, bytes.Clone(body)
}

// expectClosed waits for the peer to close conn without an answer.
func expectClosed(t testing.TB, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(patience))
	n, err := conn.Read(make([]byte, 64))
	var ne net.Error
	if err == nil {
		t.Fatalf("%d bytes instead of a closed connection", n)
	}
	if errors.As(err, &ne) && ne.Timeout() {
		t.Fatal("connection is still open")
	}
}

var testTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server.global.nomad"},
		DNSNames: []string{"server.global.nomad"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "server.global.nomad"}
})

func useTestTLS(string) *tls.Config { return testTLS() }
