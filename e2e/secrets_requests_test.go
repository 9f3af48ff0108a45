//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/rollcall-id/rollcall/e2e/wire"
)

// routeRow is a route in the document of who may do what, which a test holds to the code.
var routeRow = regexp.MustCompile("(?m)^\\| `([A-Z]+) (/[^`]*)` \\|")

// pathParameter is a part of a route that stands for a value.
var pathParameter = regexp.MustCompile(`\{[a-z]+\}`)

// askEveryRoute asks for every route of a server and of the node's agent, with secrets where they belong and where they do not.
func (w *secretsWorld) askEveryRoute(ctx context.Context) {
	document, err := os.ReadFile("../docs/acl.md")
	must(w.t, err)
	routes := routeRow.FindAllStringSubmatch(string(document), -1)
	if len(routes) < 80 {
		w.t.Fatalf("%d routes in the document", len(routes))
	}
	good := map[string]string{"X-Nomad-Token": w.vars["bootstrap"]}
	for _, r := range routes {
		method, path := r[1], r[2]
		if strings.HasPrefix(path, "/v1/acl/token/onetime") || path == "/v1/event/stream" || path == "/v1/agent/monitor" || path == "/v1/acl/identity/client-introduction-token" {
			continue // asked elsewhere
		}
		for _, base := range []string{w.Servers[0].HTTP, w.agent.HTTP} {
			if method == http.MethodGet {
				w.ask(ctx, "answer to GET "+path, method, base+pathParameter.ReplaceAllString(path, w.vars["node"]), "", good)
			}
			place := "answer to a bad " + method + " " + path
			for _, secret := range []string{"acl", "secret", "identity"} {
				name := "none" // a secret in the place of a name comes back; in that of a token's accessor people mistake it
				if path == "/v1/acl/token/{accessor}" {
					name = w.vars[secret]
				}
				named := base + pathParameter.ReplaceAllString(path, name)
				body := fmt.Sprintf(`{"Token":%q,"SecretID":[%q],"BootstrapSecret":{"a":%q},"OneTimeSecretID":"x%s","Key":%q`,
					w.vars[secret], w.vars[secret], w.vars[secret], w.vars[secret], w.vars[secret])
				w.ask(ctx, place, method, named, body, map[string]string{"Authorization": "Bearer " + w.vars[secret] + "x"})
				w.ask(ctx, place, method, named+"?index=x&token="+w.vars[secret], body+"}", map[string]string{"X-Nomad-Token": w.vars[secret] + "x"})
				w.ask(ctx, place, method, base+pathParameter.ReplaceAllString(path, name)+"?token=x"+w.vars[secret], w.vars[secret], nil)
			}
		}
	}
}

// speakNonsense sends secrets over the RPC port that are not where they belong.
func (w *secretsWorld) speakNonsense(ctx context.Context) {
	cert, key := w.Certificates.Pair("client")
	pair, err := tls.LoadX509KeyPair(cert, key)
	must(w.t, err)
	conf := &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} //nolint:gosec // it is our own
	for _, secret := range []string{"acl", "secret", "identity", "intro", "once"} {
		s := w.vars[secret]
		bodies := map[string]any{
			"wrong types": wire.Map{"AuthToken": []any{s}, "Node": s, "NodeID": []any{s}, "SecretID": wire.Map{"x": s}},
			"a text":      s,
			"a bad token": wire.Map{"AuthToken": "x" + s, "Region": "global", "SecretID": "x" + s, "Node": wire.Map{"ID": w.vars["node"], "SecretID": "x" + s, "Name": "x", "Datacenter": "dc1"}},
			"a good one":  wire.Map{"AuthToken": s, "Region": "global", "SecretID": s, "NodeID": w.vars["node"], "Secret": s, "OneTimeSecretID": s},
		}
		for _, method := range []string{
			"Node.Register", "Node.UpdateStatus", "Node.GetNode", "Node.List", "ACL.GetToken", "ACL.ResolveToken", "ACL.WhoAmI", "ACL.Bootstrap",
			"ACL.ExchangeOneTimeToken", "Keyring.List", "NodePool.GetNodePool",
		} {
			for _, name := range []string{"wrong types", "a text", "a bad token", "a good one"} {
				for _, server := range w.Servers[:2] {
					w.speak(ctx, server.RPC, conf, method, bodies[name])
				}
			}
		}
	}
}

// speak makes one call over a connection of its own.
func (w *secretsWorld) speak(ctx context.Context, addr string, conf *tls.Config, method string, body any) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	must(w.t, err)
	defer raw.Close()
	deadline, _ := ctx.Deadline()
	must(w.t, raw.SetDeadline(deadline))
	_, err = raw.Write([]byte{0x04})
	must(w.t, err)
	conn := tls.Client(raw, conf)
	sent := append([]byte{0x01}, wire.Append(nil, wire.Map{"Seq": 1, "ServiceMethod": method})...)
	if _, err := conn.Write(wire.Append(sent, body)); err != nil {
		w.t.Errorf("call %s: %v", method, err)
		return
	}
	var answer bytes.Buffer
	in := bufio.NewReader(io.TeeReader(conn, &answer))
	for range 2 { // header and body; a server that can't read the call hangs up
		if _, err := wire.Read(in); err != nil {
			break
		}
	}
	w.note("reply to "+method, answer.Bytes())
}
