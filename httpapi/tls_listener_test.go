package httpapi

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections stay in this process, so that time can be the test's.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}
}

// A peer has its time for the TLS handshake to the last moment, and is cut off and counted in the next one. The handshake's time and
// that of a request's header are not taken from each other.
func TestTheTimeOfATLSHandshakeAtItsBorder(t *testing.T) {
	const limit = 5 * time.Second
	for _, tc := range []struct {
		name    string
		limit   time.Duration
		wait    time.Duration // before the handshake is finished
		served  bool
		counted int
	}{
		{"at once", limit, 0, true, 0},
		{"in the last moment", limit, limit - 1, true, 0},
		{"just too late", limit, limit + 1, false, 1},
		{"later than a header may be", 3 * headerTimeout, 3*headerTimeout - 1, true, 0},
		{"without a limit", 0, 24 * time.Hour, true, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			count := counting(t)
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				start(t, &fakeRPC{}, func(c *Config) {
					c.Addrs, c.Listeners, c.TLS, c.HandshakeTimeout = nil, []net.Listener{p}, selfSigned(t), tc.limit
				})
				raw := p.dial()
				defer raw.Close()
				time.Sleep(tc.wait)
				synctest.Wait()
				conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
				err := conn.Handshake()
				if err == nil {
					_, err = askOver(conn)
				}
				switch {
				case tc.served && err != nil:
					t.Errorf("refused: %v", err)
				case !tc.served && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe):
					t.Errorf("got %v, want a closed connection", err)
				}
				if n := count("http_timeouts"); n != tc.counted {
					t.Errorf("counted %d, want %d", n, tc.counted)
				}
			})
		})
	}
}

// askOver makes one request on a connection and returns the status.
func askOver(conn net.Conn) (string, error) {
	if _, err := io.WriteString(conn, "GET /v1/regions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	return res.Status, res.Body.Close()
}

// When a client is not trusted any more its request that is under way is answered, and its connections end: those that are idle
// at once, and the other one then.
func TestARequestUnderWayIsAnsweredBeforeItsConnectionEnds(t *testing.T) {
	var distrusted atomic.Bool
	conf := selfSigned(t)
	conf.VerifyConnection = func(tls.ConnectionState) error {
		if distrusted.Load() {
			return errors.New("out of ca_file")
		}
		return nil
	}
	asked, answer := make(chan struct{}), make(chan struct{})
	rpc := &fakeRPC{answer: map[string]any{"Region.List": func(context.Context, any) (any, error) {
		close(asked)
		<-answer
		return nil, nil
	}}}
	s, url := start(t, rpc, func(c *Config) { c.TLS = conf })
	peer := limitedPeer{strings.TrimPrefix(url, "http://"), true}
	idle := peer.hold(t, "")
	if err := idle.(*tls.Conn).Handshake(); err != nil {
		t.Fatal(err)
	}
	busy := peer.hold(t, "GET /v1/regions HTTP/1.1\r\nHost: x\r\n\r\n")
	<-asked
	distrusted.Store(true)
	rechecked := make(chan []error, 1)
	go func() { rechecked <- s.Recheck() }()
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("an idle connection goes on")
	}
	close(answer)
	in := bufio.NewReader(busy)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("the request under way was answered %+v, error %v", res, err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Error(err)
	}
	if reasons := <-rechecked; len(reasons) != 2 {
		t.Errorf("closed %v, want two connections", reasons)
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("its connection goes on")
	}
}
