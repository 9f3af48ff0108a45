package certs

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
)

const (
	minRSABits   = 2048
	minCurveBits = 256
)

// ErrWeak is in every error about a key that is too easy to break.
var ErrWeak = errors.New("weak key")

// strength reports a key that is too weak. Weak signatures are refused where chains are verified.
func strength(c *x509.Certificate) error {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minRSABits {
			return fmt.Errorf("%w: RSA of %d bits in the certificate of %.80q, want %d or more", ErrWeak, n, c.Subject.String(), minRSABits)
		}
	case *ecdsa.PublicKey:
		if n := key.Curve.Params().BitSize; n < minCurveBits {
			return fmt.Errorf("%w: a curve of %d bits in the certificate of %.80q, want %d or more", ErrWeak, n, c.Subject.String(), minCurveBits)
		}
	case ed25519.PublicKey:
	default:
		return fmt.Errorf("%w: %s in the certificate of %.80q is none of RSA, ECDSA and Ed25519", ErrWeak, c.PublicKeyAlgorithm, c.Subject.String())
	}
	return nil
}

// strongChain returns nil if one of the chains has only strong keys.
func strongChain(chains [][]*x509.Certificate) error {
	err := errors.New("the certificate's chain was not verified")
	for _, chain := range chains {
		if err = chainStrength(chain); err == nil {
			return nil
		}
	}
	return err
}

func chainStrength(chain []*x509.Certificate) error {
	for _, c := range chain {
		if err := strength(c); err != nil {
			return err
		}
	}
	return nil
}
