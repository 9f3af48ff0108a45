package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// backdate is how long before now certificates begin, for clocks that are behind.
const backdate = time.Minute

// Authority signs certificates.
type Authority struct {
	Certificate *x509.Certificate
	key         crypto.Signer
}

// Pair is a certificate and its key, both PEM. The key is a secret.
type Pair struct{ Cert, Key []byte }

// AuthorityRequest describes a new authority.
type AuthorityRequest struct {
	Subject pkix.Name // an empty common name is made up
	Days    int       // of validity
	// Domains are all that it may sign DNS names of, and of names below them; none means any.
	Domains []string
	Now     time.Time
}

// NewAuthority makes an authority with a P-256 key.
func NewAuthority(r AuthorityRequest) (Pair, error) {
	key, serial, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	if r.Subject.CommonName == "" {
		r.Subject.CommonName = fmt.Sprintf("Rollcall Agent CA %x", serial)
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: r.Subject, NotBefore: r.Now.Add(-backdate), NotAfter: r.Now.AddDate(0, 0, r.Days),
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		KeyUsage:            x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		PermittedDNSDomains: r.Domains, PermittedDNSDomainsCritical: len(r.Domains) > 0,
	}
	return sign(t, t, key, key)
}

// ReadAuthority reads an authority's certificate and key from PEM.
func ReadAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	chain, err := parseCertificates(certPEM)
	if err != nil {
		return nil, fmt.Errorf("the certificate %w", err)
	}
	if !chain[0].IsCA {
		return nil, fmt.Errorf("the certificate of %.80q is not that of an authority", chain[0].Subject.String())
	}
	pair, err := parseKey(chain[:1], keyPEM)
	if err != nil {
		return nil, fmt.Errorf("the key %w", err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key can't sign")
	}
	return &Authority{Certificate: chain[0], key: signer}, nil
}

// Request describes a certificate for one role in one region (wire.md §1.6).
type Request struct {
	Role, Region string
	Domain       string // last label of the role's name
	DNSNames     []string
	IPs          []net.IP
	Days         int
	Now          time.Time
}

// Issue makes a certificate with a P-256 key. Besides the role's name it is for localhost and, unless it is a command line's, for
// 127.0.0.1, so that the agent can be asked on its own machine.
func (a *Authority) Issue(r Request) (Pair, error) {
	key, serial, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	name := r.Role + "." + r.Region + "." + r.Domain
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: r.Now.Add(-backdate), NotAfter: r.Now.AddDate(0, 0, r.Days),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		DNSNames: append([]string{name, "localhost"}, r.DNSNames...), IPAddresses: r.IPs,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if r.Role != RoleCLI {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		t.IPAddresses = append([]net.IP{net.IPv4(127, 0, 0, 1)}, r.IPs...)
	}
	if t.NotAfter.After(a.Certificate.NotAfter) {
		t.NotAfter = a.Certificate.NotAfter // longer would be a promise that nobody keeps
	}
	pair, err := sign(t, a.Certificate, key, a.key)
	if err != nil {
		return Pair{}, err
	}
	return pair, a.check(pair)
}

// check finds out whether what was signed verifies: an authority may be limited in what it can sign.
func (a *Authority) check(p Pair) error {
	chain, err := parseCertificates(p.Cert)
	if err != nil {
		return fmt.Errorf("the new certificate %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	_, err = chain[0].Verify(x509.VerifyOptions{Roots: pool, CurrentTime: chain[0].NotBefore.Add(backdate), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return fmt.Errorf("the authority %.80q can't sign this certificate: %w", a.Certificate.Subject.String(), err)
	}
	return nil
}

func newKey() (*ecdsa.PrivateKey, *big.Int, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, fmt.Errorf("make serial number: %w", err)
	}
	return key, serial, nil
}

func sign(t, parent *x509.Certificate, key *ecdsa.PrivateKey, by crypto.Signer) (Pair, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, by)
	if err != nil {
		return Pair{}, fmt.Errorf("sign certificate: %w", err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode key: %w", err)
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}),
	}, nil
}

// ReadCertificates reads all certificates of a PEM text, the first being that of its holder.
func ReadCertificates(text []byte) ([]*x509.Certificate, error) { return parseCertificates(text) }
