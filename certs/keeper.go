package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Config says what a set of files is for.
type Config struct {
	Block string // of the configuration, which errors name: "tls" or "public"
	Files Files

	// RPC asks for a certificate that peers accept over RPC; Server says that it is a server's.
	RPC    bool
	Server bool
	Region string
	// VerifyNames checks roles and regions of both sides of RPC (wire.md §1.6).
	VerifyNames bool
	// VerifyHTTPSClient demands a certificate of the authorities from HTTPS clients.
	VerifyHTTPSClient bool

	MinVersion   uint16   // tls.VersionTLS12 or later
	CipherSuites []uint16 // for TLS 1.2; nil: the library's choice

	Logger hclog.Logger     // nil: no logging
	Clock  func() time.Time // nil: the system's
}

// Keeper holds the set of files in use. It is safe for concurrent use.
type Keeper struct {
	cfg     Config
	log     hclog.Logger
	current atomic.Pointer[set]

	mu       sync.Mutex // one load at a time; guards the fields below
	onChange []func()
	watched  watched
}

// New reads and checks the files; the error is one line that names setting and file.
func New(cfg Config) (*Keeper, error) {
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	k := &Keeper{cfg: cfg, log: cfg.Logger.Named("tls")}
	s, err := k.load(cfg.Files)
	if err != nil {
		return nil, err
	}
	k.current.Store(s)
	return k, nil
}

func (k *Keeper) needsCA() bool { return k.cfg.RPC || k.cfg.VerifyHTTPSClient }

// OnChange calls f whenever another set has come into use. f must not block and can't be removed.
func (k *Keeper) OnChange(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.onChange = append(k.onChange, f)
}

// Prepare reads and checks the files anew, from other paths if these are others; commit takes them into use for all connections from
// then on. Until then, and on an error, nothing has changed.
func (k *Keeper) Prepare(files Files) (commit func(), err error) {
	s, err := k.load(files)
	if err != nil {
		return nil, err
	}
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.take(s)
	}, nil
}

// take puts a set into use; k.mu is held.
func (k *Keeper) take(s *set) {
	before := k.current.Swap(s)
	k.watched = watched{}
	if before.sum == s.sum {
		return
	}
	k.log.Info("certificates loaded", "file", s.files.Cert, "names", s.pair.Leaf.DNSNames, "expires", s.pair.Leaf.NotAfter.UTC().Format(time.RFC3339),
		"authorities", len(s.authorities))
	for _, f := range k.onChange {
		f()
	}
}

// base is what all configurations have in common. Tickets are off: a resumed session is not verified against the authorities of now.
func (k *Keeper) base(s *set) *tls.Config {
	return &tls.Config{
		MinVersion: k.cfg.MinVersion, CipherSuites: k.cfg.CipherSuites, Time: k.cfg.Clock,
		Certificates: []tls.Certificate{s.pair}, SessionTicketsDisabled: true,
	}
}

// Incoming is the configuration for the next connection to the RPC port.
func (k *Keeper) Incoming() *tls.Config { return k.current.Load().incoming }

func (k *Keeper) incoming(s *set) *tls.Config {
	c := k.base(s)
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, s.pool
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if err := strongChain(state.VerifiedChains); err != nil {
			return err
		}
		if !k.cfg.VerifyNames {
			return nil
		}
		return CheckPeer(&state, k.cfg.Region)
	}
	return c
}

// Outgoing is the configuration for the next connection to a server of the region.
func (k *Keeper) Outgoing(region string) *tls.Config {
	s := k.current.Load()
	c := k.base(s)
	// Always shown, also if the server does not name our authority: then it says why it refuses us.
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &s.pair, nil }
	if k.cfg.VerifyNames {
		c.ServerName = RoleName(RoleServer, region)
	}
	// The library would verify a host name, by rules that accept wildcards. VerifyConnection verifies the chain and then the
	// name as everywhere else.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(state tls.ConnectionState) error {
		return k.checkServer(s, state.PeerCertificates, region)
	}
	return c
}

func (k *Keeper) checkServer(s *set, peer []*x509.Certificate, region string) error {
	if len(peer) == 0 {
		return errors.New("the server has no certificate")
	}
	chains, err := verifyChain(peer, s.pool, x509.ExtKeyUsageServerAuth, k.cfg.Clock())
	if err != nil {
		return err
	}
	if !k.cfg.VerifyNames {
		return nil
	}
	return checkRole(namesOf(chains), region, RoleServer)
}

// HTTPS is the configuration of a listener for HTTPS; each connection has that of the newest set.
func (k *Keeper) HTTPS() *tls.Config {
	return &tls.Config{
		MinVersion: k.cfg.MinVersion, SessionTicketsDisabled: true,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.current.Load().https, nil },
	}
}

func (k *Keeper) https(s *set) *tls.Config {
	c := k.base(s)
	c.NextProtos = []string{"http/1.1"}
	if k.cfg.VerifyHTTPSClient {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, s.pool
		c.VerifyConnection = func(state tls.ConnectionState) error { return strongChain(state.VerifiedChains) }
	}
	return c
}
