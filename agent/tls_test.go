package agent

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/certs"
	"github.com/rollcall-id/rollcall/config"
)

// authority makes certificates for a test.
type authority struct {
	*certs.Authority
	pem []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	pair, err := certs.NewAuthority(certs.AuthorityRequest{Days: 1, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	a, err := certs.ReadAuthority(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{Authority: a, pem: pair.Cert}
}

func (a *authority) issue(t *testing.T, role string) certs.Pair {
	t.Helper()
	pair, err := a.Issue(certs.Request{Role: role, Region: "global", Domain: "nomad", Days: 1, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// put writes a set of files as the tls block below names them.
func (a *authority) put(t *testing.T, dir string, pair certs.Pair) {
	t.Helper()
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "ca.pem"), a.pem, 0o600),
		os.WriteFile(filepath.Join(dir, "cert.pem"), pair.Cert, 0o600), os.WriteFile(filepath.Join(dir, "key.pem"), pair.Key, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// tlsBlock turns everything on.
func tlsBlock(dir string) string {
	return fmt.Sprintf(`
tls {
  http                   = true
  rpc                    = true
  verify_server_hostname = true
  verify_https_client    = true
  ca_file                = "%[1]s/ca.pem"
  cert_file              = "%[1]s/cert.pem"
  key_file               = "%[1]s/key.pem"
}
`, dir)
}

// browser is an HTTPS client that trusts the authority and shows the pair, if there is one.
func (a *authority) browser(t *testing.T, pair *certs.Pair) *http.Client {
	t.Helper()
	conf := &tls.Config{RootCAs: x509.NewCertPool()}
	conf.RootCAs.AddCert(a.Certificate)
	if pair != nil {
		c, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		conf.Certificates = []tls.Certificate{c}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}}
}

// fetch returns status, body and the certificate that answered.
func fetch(t *testing.T, c *http.Client, url string) (int, string, *x509.Certificate, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var peer *x509.Certificate
	if resp.TLS != nil {
		peer = resp.TLS.PeerCertificates[0]
	}
	return resp.StatusCode, string(body), peer, nil
}

var publicLine = regexp.MustCompile(`public listener started: addr=(\S+)`)

func (p *process) publicAddr(t *testing.T) string {
	t.Helper()
	m := publicLine.FindStringSubmatch(p.log.String())
	if m == nil {
		t.Fatal("the log does not say where the public listener is")
	}
	return m[1]
}

func TestANodeGetsReadyOverTLSAndHTTPSAsksForACertificate(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	ca.put(t, dir, ca.issue(t, certs.RoleServer))
	p := launch(t, Options{Config: parse(t, config.DevConfig(), anyPort+tlsBlock(dir))})
	addr := p.httpAddr(t)
	cli := ca.issue(t, certs.RoleCLI)
	eventually(t, "a node that is ready", func() error {
		_, body, _, err := fetch(t, ca.browser(t, &cli), "https://"+addr+"/v1/nodes")
		if err != nil {
			return err
		}
		var nodes []struct{ Status string }
		if err := json.Unmarshal([]byte(body), &nodes); err != nil || len(nodes) != 1 || nodes[0].Status != "ready" {
			return fmt.Errorf("nodes %s (%v)", body, err)
		}
		return nil
	})
	foreign := newAuthority(t).issue(t, certs.RoleCLI)
	for name, c := range map[string]*http.Client{
		"no certificate": ca.browser(t, nil), "one of another authority": ca.browser(t, &foreign),
	} {
		if code, _, _, err := fetch(t, c, "https://"+addr+"/v1/nodes"); err == nil {
			t.Errorf("%s: answered %d", name, code)
		}
	}
	if code, _, _, err := fetch(t, http.DefaultClient, "http://"+addr+"/v1/nodes"); err == nil {
		t.Errorf("plain HTTP is answered %d", code)
	}
}

func TestThePublicListenerServesNothingButWhatVerifiersNeed(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	ca.put(t, dir, ca.issue(t, certs.RoleServer))
	text := anyPort + tlsBlock(dir) + "public {\n enabled = true\n port = 0\n tls = true\n}\nserver {\n oidc_issuer = \"https://id.example\"\n}\n"
	p := launch(t, Options{Config: parse(t, config.DevConfig(), text)})
	p.httpAddr(t)
	base := "https://" + p.publicAddr(t)
	verifier := ca.browser(t, nil)
	eventually(t, "the public keys", func() error {
		code, body, _, err := fetch(t, verifier, base+"/.well-known/jwks.json")
		if err != nil || code != http.StatusOK || !strings.Contains(body, `"kid"`) {
			return fmt.Errorf("%d %s (%v)", code, body, err)
		}
		return nil
	})
	for path, want := range map[string]int{
		"/.well-known/openid-configuration": 200, "/v1/agent/health?type=server": 200,
		"/": 404, "/ui/": 404, "/v1/nodes": 404, "/v1/agent/self": 404, "/v1/agent/members": 404, "/v1/metrics": 404, "/v1/status/leader": 404,
		"/v1/operator/keyring/keys": 404, "/v1/operator/snapshot": 404, "/v1/agent/health/": 404, "/v1/agent%2Fhealth": 404,
	} {
		code, body, _, err := fetch(t, verifier, base+path)
		if err != nil || code != want {
			t.Errorf("%s: %d %s (%v), want %d", path, code, body, err, want)
		}
	}
	resp, err := verifier.Post(base+"/.well-known/jwks.json", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered %d", resp.StatusCode)
	}
}

func TestSIGHUPTakesNewCertificatesOrNone(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	ca.put(t, dir, ca.issue(t, certs.RoleServer))
	text := anyPort + tlsBlock(dir)
	next := text
	p := launch(t, Options{Config: parse(t, config.DevConfig(), text), Reload: func() (*config.Config, error) { return parse(t, config.DevConfig(), next), nil }})
	addr := p.httpAddr(t)
	cli := ca.issue(t, certs.RoleCLI)
	serial := func() string {
		_, _, peer, err := fetch(t, ca.browser(t, &cli), "https://"+addr+"/v1/agent/health")
		if err != nil {
			t.Fatal(err)
		}
		return peer.SerialNumber.String()
	}
	first := serial()

	other := t.TempDir()
	newAuthority(t).put(t, other, ca.issue(t, certs.RoleServer)) // that peers would not accept
	next = anyPort + tlsBlock(other) + "log_level = \"trace\"\n"
	p.signals <- syscall.SIGHUP
	eventually(t, "a refusal", func() error {
		if !strings.Contains(p.log.String(), "configuration not reloaded: error=\"tls.cert_file "+other+"/cert.pem: peers that trust tls.ca_file would refuse it") {
			return errors.New("none in the log")
		}
		return nil
	})
	if serial() != first {
		t.Fatal("a set that was refused is in use")
	}
	ca.put(t, other, ca.issue(t, certs.RoleServer))
	p.signals <- syscall.SIGHUP
	eventually(t, "the new certificate", func() error {
		if serial() == first {
			return errors.New("the first is in use")
		}
		return nil
	})
}

func TestABadCertificateEndsTheStartBeforeAnythingListens(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	for name, tc := range map[string]struct{ role, want string }{
		"a client's certificate on a server": {certs.RoleClient, `tls.cert_file ` + dir + `/cert.pem: invalid role or region for certificate: it is for "client.global.nomad"`},
		"a command line's":                   {certs.RoleCLI, "tls.cert_file " + dir + "/cert.pem: peers that trust tls.ca_file would refuse it for server authentication"},
	} {
		ca.put(t, dir, ca.issue(t, tc.role))
		p := launch(t, Options{Config: parse(t, config.DevConfig(), anyPort+tlsBlock(dir))})
		err := p.wait(t)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: ended with %v", name, err)
		}
		if strings.Contains(p.log.String(), "agent started") {
			t.Errorf("%s: half started", name)
		}
	}
}

func TestNoRequestIsDroppedWhileCertificatesAreReplaced(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	ca.put(t, dir, ca.issue(t, certs.RoleServer))
	text := anyPort + tlsBlock(dir)
	p := launch(t, Options{Config: parse(t, config.DevConfig(), text), Reload: func() (*config.Config, error) { return parse(t, config.DevConfig(), text), nil }})
	base := "https://" + p.httpAddr(t) + "/v1/agent/health?type=server"
	cli := ca.issue(t, certs.RoleCLI)
	eventually(t, "a leader", func() error {
		code, body, _, err := fetch(t, ca.browser(t, &cli), base)
		if err != nil || code != http.StatusOK {
			return fmt.Errorf("%d %s (%v)", code, body, err)
		}
		return nil
	})
	fresh, kept := ca.browser(t, &cli), ca.browser(t, &cli)
	kept.Transport.(*http.Transport).DisableKeepAlives = false
	defer kept.CloseIdleConnections()
	done := make(chan struct{})
	failed := make(chan error, 2)
	for _, c := range []*http.Client{fresh, kept} {
		go func() {
			for {
				select {
				case <-done:
					failed <- nil
					return
				default:
				}
				if code, body, _, err := fetch(t, c, base); err != nil || code != http.StatusOK {
					failed <- fmt.Errorf("%d %s (%w)", code, body, err)
					return
				}
			}
		}()
	}
	for n := 1; n <= 5; n++ {
		ca.put(t, dir, ca.issue(t, certs.RoleServer))
		p.signals <- syscall.SIGHUP
		eventually(t, "the new certificate", func() error {
			if got := strings.Count(p.log.String(), "certificates loaded"); got < n {
				return fmt.Errorf("loaded %d times, want %d", got, n)
			}
			return nil
		})
	}
	close(done)
	for range 2 {
		if err := <-failed; err != nil {
			t.Errorf("a request while certificates were replaced: %v", err)
		}
	}
}
