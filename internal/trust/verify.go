package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"
)

// Verify holds what the peer of a connection has shown against a configuration, as a handshake by it would; nil trusts everybody.
// It knows the two kinds of configuration that there are here: listeners that ask for a client's certificate and verify its
// chain by ClientCAs, and callers (InsecureSkipVerify) that verify all of it in VerifyConnection.
func Verify(conf *tls.Config, peer tls.ConnectionState) error {
	switch {
	case conf == nil:
		return nil
	case conf.GetConfigForClient != nil:
		next, err := conf.GetConfigForClient(&tls.ClientHelloInfo{})
		if err != nil {
			return err
		}
		return Verify(next, peer)
	}
	peer.VerifiedChains = nil
	if conf.ClientAuth == tls.RequireAndVerifyClientCert {
		chains, err := clientChains(conf, peer.PeerCertificates)
		if err != nil {
			return err
		}
		peer.VerifiedChains = chains
	}
	if conf.VerifyConnection == nil {
		return nil
	}
	return conf.VerifyConnection(peer)
}

func clientChains(conf *tls.Config, shown []*x509.Certificate) ([][]*x509.Certificate, error) {
	if len(shown) == 0 {
		return nil, errors.New("the client has no certificate")
	}
	now := time.Now
	if conf.Time != nil {
		now = conf.Time
	}
	opts := x509.VerifyOptions{
		Roots: conf.ClientCAs, Intermediates: x509.NewCertPool(), CurrentTime: now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range shown[1:] {
		opts.Intermediates.AddCert(c)
	}
	return shown[0].Verify(opts)
}
