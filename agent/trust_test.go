package agent

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rollcall-id/rollcall/certs"
	"github.com/rollcall-id/rollcall/config"
)

// Kept-alive connections of HTTPS end with the authority that vouched for their clients, and the agent's own node comes back to its server.
func TestAReloadEndsConnectionsThatARemovedAuthorityVouchedFor(t *testing.T) {
	old, next, dir := newAuthority(t), newAuthority(t), t.TempDir()
	trust := func(pem ...[]byte) {
		t.Helper()
		var all []byte
		for _, p := range pem {
			all = append(all, p...)
		}
		if err := os.WriteFile(filepath.Join(dir, "ca.pem"), all, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old.put(t, dir, old.issue(t, certs.RoleServer))
	trust(old.pem, next.pem)
	text := anyPort + tlsBlock(dir)
	p := launch(t, Options{Config: parse(t, config.DevConfig(), text), Reload: func() (*config.Config, error) { return parse(t, config.DevConfig(), text), nil }})
	url := "https://" + p.httpAddr(t) + "/v1/agent/health"
	client := func(a *authority) func() error {
		pair := a.issue(t, certs.RoleCLI)
		c := a.browser(t, &pair)
		tr := c.Transport.(*http.Transport)
		tr.DisableKeepAlives = false
		tr.TLSClientConfig.RootCAs.AddCert(old.Certificate)
		tr.TLSClientConfig.RootCAs.AddCert(next.Certificate)
		t.Cleanup(c.CloseIdleConnections)
		return func() error {
			code, body, _, err := fetch(t, c, url)
			if err == nil && code != http.StatusOK {
				err = fmt.Errorf("%d %s", code, body)
			}
			return err
		}
	}
	stranger, friend := client(old), client(next)
	eventually(t, "a node that is ready", func() error { return errors.Join(stranger(), friend()) })

	reload := func(n int) {
		t.Helper()
		p.signals <- syscall.SIGHUP
		eventually(t, "the new files", func() error {
			if got := strings.Count(p.log.String(), "certificates loaded"); got < n {
				return fmt.Errorf("loaded %d times, want %d", got, n)
			}
			return nil
		})
	}
	next.put(t, dir, next.issue(t, certs.RoleServer))
	trust(old.pem, next.pem)
	reload(1)
	if err := errors.Join(stranger(), friend()); err != nil {
		t.Fatalf("while both are trusted: %v", err)
	}
	trust(next.pem)
	reload(2)
	eventually(t, "the old one's connections to be closed", func() error {
		if !strings.Contains(p.log.String(), "closed connections whose peers are not trusted any more: connections=") {
			return errors.New("the log does not tell")
		}
		return nil
	})
	if err := stranger(); err == nil {
		t.Error("a client of the old one is answered")
	}
	eventually(t, "a node that is ready by the new one", friend)
}
