package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/internal/leak"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { leak.Main(m) }

// now is when the tests happen.
var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

// holder is a certificate with its key and what is sent along with it.
type holder struct {
	cert *x509.Certificate
	key  crypto.Signer
	via  []*x509.Certificate
}

func ecKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue signs a certificate; by nil lets it sign itself, key nil makes one.
func issue(t testing.TB, by *holder, key crypto.Signer, edit func(*x509.Certificate)) *holder {
	t.Helper()
	if key == nil {
		key = ecKey(t)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(100 * 24 * time.Hour),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	edit(tmpl)
	parent, signer := tmpl, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	h := &holder{cert: c, key: key}
	if by != nil && by.via != nil {
		h.via = by.via
	}
	return h
}

// authority makes a root.
func authority(t testing.TB, name string, edits ...func(*x509.Certificate)) *holder {
	t.Helper()
	return issue(t, nil, nil, func(c *x509.Certificate) { asCA(c, name, edits...) })
}

func asCA(c *x509.Certificate, name string, edits ...func(*x509.Certificate)) {
	c.Subject = pkix.Name{CommonName: name}
	c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
	for _, e := range edits {
		e(c)
	}
}

// between makes an intermediate authority, which its certificates are sent with.
func between(t testing.TB, by *holder, edits ...func(*x509.Certificate)) *holder {
	t.Helper()
	h := issue(t, by, nil, func(c *x509.Certificate) { asCA(c, "between", edits...) })
	h.via = []*x509.Certificate{h.cert}
	return h
}

// names makes a certificate with DNS names.
func names(dns ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = dns }
}

func (h *holder) chain() []*x509.Certificate { return append([]*x509.Certificate{h.cert}, h.via...) }

func (h *holder) certPEM() []byte { return encode(h.chain()...) }

func encode(cs ...*x509.Certificate) (out []byte) {
	for _, c := range cs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func (h *holder) keyPEM(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(h.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// write puts a set into a folder.
func write(t testing.TB, dir string, h *holder, cas ...*holder) Files {
	t.Helper()
	var roots []*x509.Certificate
	for _, ca := range cas {
		roots = append(roots, ca.cert)
	}
	f := Files{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	if err := errors.Join(os.WriteFile(f.CA, encode(roots...), 0o600), os.WriteFile(f.Cert, h.certPEM(), 0o600),
		os.WriteFile(f.Key, h.keyPEM(t), 0o600)); err != nil {
		t.Fatal(err)
	}
	return f
}

// config is that of a server of the region global that checks everything.
func config(files Files) Config {
	return Config{
		Block: "tls", Files: files, RPC: true, Server: true, Region: "global", VerifyNames: true, VerifyHTTPSClient: true, Clock: clock,
	}
}

func keeper(t testing.TB, c Config) *Keeper {
	t.Helper()
	k, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// shake does a handshake and returns what either side has to say against the other.
func shake(t testing.TB, client, server *tls.Config) (state tls.ConnectionState, clientErr, serverErr error) {
	t.Helper()
	a, b := connected(t)
	defer a.Close()
	done := make(chan error, 1)
	sc := tls.Server(b, server)
	go func() {
		defer b.Close()
		err := sc.Handshake()
		if err == nil {
			_, err = sc.Write([]byte{1})
		}
		done <- err
	}()
	cc := tls.Client(a, client)
	// In TLS 1.3 a server's refusal comes after the client has finished.
	if clientErr = cc.Handshake(); clientErr == nil {
		_, _ = cc.Read(make([]byte, 1))
	}
	_ = a.Close()
	serverErr = <-done
	return sc.ConnectionState(), clientErr, serverErr
}

// connected are the two ends of a connection.
func connected(t testing.TB) (a, b net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if a, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{a, b} {
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

// peerClient is a dialer that accepts everyone and shows h, whatever it is asked for; nil shows nothing.
func peerClient(h *holder) *tls.Config {
	c := &tls.Config{InsecureSkipVerify: true, ServerName: "any", Time: clock}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if h == nil {
			return &tls.Certificate{}, nil
		}
		return h.tls(), nil
	}
	return c
}

func (h *holder) tls() *tls.Certificate {
	out := &tls.Certificate{PrivateKey: h.key}
	for _, c := range h.chain() {
		out.Certificate = append(out.Certificate, c.Raw)
	}
	return out
}
