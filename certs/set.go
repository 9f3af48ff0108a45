package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// set is one generation of an agent's material, checked. It is never modified.
type set struct {
	files       Files
	sum         [sha256.Size]byte
	authorities []*x509.Certificate // empty if none are needed
	pool        *x509.CertPool      // of authorities
	pair        tls.Certificate
	chain       []*x509.Certificate // of pair, from the certificate upwards

	incoming, https *tls.Config
}

// load reads and checks the files. The error is one line.
func (k *Keeper) load(files Files) (*set, error) {
	c, err := k.read(files)
	if err != nil {
		return nil, err
	}
	return k.parse(files, c)
}

func (k *Keeper) parse(files Files, c contents) (*set, error) {
	s := &set{files: files, sum: c.sum(), pool: x509.NewCertPool()}
	var err error
	if k.needsCA() {
		if s.authorities, err = parseCertificates(c.ca); err == nil {
			err = checkAuthorities(s.authorities, k.cfg.Clock())
		}
		if err != nil {
			return nil, k.fileError("ca_file", files.CA, err)
		}
	}
	for _, ca := range s.authorities {
		s.pool.AddCert(ca)
	}
	if s.chain, err = parseCertificates(c.cert); err == nil {
		err = checkOwn(s.chain, k.cfg.Clock())
	}
	if err == nil && k.cfg.RPC {
		err = k.acceptable(s)
	}
	if err != nil {
		return nil, k.fileError("cert_file", files.Cert, err)
	}
	if s.pair, err = parseKey(s.chain, c.key); err != nil {
		return nil, k.fileError("key_file", files.Key, err)
	}
	s.incoming, s.https = k.incoming(s), k.https(s)
	return s, nil
}

// checkAuthorities accepts authorities of which at least one is valid: during a change the old one may run out.
func checkAuthorities(cas []*x509.Certificate, now time.Time) error {
	var expired error
	valid := 0
	for i, ca := range cas {
		if !ca.IsCA || !ca.BasicConstraintsValid {
			return fmt.Errorf("certificate %d (%.80q) is not that of an authority", i+1, ca.Subject.String())
		}
		if err := strength(ca); err != nil {
			return err
		}
		if err := checkDates(ca, now); err != nil {
			expired = err
			continue
		}
		valid++
	}
	if valid == 0 {
		return expired
	}
	return nil
}

// checkOwn looks at the certificate and what comes with it.
func checkOwn(chain []*x509.Certificate, now time.Time) error {
	if chain[0].IsCA {
		return errors.New("is the certificate of an authority; give the one that was made for this agent first")
	}
	for _, c := range chain {
		if err := errors.Join(checkDates(c, now), strength(c)); err != nil {
			return err
		}
	}
	return nil
}

func checkDates(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("the certificate of %.80q expired at %s", c.Subject.String(), c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return fmt.Errorf("the certificate of %.80q is valid only from %s on; is this machine's clock right?", c.Subject.String(), c.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// acceptable reports whether peers with the same authorities accept the certificate for what this agent is.
func (k *Keeper) acceptable(s *set) error {
	uses := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if k.cfg.Server {
		uses = append(uses, x509.ExtKeyUsageServerAuth)
	}
	var chains [][]*x509.Certificate
	for _, use := range uses {
		var err error
		if chains, err = verifyChain(s.chain, s.pool, use, k.cfg.Clock()); err != nil {
			return fmt.Errorf("peers that trust %s.ca_file would refuse it for %s: %w", k.cfg.Block, useNames[use], err)
		}
	}
	if !k.cfg.VerifyNames {
		return nil
	}
	names := namesOf(chains)
	if k.cfg.Server {
		return checkRole(names, k.cfg.Region, RoleServer)
	}
	return checkRole(names, k.cfg.Region, RoleClient, RoleServer)
}

var useNames = map[x509.ExtKeyUsage]string{
	x509.ExtKeyUsageClientAuth: "client authentication", x509.ExtKeyUsageServerAuth: "server authentication",
}

// verifyChain verifies certificates as a peer sent them, its own first.
func verifyChain(chain []*x509.Certificate, roots *x509.CertPool, use x509.ExtKeyUsage, now time.Time) ([][]*x509.Certificate, error) {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	chains, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use},
	})
	if err != nil {
		return nil, err
	}
	return chains, strongChain(chains)
}
