package certs

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pki is what the certificates of the matrix come from. The agent that judges trusts root and second.
type pki struct{ root, second, foreign *holder }

// sample is one certificate of the matrix.
type sample struct {
	name string
	make func(t *testing.T, p *pki) *holder
}

// named is a certificate of the root with DNS names.
func named(dns ...string) func(*testing.T, *pki) *holder {
	return func(t *testing.T, p *pki) *holder { return issue(t, p.root, nil, names(dns...)) }
}

// edited is a server's certificate of the root with something changed.
func edited(edit func(*x509.Certificate)) func(*testing.T, *pki) *holder {
	return func(t *testing.T, p *pki) *holder {
		return issue(t, p.root, nil, func(c *x509.Certificate) {
			c.DNSNames = []string{"server.global.nomad"}
			edit(c)
		})
	}
}

// below is a server's certificate of an intermediate authority.
func below(leaf func(*x509.Certificate), edits ...func(*x509.Certificate)) func(*testing.T, *pki) *holder {
	return func(t *testing.T, p *pki) *holder { return issue(t, between(t, p.root, edits...), nil, leaf) }
}

func commonName(cn string, dns ...string) func(*testing.T, *pki) *holder {
	return edited(func(c *x509.Certificate) { c.Subject.CommonName, c.DNSNames = cn, dns })
}

func uses(us ...x509.ExtKeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtKeyUsage = us }
}

func permitted(domains ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = domains, true }
}

var byName = []sample{
	{"server.global.nomad", named("server.global.nomad")},
	{"client.global.nomad", named("client.global.nomad")},
	{"cli.global.nomad", named("cli.global.nomad")},
	{"common name server.global.nomad, no other name", commonName("server.global.nomad")},
	{"common name client.global.nomad, no other name", commonName("client.global.nomad")},
	{"common name server.global.nomad beside the name of a client", commonName("server.global.nomad", "client.global.nomad")},
	{"common name with a space before server.global.nomad", commonName(" server.global.nomad")},
	{"common name server.global.nomad and a zero byte", commonName("server.global.nomad\x00.example")},
	{"common name with a Cyrillic e in server", commonName("s\u0435rver.global.nomad")},
	{"server.eu.nomad", named("server.eu.nomad")},
	{"client.eu.nomad", named("client.eu.nomad")},
	{"server.eu.nomad and client.global.nomad", named("server.eu.nomad", "client.global.nomad")},
	{"server.evil.global.nomad", named("server.evil.global.nomad")},
	{"client.evil.global.nomad", named("client.evil.global.nomad")},
	{"evil.server.global.nomad", named("evil.server.global.nomad")},
	{"xserver.global.nomad", named("xserver.global.nomad")},
	{"serverx.global.nomad", named("serverx.global.nomad")},
	{"server.global.nomad.example.com", named("server.global.nomad.example.com")},
	{"server.global.nomad. with a dot at the end", named("server.global.nomad.")},
	{"Server.Global.Nomad", named("Server.Global.Nomad")},
	{"CLIENT.GLOBAL.NOMAD", named("CLIENT.GLOBAL.NOMAD")},
	{"*.global.nomad", named("*.global.nomad")},
	{"server.*.nomad", named("server.*.nomad")},
	{"*.nomad", named("*.nomad")},
	{"*", named("*")},
	{"server.nomad", named("server.nomad")},
	{"server..nomad", named("server..nomad")},
	{"nomad", named("nomad")},
	{"localhost", named("localhost")},
	{"the name and a zero byte", named("server.global.nomad\x00.example.com")},
	{"a hundred names, the last of them server.global.nomad", func(t *testing.T, p *pki) *holder {
		var dns []string
		for i := range 99 {
			dns = append(dns, fmt.Sprintf("n%d.example", i))
		}
		return named(append(dns, "server.global.nomad")...)(t, p)
	}},
	{"no name", named()},
	{"the IP address 127.0.0.1 alone", edited(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, []net.IP{{127, 0, 0, 1}} })},
	{"127.0.0.1 as a DNS name", named("127.0.0.1")},
	{"the name in a URI", edited(func(c *x509.Certificate) {
		c.DNSNames, c.URIs = nil, []*url.URL{{Scheme: "spiffe", Host: "server.global.nomad"}}
	})},
	{"the name in a mail address", edited(func(c *x509.Certificate) { c.DNSNames, c.EmailAddresses = nil, []string{"server.global.nomad@x"} })},
	{"the name as organization", edited(func(c *x509.Certificate) { c.DNSNames, c.Subject.Organization = nil, []string{"server.global.nomad"} })},
}

var byChain = []sample{
	{"no certificate", func(*testing.T, *pki) *holder { return nil }},
	{"of the second authority", func(t *testing.T, p *pki) *holder { return issue(t, p.second, nil, names("server.global.nomad")) }},
	{"of a foreign authority", func(t *testing.T, p *pki) *holder { return issue(t, p.foreign, nil, names("server.global.nomad")) }},
	{"of a foreign authority, which is sent along", func(t *testing.T, p *pki) *holder {
		h := issue(t, p.foreign, nil, names("server.global.nomad"))
		h.via = []*x509.Certificate{p.foreign.cert}
		return h
	}},
	{"of a foreign authority with the name of the right one", func(t *testing.T, p *pki) *holder {
		return issue(t, authority(t, "root"), nil, names("server.global.nomad"))
	}},
	{"signed by itself", func(t *testing.T, _ *pki) *holder { return issue(t, nil, nil, names("server.global.nomad")) }},
	{"the authority's own", func(_ *testing.T, p *pki) *holder { return p.root }},
	{"signed by a server's certificate", func(t *testing.T, p *pki) *holder {
		by := issue(t, p.root, nil, names("server.global.nomad"))
		h := issue(t, by, nil, names("server.global.nomad"))
		h.via = []*x509.Certificate{by.cert}
		return h
	}},
	{"below an intermediate authority", below(names("server.global.nomad"))},
	{"below an intermediate authority that is not sent", func(t *testing.T, p *pki) *holder {
		h := below(names("server.global.nomad"))(t, p)
		h.via = nil
		return h
	}},
	{"below an expired intermediate authority", below(names("server.global.nomad"), func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) })},
	{"below an authority that may have none below it", func(t *testing.T, p *pki) *holder {
		first := between(t, p.root, func(c *x509.Certificate) { c.MaxPathLenZero = true })
		second := between(t, first)
		h := issue(t, second, nil, names("server.global.nomad"))
		h.via = []*x509.Certificate{second.cert, first.cert}
		return h
	}},
	{"below an intermediate authority for servers' use only", below(names("server.global.nomad"), uses(x509.ExtKeyUsageServerAuth))},
	{"below an intermediate authority with a weak key", func(t *testing.T, p *pki) *holder {
		mid := issue(t, p.root, rsaKey(t, 1024), func(c *x509.Certificate) { asCA(c, "between") })
		mid.via = []*x509.Certificate{mid.cert}
		return issue(t, mid, nil, names("server.global.nomad"))
	}},
	{"a client below an authority for clients", below(names("client.global.nomad"), permitted("client.global.nomad"))},
	{"a server below an authority for clients", below(names("server.global.nomad"), permitted("client.global.nomad"))},
	{"a server by its common name below an authority for clients",
		below(func(c *x509.Certificate) { c.Subject.CommonName = "server.global.nomad" }, permitted("client.global.nomad"))},
	{"a client with a server's common name below an authority for clients", below(func(c *x509.Certificate) {
		c.Subject.CommonName, c.DNSNames = "server.global.nomad", []string{"client.global.nomad"}
	}, permitted("client.global.nomad"))},
	{"a server below an authority that must not sign servers", below(names("server.global.nomad"),
		func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"server.global.nomad"} })},
	{"expired a second ago", edited(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })},
	{"expires in a second", edited(func(c *x509.Certificate) { c.NotAfter = now.Add(time.Second) })},
	{"valid in a second", edited(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) })},
	{"valid since a second", edited(func(c *x509.Certificate) { c.NotBefore = now.Add(-time.Second) })},
	{"for servers' use only", edited(uses(x509.ExtKeyUsageServerAuth))},
	{"for clients' use only", edited(uses(x509.ExtKeyUsageClientAuth))},
	{"for signing code", edited(uses(x509.ExtKeyUsageCodeSigning))},
	{"for any use", edited(uses(x509.ExtKeyUsageAny))},
	{"no use named", edited(uses())},
	{"an unknown critical extension", edited(func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	})},
	{"RSA of 1024 bits", func(t *testing.T, p *pki) *holder {
		return issue(t, p.root, rsaKey(t, 1024), names("server.global.nomad"))
	}},
	{"RSA of 2048 bits", func(t *testing.T, p *pki) *holder {
		return issue(t, p.root, rsaKey(t, 2048), names("server.global.nomad"))
	}},
	{"curve P-224", func(t *testing.T, p *pki) *holder {
		return issue(t, p.root, curveKey(t, elliptic.P224()), names("server.global.nomad"))
	}},
	{"curve P-384", func(t *testing.T, p *pki) *holder {
		return issue(t, p.root, curveKey(t, elliptic.P384()), names("server.global.nomad"))
	}},
	{"Ed25519", func(t *testing.T, p *pki) *holder {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return issue(t, p.root, key, names("server.global.nomad"))
	}},
	{"signed with SHA-1", edited(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 })},
}

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func curveKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// judges are all that decide on a certificate, in the order of the columns.
var judges = []struct {
	name  string
	judge func(t *testing.T, j *jury, h *holder) error
}{
	{"rpc", func(t *testing.T, j *jury, h *holder) error { return j.incoming(t, j.chainOnly, h, nil) }},
	{"rpc+names", func(t *testing.T, j *jury, h *holder) error { return j.incoming(t, j.names, h, nil) }},
	{"node", func(t *testing.T, j *jury, h *holder) error {
		return j.incoming(t, j.names, h, func(s *tls.ConnectionState) error { return CheckRole(s, "global", RoleClient, RoleServer) })
	}},
	{"server", func(t *testing.T, j *jury, h *holder) error {
		return j.incoming(t, j.names, h, func(s *tls.ConnectionState) error { return CheckRole(s, "global", RoleServer) })
	}},
	{"dialed", func(t *testing.T, j *jury, h *holder) error { return j.outgoing(t, j.chainOnly, h) }},
	{"dialed+names", func(t *testing.T, j *jury, h *holder) error { return j.outgoing(t, j.names, h) }},
	{"https", func(t *testing.T, j *jury, h *holder) error {
		_, _, err := shake(t, peerClient(h), j.names.HTTPS())
		return err
	}},
	{"own/server", func(t *testing.T, j *jury, h *holder) error { return j.own(t, h, true) }},
	{"own/client", func(t *testing.T, j *jury, h *holder) error { return j.own(t, h, false) }},
}

// jury are agents that judge with and without names.
type jury struct {
	pki              *pki
	names, chainOnly *Keeper
}

func (j *jury) incoming(t *testing.T, k *Keeper, h *holder, then func(*tls.ConnectionState) error) error {
	state, _, err := shake(t, peerClient(h), k.Incoming())
	if err == nil && then != nil {
		err = then(&state)
	}
	return err
}

func (j *jury) outgoing(t *testing.T, k *Keeper, h *holder) error {
	server := &tls.Config{Time: clock, ClientAuth: tls.RequireAnyClientCert}
	if h != nil {
		server.Certificates = []tls.Certificate{*h.tls()}
	}
	_, err, _ := shake(t, k.Outgoing("global"), server)
	return err
}

func (j *jury) own(t *testing.T, h *holder, server bool) error {
	if h == nil {
		return os.ErrNotExist
	}
	c := config(write(t, t.TempDir(), h, j.pki.root, j.pki.second))
	c.Server = server
	_, err := New(c)
	return err
}

// wire.md §1.6: which certificate is good for what. The golden file is the exact set; read its changes line by line.
func TestWhoAcceptsWhichCertificate(t *testing.T) {
	p := &pki{root: authority(t, "root"), second: authority(t, "second"), foreign: authority(t, "foreign")}
	files := write(t, t.TempDir(), issue(t, p.root, nil, names("server.global.nomad")), p.root, p.second)
	plain := config(files)
	plain.VerifyNames = false
	j := &jury{pki: p, names: keeper(t, config(files)), chainOnly: keeper(t, plain)}

	var out strings.Builder
	fmt.Fprintf(&out, "%-70s", "")
	for _, judge := range judges {
		fmt.Fprintf(&out, " %s", judge.name)
	}
	out.WriteString("\n")
	samples := append(append([]sample{}, byName...), byChain...)
	for _, s := range samples {
		h := s.make(t, p)
		fmt.Fprintf(&out, "%-70s", s.name)
		for _, judge := range judges {
			err := judge.judge(t, j, h)
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %s says more than one line: %v", s.name, judge.name, err)
			}
			fmt.Fprintf(&out, " %-*s", len(judge.name), map[bool]string{true: "yes", false: "-"}[err == nil])
		}
		out.WriteString("\n")
	}
	text := trimLines(out.String())
	const golden = "testdata/accept.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("certificates are accepted otherwise than in %s (-want +got):\n%s", golden, diff)
	}
}

func trimLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}
