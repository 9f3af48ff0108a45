//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/internal/transitserver"
)

// secretsAllowed is where secrets are by design.
var secretsAllowed = []allowance{
	{"output of acl token create -name reader", "ACL token", "the one answer that shows it"},
	{"output of node intro create", "introduction", "the one answer that shows it"},
	{"output of operator gossip keyring list", "gossip key", "operators compare the keys of servers by it; it needs agent:write"},
	{"answer to POST /v1/acl/token/onetime", "one-time token", "the one answer that shows it"},
	{"answer to exchange", "ACL token", "what a one-time token is exchanged for"},
	{"answer to GET /v1/agent/keyring/list", "gossip key", "as operator gossip keyring list"},
	{"output of acl token self ", "bootstrap token", "the caller's own, which it has just shown, as the compatible API has it"},
	{"output of acl token self -token $acl", "ACL token", "the same"},
	{"answer to GET /v1/acl/token/self", "bootstrap token", "the same"},
	{"data of node-1/client/secret-id", "node secret", "a node must know its own, in a file that only its owner reads"},
	{"data of node-1/client/state.db", "identity", "the same"},
	{"data of server-", "gossip key", "a server has the current key nowhere else, in a file that only its owner reads"},
}

// secretsWorld is a cluster with secrets that are all known.
type secretsWorld struct {
	*runner
	*Cluster
	t     *testing.T
	kms   *transitserver.Server
	agent *Agent
}

// No secret is in anything that the system writes, whatever is done to it and however it is asked.
func TestSecretsAreNowhereButWhereTheyBelong(t *testing.T) {
	ctx, dir := scenario(t)
	w := newSecretsWorld(t, ctx, dir)
	w.useTokens(ctx)
	w.startNode(ctx)
	stop := w.follow(ctx)
	w.mustRun(t, ctx, "operator snapshot save $dir/first.snap")
	w.runAll(ctx)
	w.askEveryRoute(ctx)
	w.speakNonsense(ctx)
	w.breakTheKeyService(ctx)
	w.noteCommandLines()
	stop()
	w.quit(ctx)
	for _, command := range []string{"info", "logs", "logs -json -verbose", "state", "replay"} {
		w.mustRun(t, ctx, "operator raft "+command+" $dir/server-1")
	}
	w.noteResults()
	w.check(t, secretsAllowed)
}

// newSecretsWorld starts three servers whose configuration has a secret wherever there can be one.
func newSecretsWorld(t *testing.T, ctx context.Context, dir string) *secretsWorld {
	t.Helper()
	e := &evidence{}
	w := &secretsWorld{t: t, runner: &runner{evidence: e, dir: dir + "/work", vars: map[string]string{}}}
	w.vars["gossip"], w.vars["kek"] = e.plantKey("gossip key"), e.plantKey("key-encryption key")
	transit := e.plantText("transit token", "transit-")
	w.kms = transitserver.Start("k", "root")
	t.Cleanup(w.kms.Close)
	w.kms.AddToken(transit, 0)
	must(t, os.MkdirAll(w.runner.dir, 0o700))
	kekFile := filepath.Join(dir, "kek")
	must(t, os.WriteFile(kekFile, []byte(w.vars["kek"]+"\n"), 0o600))
	w.Cluster = configure(t, ClusterConfig{
		Dir: dir, Servers: 3, GossipKey: w.vars["gossip"], ServerBlock: quickHeartbeats + "\nclient_introduction {\nenforcement = \"strict\"\n}",
	})
	keyrings := fmt.Sprintf("keyring \"transit\" {\n  active = true\n  address = %q\n  token = %q\n  mount_path = \"transit\"\n  key_name = \"k\"\n}\n"+
		"keyring \"aead\" {\n  name = \"disk\"\n  kek_file = %q\n}\n", w.kms.URL, transit, kekFile)
	for i, s := range w.Servers {
		more := keyrings + "log_level = \"trace\"\nenable_debug = true\ntelemetry {\n  prometheus_metrics = true\n}\n"
		if i == 1 {
			more += "log_json = true\n"
		}
		appendConfig(t, s.Config, more)
		must(t, s.Start())
	}
	for _, role := range []string{"server", "client"} {
		_, key := w.Certificates.Pair(role)
		e.plantKeyFile(t, "key of the certificate for "+role+"s", key)
	}
	e.plantKeyFile(t, "key of the authority", filepath.Join(w.Certificates.Dir, "nomad-agent-ca-key.pem"))
	for name, value := range map[string]string{
		"dir": dir, "tls": w.Certificates.Dir, "kekfile": kekFile, "config": w.Servers[0].Config,
		"bootstrap": e.plantUUID("bootstrap token"), "secret": e.plantUUID("node secret"), "s3secret": e.plantText("S3 key", "s3-"),
		"s3session": e.plantText("S3 session token", "session-"),
	} {
		w.vars[name] = value
	}
	w.writeBadFiles()
	w.bootstrap(ctx)
	return w
}

func appendConfig(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(text)
	must(t, err)
	must(t, f.Close())
}

// writeBadFiles writes files that are wrong right where the secret is.
func (w *secretsWorld) writeBadFiles() {
	for name, text := range map[string]string{
		"tokenfile": "$bootstrap", "badpool": `node_pool "x" { secret = "$secret" }`,
		"badpolicy": `node { policy = "$secret" `,
		"badconfig": "server {\n  encrypt = \"x$gossip\n  retry_join = $secret\n}\nkeyring \"transit\" {\n  token = $kek\n}\n",
		"badkek":    "data_dir = \"/tmp/x\"\nserver {\n  enabled = true\n  encrypt = \"${gossip}AA\"\n}\nacl {\n  enabled = \"$bootstrap\"\n  replication_token = \"$bootstrap\"\n}\n",
	} {
		path := filepath.Join(w.vars["dir"], name)
		must(w.t, os.WriteFile(path, []byte(w.fill(text)), 0o600))
		w.vars[name] = path
	}
	w.vars["badpool"], w.vars["badpolicy"] = w.fill(`node_pool "x" { secret = "$secret" }`), w.fill(`node { policy = "$secret" `)
}

// bootstrap makes the first token, of a secret that is known before, and uses it from then on.
func (w *secretsWorld) bootstrap(ctx context.Context) {
	w.runner.env = []string{"ROLLCALL_ADDR=" + w.Servers[0].HTTP}
	eventually(w.t, ctx, "bootstrap ACLs", formTime, func(ctx context.Context) error {
		out, err := w.run(ctx, "acl bootstrap -t {{.AccessorID}} $tokenfile")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	w.runner.env = append(w.runner.env, "ROLLCALL_TOKEN="+w.vars["bootstrap"])
	w.Token = w.vars["bootstrap"]
	for _, s := range w.Servers {
		s.API.Close()
		s.API = w.client(s.HTTP)
	}
	_, err := w.WaitLeader(ctx)
	must(w.t, err)
	must(w.t, w.WaitVoters(ctx))
}

func (w *secretsWorld) client(address string) *api.Client {
	c, err := api.New(api.Config{Address: address, Token: w.vars["bootstrap"]})
	must(w.t, err)
	w.t.Cleanup(c.Close)
	return c
}

// useTokens makes one of each, which the answers show, and uses what can be used once.
func (w *secretsWorld) useTokens(ctx context.Context) {
	w.mustRun(w.t, ctx, "acl policy apply reader -<node{policy=\"read\"}")
	var token struct{ AccessorID, SecretID string }
	out := w.mustRun(w.t, ctx, "acl token create -name reader -policy reader -ttl 1h -json")
	must(w.t, json.Unmarshal([]byte(out), &token))
	w.plant("ACL token", []byte(token.SecretID))
	w.vars["acl"], w.vars["accessor"] = token.SecretID, token.AccessorID

	var once struct {
		OneTimeToken struct{ OneTimeSecretID string }
	}
	header := map[string]string{"X-Nomad-Token": token.SecretID}
	must(w.t, json.Unmarshal(w.ask(ctx, "answer to POST /v1/acl/token/onetime", http.MethodPost, w.Servers[0].HTTP+"/v1/acl/token/onetime", "", header), &once))
	w.plant("one-time token", []byte(once.OneTimeToken.OneTimeSecretID))
	w.vars["once"] = once.OneTimeToken.OneTimeSecretID
	for _, place := range []string{"answer to exchange", "answer to a second exchange"} {
		w.ask(ctx, place, http.MethodPost, w.Servers[1].HTTP+"/v1/acl/token/onetime/exchange", `{"OneTimeSecretID":"`+w.vars["once"]+`"}`, nil)
	}
	w.vars["intro"] = strings.TrimSpace(w.mustRun(w.t, ctx, "node intro create -node-name node-1 -t {{.JWT}}"))
	w.plant("introduction", []byte(w.vars["intro"]))
	w.plant("introduction's signature", []byte(w.vars["intro"][strings.LastIndex(w.vars["intro"], ".")+1:]))
}

// startNode starts a node whose secret is known, and one that shows an introduction which is not good.
func (w *secretsWorld) startNode(ctx context.Context) {
	more := "log_level = \"trace\"\nenable_debug = true\n"
	for _, name := range []string{"node-1", "node-2"} {
		a, err := w.NewAgent(AgentConfig{Name: name})
		must(w.t, err)
		a.API.Close()
		a.API = w.client(a.HTTP)
		appendConfig(w.t, a.Config, more)
		intro := w.vars["intro"]
		if name == "node-1" {
			w.agent = a
			must(w.t, os.MkdirAll(a.StateDir(), 0o700))
			must(w.t, os.WriteFile(filepath.Join(a.StateDir(), "secret-id"), []byte(w.vars["secret"]), 0o600))
		} else { // another node's, with a signature that is cut
			intro = intro[:len(intro)-3]
		}
		a.Process, err = w.Group.Start(Command{
			Name: name, Path: programs.rollcall, Args: []string{"agent", "-config=" + a.Config}, Env: []string{"ROLLCALL_CLIENT_INTRO_TOKEN=" + intro},
		})
		must(w.t, err)
	}
	n, err := w.agent.WaitReady(ctx, time.Minute, w.Servers[0].API)
	must(w.t, err)
	w.vars["node"], w.vars["agent"] = n.ID, w.agent.HTTP
	w.plantIdentity()
}

// plantIdentity plants the identity that the node has now.
func (w *secretsWorld) plantIdentity() {
	identity, err := w.agent.Identity()
	must(w.t, err)
	w.vars["identity"] = identity
	w.plant("identity", []byte(identity))
	w.plant("identity's signature", []byte(identity[strings.LastIndex(identity, ".")+1:]))
}

// follow follows events and logs until it is stopped.
func (w *secretsWorld) follow(ctx context.Context) (stop func()) {
	s3 := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(http.StatusForbidden) // as the real service does, with all that it was sent
		fmt.Fprintf(rw, "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message><Token-0>%s</Token-0></Error>", r.Header.Get("X-Amz-Security-Token"))
	}))
	w.vars["s3"] = s3.URL
	w.runner.env = append(w.runner.env, "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY="+w.vars["s3secret"], "AWS_SESSION_TOKEN="+w.vars["s3session"])
	var following []*Process
	for i, line := range []string{
		"event stream", "event stream -json", "monitor -log-level trace", "monitor -log-level trace -json -server-id leader",
		"monitor -log-level trace -node-id " + w.vars["node"],
	} {
		p, err := w.Group.Start(Command{Name: fmt.Sprintf("follow-%d", i), Path: programs.rollcall, Args: strings.Fields(line), Env: w.runner.env})
		must(w.t, err)
		following = append(following, p)
	}
	return func() {
		for _, p := range following {
			if !p.Running() {
				w.t.Errorf("%s has ended: %s", p.name, p.Tail(5))
				continue
			}
			must(w.t, p.Signal(syscall.SIGINT))
			_, err := exitIn(ctx, p, commandLimit)
			must(w.t, err)
		}
		s3.Close()
	}
}

// ask makes a request and notes the whole answer at the place.
func (w *secretsWorld) ask(ctx context.Context, place, method, url, body string, header map[string]string) []byte {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	must(w.t, err)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.note(place, []byte(err.Error()))
		return nil
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	w.note(place, fmt.Appendf(nil, "%s %v %v", res.Status, res.Header, err))
	w.note(place, answer)
	return answer
}

// breakTheKeyService takes the token away by which root keys are wrapped.
func (w *secretsWorld) breakTheKeyService(ctx context.Context) {
	w.kms.Seal()
	for _, line := range []string{"operator root keyring rotate", "operator root keyring status", "operator root keyring rewrap -timeout 3s"} {
		_, _ = w.run(ctx, line) // fails
	}
	w.kms.Unseal()
	w.kms.Close()
	_, _ = w.run(ctx, "operator root keyring rotate -full")
}

// noteCommandLines notes the command lines of all that runs, and of what that has started.
func (w *secretsWorld) noteCommandLines() {
	w.Group.mu.Lock()
	defer w.Group.mu.Unlock()
	for _, p := range w.Group.processes {
		if !p.Running() {
			continue
		}
		pids := []string{fmt.Sprint(p.PID())}
		for len(pids) > 0 {
			pid := pids[0]
			line, err := os.ReadFile("/proc/" + pid + "/cmdline")
			must(w.t, err)
			w.note("command line of "+p.name, line)
			children, err := filepath.Glob("/proc/" + pid + "/task/*/children")
			must(w.t, err)
			pids = pids[1:]
			for _, path := range children {
				list, _ := os.ReadFile(path) // the thread may have ended
				pids = append(pids, strings.Fields(string(list))...)
			}
		}
	}
}

// quit has every agent write what its goroutines do, and end.
func (w *secretsWorld) quit(ctx context.Context) {
	w.plantIdentity()
	processes := []*Process{w.agent.Process}
	for _, s := range w.Servers {
		processes = append(processes, s.Process)
	}
	for _, p := range processes {
		must(w.t, p.Signal(syscall.SIGQUIT))
		_, err := exitIn(ctx, p, commandLimit)
		must(w.t, err)
		if !strings.Contains(p.Log(), "goroutine 1 ") {
			w.t.Errorf("%s has not written its goroutines", p.name)
		}
	}
}

// noteResults notes the files that were written.
func (w *secretsWorld) noteResults() {
	dir := w.vars["dir"]
	w.noteFiles(w.t, "logs", w.Group.logDir)
	w.noteFiles(w.t, "data of node-1", w.agent.Dir)
	for _, name := range []string{"server-1", "server-2", "server-3"} {
		w.noteFiles(w.t, "data of "+name, filepath.Join(dir, name, "server"))
	}
	for _, name := range []string{"first.snap", "saved.snap", "converted.snap", "redacted.snap", "debug.tar.gz"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		must(w.t, err)
		w.note("file "+name, text)
	}
	w.noteFiles(w.t, "backups", filepath.Join(dir, "backups"))
}
