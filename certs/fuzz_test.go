package certs

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"unicode"
)

// Whatever a certificate calls itself: a role in a region has exactly one spelling, and refusals are one line of bounded length.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"server.global.nomad", "client.global.nomad", "server.eu.nomad", "server..nomad", "*.global.nomad", "SERVER.global.nomad", "server.global.nomad.", "a\nb\x00", ""} {
		f.Add(name, "", "global")
		f.Add("", name, "eu")
	}
	f.Fuzz(func(t *testing.T, dns, cn, region string) {
		leaf := &x509.Certificate{DNSNames: []string{dns}}
		leaf.Subject.CommonName = cn
		state := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf, {}}}}
		names := []string{dns, cn}
		has := func(want string) bool { return names[0] == want || names[1] == want }
		if cn == "" {
			names[1] = dns
		}
		for _, role := range []string{RoleServer, RoleClient} {
			err := CheckRole(state, region, role)
			if (err == nil) != has(role+"."+region+".nomad") {
				t.Errorf("%q as %s of %q: %v", names, role, region, err)
			}
			oneLine(t, err, region)
		}
		err := CheckPeer(state, region)
		oneLine(t, err, region)
		for _, name := range names {
			if err != nil && name == "client."+region+".nomad" {
				t.Errorf("%q is refused: %v", name, err)
			}
		}
		if err == nil && !has("client."+region+".nomad") && !strings.HasPrefix(names[0], "server.") && !strings.HasPrefix(names[1], "server.") {
			t.Errorf("%q is accepted in %q", names, region)
		}
	})
}

func oneLine(t *testing.T, err error, region string) {
	t.Helper()
	if err == nil {
		return
	}
	text := strings.ReplaceAll(err.Error(), region, "") // ours, not the peer's
	if len(text) > 2000 || strings.IndexFunc(text, unicode.IsControl) >= 0 {
		t.Errorf("refusal of %d bytes: %q", len(text), text)
	}
}

// Whatever the files hold, they are refused with one line or give a set that works.
func FuzzFiles(f *testing.F) {
	root := authority(f, "root")
	good := issue(f, root, nil, names("server.global.nomad"))
	f.Add(encode(root.cert), good.certPEM(), good.keyPEM(f))
	f.Add(append(encode(root.cert), encode(root.cert)...), append(good.certPEM(), encode(root.cert)...), []byte("-----BEGIN "))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte{}, []byte{})
	k := &Keeper{cfg: config(Files{})}
	f.Fuzz(func(t *testing.T, ca, cert, key []byte) {
		s, err := k.parse(Files{CA: "ca", Cert: "cert", Key: "key"}, contents{ca, cert, key})
		switch {
		case err == nil && (len(s.authorities) == 0 || s.incoming == nil || s.https == nil):
			t.Error("an incomplete set")
		case err != nil && strings.IndexFunc(err.Error(), unicode.IsControl) >= 0:
			t.Errorf("the refusal is not one line: %q", err)
		}
	})
}
