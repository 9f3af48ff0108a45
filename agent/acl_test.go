package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/rollcall-id/rollcall/config"
	"github.com/rollcall-id/rollcall/structs"
)

// ask sends a request with a token and returns status and body.
func ask(t *testing.T, addr, method, path, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Nomad-Token", token)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// With ACLs on an agent's own node needs no token and goes on being renewed, its API asks for one, and a reload changes
// neither.
func TestAnAgentWithACLsOnKeepsItsNodeAndItsAPIAcrossAReload(t *testing.T) {
	text := anyPort + fleetACL + "server { min_heartbeat_ttl = \"1s\" }\n"
	p := launch(t, Options{
		Config: parse(t, config.DevConfig(), text),
		Reload: func() (*config.Config, error) {
			return parse(t, config.DevConfig(), text+"log_level = \"info\"\n"), nil
		},
	})
	addr := p.httpAddr(t)
	var management structs.ACLToken
	eventually(t, "the bootstrap", func() error {
		code, body := ask(t, addr, "PUT", "/v1/acl/bootstrap", "")
		if code != http.StatusOK {
			return errors.New(body)
		}
		return json.Unmarshal([]byte(body), &management)
	})
	issued := func() (at float64) {
		eventually(t, "a node that is ready and has an identity", func() error {
			var nodes []struct{ Status string }
			code, body := ask(t, addr, "GET", "/v1/nodes", management.SecretID)
			if err := json.Unmarshal([]byte(body), &nodes); err != nil || len(nodes) != 1 || nodes[0].Status != structs.NodeStatusReady {
				return fmt.Errorf("nodes: %d %s", code, body)
			}
			var out struct{ Claims map[string]any }
			code, body = ask(t, addr, "GET", "/v1/client/identity", management.SecretID)
			if err := json.Unmarshal([]byte(body), &out); err != nil {
				return fmt.Errorf("identity: %d %s", code, body)
			}
			at, _ = out.Claims["iat"].(float64)
			return nil
		})
		return at
	}
	check := func(when string) {
		t.Helper()
		for _, path := range []string{"/v1/nodes", "/v1/agent/self", "/v1/client/identity", "/v1/metrics"} {
			for name, token := range map[string]string{"no token": "", "a forged one": nobody} {
				if code, _ := ask(t, addr, "GET", path, token); code != http.StatusForbidden {
					t.Errorf("%s: %s with %s is answered %d", when, path, name, code)
				}
			}
			if code, body := ask(t, addr, "GET", path, management.SecretID); code != http.StatusOK {
				t.Errorf("%s: %s with the management token is answered %d %s", when, path, code, body)
			}
		}
	}
	before := issued()
	check("before the reload")
	p.signals <- syscall.SIGHUP
	eventually(t, "the reload", func() error {
		if !strings.Contains(p.log.String(), "configuration reloaded") {
			return errors.New("the log does not say so")
		}
		return nil
	})
	check("after the reload")
	// Identities tell seconds, so that one of the same second does not show that it is new.
	eventually(t, "a newer identity", func() error {
		if code, body := ask(t, addr, "PUT", "/v1/client/identity/renew", management.SecretID); code != http.StatusOK {
			return fmt.Errorf("renew: %d %s", code, body)
		}
		if after := issued(); after <= before {
			return fmt.Errorf("it is of %v, as before", after)
		}
		return nil
	})
	if strings.Contains(p.log.String(), management.SecretID) {
		t.Error("the log has the management token")
	}
}
