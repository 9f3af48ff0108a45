package config

import (
	"crypto/tls"
	"slices"
)

func (v *validator) tls() {
	t := v.TLS
	const unsupported = "TLS is not supported by this version; it would run without the protection asked for"
	if t.RPC {
		v.errorf("tls.rpc", unsupported)
	}
	if t.HTTP {
		v.errorf("tls.http", unsupported)
	}
	for _, f := range []struct{ key, path string }{
		{"tls.ca_file", t.CAFile}, {"tls.cert_file", t.CertFile}, {"tls.key_file", t.KeyFile},
	} {
		if f.path == "" && (t.RPC || t.HTTP) {
			v.errorf(f.key, "is required when tls.rpc or tls.http is true")
		}
		if f.path != "" && !t.RPC && !t.HTTP {
			v.warnf(f.key, "has no effect while tls.rpc and tls.http are false")
		}
	}
	v.oneOf("tls.tls_min_version", t.MinVersion, "tls10", "tls11", "tls12", "tls13")
	for _, name := range t.CipherSuites {
		if !slices.ContainsFunc(tls.CipherSuites(), func(s *tls.CipherSuite) bool { return s.Name == name }) {
			v.errorf("tls.tls_cipher_suites", "%q is not a secure cipher suite known here", clip(name))
		}
	}
	v.needs("tls.verify_server_hostname", t.VerifyServerHostname, "tls.rpc", t.RPC)
	if t.RPCUpgradeMode && !t.RPC {
		v.warnf("tls.rpc_upgrade_mode", "has no effect while tls.rpc is false")
	}
	v.needs("tls.verify_https_client", t.VerifyHTTPSClient, "tls.http", t.HTTP)
}

// needs refuses a protection that another switch leaves without effect.
func (v *validator) needs(key string, on bool, otherKey string, other bool) {
	if on && !other {
		v.errorf(key, "has no effect while %s is false; it would promise a protection that is not there", otherKey)
	}
}
