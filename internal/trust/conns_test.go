package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// authority signs certificates for both ends.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) issue(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func pool(of ...*authority) *x509.CertPool {
	p := x509.NewCertPool()
	for _, a := range of {
		p.AddCert(a.cert)
	}
	return p
}

// listening is the configuration of a listener that asks clients for certificates of these authorities.
func listening(own tls.Certificate, of ...*authority) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(of...), SessionTicketsDisabled: true}
}

// peers is a listener's side of connections, whose configuration may change.
type peers struct {
	Conns
	conf atomic.Pointer[tls.Config]
}

// accept makes a connection of which the client shows the certificate. between runs during the handshake.
func (p *peers) accept(t *testing.T, shown tls.Certificate, between func()) (server *tls.Conn, client *tls.Conn, err error) {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	client = tls.Client(b, &tls.Config{Certificates: []tls.Certificate{shown}, InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	under := p.Under(a)
	conf := p.conf.Load()
	between()
	server = tls.Server(under, conf)
	if err := server.Handshake(); err != nil {
		return nil, nil, err
	}
	go io.Copy(io.Discard, client) // what the end of TLS has to say
	return server, client, errors.Join(under.Shown(server.ConnectionState(), p.conf.Load), <-done)
}

func closed(c *tls.Conn) bool {
	_ = c.SetDeadline(time.Now().Add(-time.Second))
	_, err := c.NetConn().Write([]byte{0})
	return errors.Is(err, io.ErrClosedPipe)
}

func TestARecheckClosesWhatIsNotTrustedAnyMoreAndNothingElse(t *testing.T) {
	old, next := newAuthority(t), newAuthority(t)
	p := &peers{}
	own := next.issue(t)
	p.conf.Store(listening(own, old, next))
	stranger, _, err := p.accept(t, old.issue(t), func() {})
	if err != nil {
		t.Fatal(err)
	}
	friend, _, err := p.accept(t, next.issue(t), func() {})
	if err != nil {
		t.Fatal(err)
	}
	if reasons := p.Recheck(); len(reasons) > 0 {
		t.Errorf("with both authorities: %v", reasons)
	}
	p.conf.Store(listening(own, next))
	reasons := p.Recheck()
	if len(reasons) != 1 || !strings.Contains(reasons[0].Error(), "is not trusted any more: x509: certificate signed by unknown authority") {
		t.Errorf("without the old one: %v", reasons)
	}
	if !closed(stranger) || closed(friend) {
		t.Errorf("the old one's is closed: %v, the new one's: %v", closed(stranger), closed(friend))
	}
	if reasons := p.Recheck(); len(reasons) > 0 {
		t.Errorf("again: %v", reasons)
	}
	friend.Close()
	if len(p.open) > 0 {
		t.Errorf("%d connections are remembered that are closed", len(p.open))
	}
}

// A handshake by the configuration of before, that ends after the change, lets nobody in.
func TestAChangeDuringAHandshakeCounts(t *testing.T) {
	old, next := newAuthority(t), newAuthority(t)
	p := &peers{}
	own := next.issue(t)
	change := func() {
		p.conf.Store(listening(own, next))
		p.Recheck()
	}
	p.conf.Store(listening(own, old, next))
	if _, _, err := p.accept(t, old.issue(t), change); err == nil || !strings.Contains(err.Error(), "not trusted any more") {
		t.Errorf("a peer of the old authority: %v", err)
	}
	p.conf.Store(listening(own, old, next))
	if _, _, err := p.accept(t, next.issue(t), change); err != nil {
		t.Errorf("a peer of the new authority: %v", err)
	}
}

// What is under way may end, but not last.
func TestAConnectionMayFinishWhatIsUnderWay(t *testing.T) {
	for _, tc := range []struct {
		name  string
		works time.Duration
		want  time.Duration
	}{{"that ends soon", time.Second, time.Second}, {"that lasts", time.Hour, Grace}} {
		t.Run(tc.name, func(t *testing.T) {
			old, next := newAuthority(t), newAuthority(t)
			p := &peers{}
			own := next.issue(t)
			p.conf.Store(listening(own, old))
			server, _, err := p.accept(t, old.issue(t), func() {})
			if err != nil {
				t.Fatal(err)
			}
			p.conf.Store(listening(own, next))
			var took time.Duration
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				FinishFirst(server, func() bool { return time.Since(start) < tc.works })
				p.Recheck()
				took = time.Since(start)
			})
			if took < tc.want || took > tc.want+2*idlePoll {
				t.Errorf("closed after %s, want %s", took, tc.want)
			}
		})
	}
}

func TestVerifyIsWhatAHandshakeWouldDo(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	leaf := func(of *authority) tls.ConnectionState {
		c, err := x509.ParseCertificate(of.issue(t).Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}}
	}
	errNo := errors.New("no")
	refusing := func(tls.ConnectionState) error { return errNo }
	strict := listening(tls.Certificate{}, a)
	named := listening(tls.Certificate{}, a)
	named.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.VerifiedChains) != 1 || len(s.VerifiedChains[0]) != 2 {
			return errNo
		}
		return nil
	}
	later := listening(tls.Certificate{}, a)
	later.Time = func() time.Time { return time.Now().Add(48 * time.Hour) }
	for _, tc := range []struct {
		name string
		conf *tls.Config
		peer tls.ConnectionState
		ok   bool
	}{
		{"no TLS any more", nil, leaf(a), true},
		{"a client of the authority", strict, leaf(a), true},
		{"a client of another", strict, leaf(b), false},
		{"a client without a certificate", strict, tls.ConnectionState{}, false},
		{"a client whose certificate has ended", later, leaf(a), false},
		{"a listener that looks at the chain", named, leaf(a), true},
		{"a listener that asks for none", &tls.Config{}, tls.ConnectionState{}, true},
		{"a caller that accepts the server", &tls.Config{VerifyConnection: func(tls.ConnectionState) error { return nil }}, leaf(a), true},
		{"a caller that does not", &tls.Config{VerifyConnection: refusing}, leaf(a), false},
		{"a configuration for each client", &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return strict, nil }}, leaf(b), false},
		{"one that can't be had", &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errNo }}, leaf(a), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := Verify(tc.conf, tc.peer); (err == nil) != tc.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}
