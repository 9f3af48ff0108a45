package config

import (
	"crypto/tls"
	"slices"
)

func (v *validator) tls() {
	t := v.TLS
	for _, f := range []struct{ key, path string }{
		{"tls.ca_file", t.CAFile}, {"tls.cert_file", t.CertFile}, {"tls.key_file", t.KeyFile},
	} {
		if f.path == "" && (t.RPC || t.HTTP) {
			v.errorf(f.key, "is required when tls.rpc or tls.http is true")
		}
		if f.path != "" && !t.RPC && !t.HTTP && !v.Public.TLS {
			v.warnf(f.key, "has no effect while tls.rpc and tls.http are false")
		}
	}
	switch t.MinVersion {
	case "tls10", "tls11":
		v.errorf("tls.tls_min_version", "%s is refused, it is not secure any more; set tls12 or tls13", t.MinVersion)
	default:
		v.oneOf("tls.tls_min_version", t.MinVersion, "tls12", "tls13")
	}
	for _, name := range t.CipherSuites {
		if cipherSuite(name) == nil {
			v.errorf("tls.tls_cipher_suites", "%q is not a secure cipher suite known here", clip(name))
		}
	}
	v.needs("tls.verify_server_hostname", t.VerifyServerHostname, "tls.rpc", t.RPC)
	if t.RPCUpgradeMode && !t.RPC {
		v.warnf("tls.rpc_upgrade_mode", "has no effect while tls.rpc is false")
	}
	if t.RPCUpgradeMode && t.RPC {
		v.warnf("tls.rpc_upgrade_mode", "lets in connections without TLS; remove it once every agent uses TLS")
	}
	if t.RPC && !t.VerifyServerHostname {
		v.warnf("tls.verify_server_hostname", "is false: every certificate of the authority, a client's too, may act as a server")
	}
	v.needs("tls.verify_https_client", t.VerifyHTTPSClient, "tls.http", t.HTTP)
}

func (v *validator) public() {
	p := v.Public
	switch {
	case !p.Enabled && p.TLS:
		v.warnf("public.tls", "has no effect while public.enabled is false")
	case p.TLS && (p.CertFile == "") != (p.KeyFile == ""):
		v.errorf("public.cert_file", "and public.key_file must be given together")
	case p.TLS && p.CertFile == "" && (v.TLS.CertFile == "" || v.TLS.KeyFile == ""):
		v.errorf("public.tls", "needs public.cert_file and public.key_file, or those of the tls block")
	case !p.TLS && p.CertFile+p.KeyFile != "":
		v.warnf("public.cert_file", "has no effect while public.tls is false")
	}
}

// needs refuses a protection that another switch leaves without effect.
func (v *validator) needs(key string, on bool, otherKey string, other bool) {
	if on && !other {
		v.errorf(key, "has no effect while %s is false; it would promise a protection that is not there", otherKey)
	}
}

func cipherSuite(name string) *tls.CipherSuite {
	suites := tls.CipherSuites()
	if i := slices.IndexFunc(suites, func(s *tls.CipherSuite) bool { return s.Name == name }); i >= 0 {
		return suites[i]
	}
	return nil
}

// MinVersionID is MinVersion as crypto/tls numbers it.
func (t TLS) MinVersionID() uint16 {
	if t.MinVersion == "tls13" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// CipherSuiteIDs are CipherSuites as crypto/tls numbers them; nil means the library's choice.
func (t TLS) CipherSuiteIDs() []uint16 {
	var ids []uint16
	for _, name := range t.CipherSuites {
		if s := cipherSuite(name); s != nil {
			ids = append(ids, s.ID)
		}
	}
	return ids
}
