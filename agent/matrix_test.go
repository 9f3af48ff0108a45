package agent

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/httpapi"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// matrixRequest is one request of a route. Nothing that a caller may do with it changes what another is answered.
type matrixRequest struct {
	route  string // as docs/acl.md has it
	path   string // "" if the pattern is a path; with it, a query that tells two requests of a route apart
	body   string
	stream bool // the answer has no end: its first line is enough
	undo   func(f *fleet)
}

// fill puts in what the pattern's parts stand for.
func (q *matrixRequest) fill(f *fleet) (method, target, body string) {
	method, target, _ = strings.Cut(q.route, " ")
	if q.path != "" {
		target = q.path
	}
	names := strings.NewReplacer(
		"{node}", f.nodes[0].ID, "{reader}", f.accessors["read-only"], "{spare}", f.spareToken, "{role}", f.role, "{nobody}", nobody, "{rpc}", f.rpc[f.leader])
	return method, names.Replace(target), names.Replace(q.body)
}

// nobody is the ID of nothing.
const nobody = "00000000-0000-4000-8000-00000000dead"

// matrixRequests has at least one request for every route.
var matrixRequests = slices.Concat(nodeRequests, operatorRequests, agentRequests, aclRequests, otherRequests)

var nodeRequests = []matrixRequest{
	{route: "GET /v1/nodes"},
	{route: "GET /v1/node/{id}", path: "/v1/node/{node}"},
	{route: "GET /v1/node/{id}/allocations", path: "/v1/node/{node}/allocations"},
	{route: "PUT /v1/node/{id}/drain", path: "/v1/node/{node}/drain", body: `{"DrainSpec":null,"MarkEligible":true}`},
	{route: "PUT /v1/node/{id}/eligibility", path: "/v1/node/{node}/eligibility", body: `{"Eligibility":"eligible"}`},
	{route: "PUT /v1/node/{id}/evaluate", path: "/v1/node/{node}/evaluate"},
	{route: "PUT /v1/node/{id}/purge", path: "/v1/node/{node}/purge", undo: func(f *fleet) { f.register(f.nodes[0]) }},
	{route: "GET /v1/node/pools"},
	{route: "PUT /v1/node/pools", body: `{"Name":"edge-1"}`},
	{route: "GET /v1/node/pool/{name}", path: "/v1/node/pool/default"},
	{route: "GET /v1/node/pool/{name}", path: "/v1/node/pool/edge-1"},
	{route: "PUT /v1/node/pool/{name}", path: "/v1/node/pool/edge-1", body: `{"Name":"edge-1"}`},
	{route: "PUT /v1/node/pool/{name}", path: "/v1/node/pool/core", body: `{"Name":"core"}`},
	{route: "DELETE /v1/node/pool/{name}", path: "/v1/node/pool/edge-1", undo: func(f *fleet) { f.pool("edge-1") }},
	{route: "DELETE /v1/node/pool/{name}", path: "/v1/node/pool/core", undo: func(f *fleet) { f.pool("core") }},
	{route: "GET /v1/node/pool/{name}/nodes", path: "/v1/node/pool/default/nodes"},
	{route: "GET /v1/node/pool/{name}/jobs", path: "/v1/node/pool/default/jobs"},
	{route: "GET /v1/client/identity", path: "/v1/client/identity?node_id={node}"},
	{route: "GET /v1/client/identity", path: "/v1/client/identity"},
	{route: "PUT /v1/client/identity/renew", path: "/v1/client/identity/renew?node_id={node}"},
	{route: "PUT /v1/client/identity/renew", path: "/v1/client/identity/renew"},
	{route: "GET /v1/client/metadata", path: "/v1/client/metadata?node_id={node}"},
	{route: "GET /v1/client/metadata", path: "/v1/client/metadata"},
	{route: "PUT /v1/client/metadata", path: "/v1/client/metadata?node_id={node}", body: `{"Meta":{"a":"b"}}`},
	{route: "PUT /v1/client/metadata", path: "/v1/client/metadata", body: `{"Meta":{"a":"b"}}`},
	{route: "GET /v1/client/stats", path: "/v1/client/stats?node_id={node}"},
	{route: "GET /v1/client/stats", path: "/v1/client/stats"},
	{route: "GET /v1/client/gc", path: "/v1/client/gc?node_id={node}"},
	{route: "GET /v1/client/gc", path: "/v1/client/gc"},
}

var operatorRequests = []matrixRequest{
	{route: "PUT /v1/acl/identity/client-introduction-token", body: `{}`},
	{route: "GET /v1/operator/keyring/keys"},
	{route: "PUT /v1/operator/keyring/rotate"},
	{route: "DELETE /v1/operator/keyring/key/{id}", path: "/v1/operator/keyring/key/{nobody}"},
	{route: "GET /v1/operator/keyring/status"},
	{route: "PUT /v1/operator/keyring/rewrap"},
	{route: "GET /v1/operator/raft/configuration"},
	{route: "DELETE /v1/operator/raft/peer", path: "/v1/operator/raft/peer?id={nobody}"},
	{route: "PUT /v1/operator/raft/transfer-leadership", path: "/v1/operator/raft/transfer-leadership?id={nobody}"},
	{route: "GET /v1/operator/autopilot/configuration"},
	{route: "PUT /v1/operator/autopilot/configuration", body: `{"LastContactThreshold":"10s","ServerStabilizationTime":"10s"}`},
	{route: "GET /v1/operator/autopilot/health"},
	{route: "GET /v1/operator/scheduler/configuration"},
	{route: "PUT /v1/operator/scheduler/configuration", body: `{}`},
	{route: "GET /v1/operator/digest"},
	{route: "GET /v1/operator/digest", path: "/v1/operator/digest?server_id=leader"},
	{route: "GET /v1/operator/license"},
	{route: "PUT /v1/operator/license"},
	{route: "PUT /v1/operator/utilization"},
	{route: "GET /v1/operator/snapshot"},
	{route: "PUT /v1/operator/snapshot", body: "no archive"},
	{route: "PUT /v1/system/reconcile/summaries"},
	{route: "PUT /v1/system/gc"}, // it removes the token that has ended, and so comes last
}

var agentRequests = []matrixRequest{
	{route: "GET /v1/status/leader"},
	{route: "GET /v1/status/peers"},
	{route: "GET /v1/regions"},
	{route: "GET /v1/agent/self"},
	{route: "GET /v1/agent/self", path: "/v1/agent/self?server_id=leader"},
	{route: "GET /v1/agent/self", path: "/v1/agent/self?node_id={node}"},
	{route: "GET /v1/agent/host", path: "/v1/agent/host?server_id=leader"},
	{route: "GET /v1/agent/host", path: "/v1/agent/host"},
	{route: "GET /v1/agent/pprof/{kind}", path: "/v1/agent/pprof/goroutine?server_id=leader"},
	{route: "GET /v1/agent/pprof/{kind}", path: "/v1/agent/pprof/goroutine"},
	{route: "GET /v1/agent/schedulers"},
	{route: "GET /v1/agent/schedulers/config"},
	{route: "PUT /v1/agent/schedulers/config", body: `{"num_schedulers":1,"enabled_schedulers":["_core"]}`},
	{route: "GET /v1/agent/members"},
	{route: "GET /v1/agent/health"},
	{route: "PUT /v1/agent/reload"},
	{route: "PUT /v1/agent/join", path: "/v1/agent/join?address=127.0.0.1:1"},
	{route: "PUT /v1/agent/force-leave", path: "/v1/agent/force-leave?node=nobody.global"},
	{route: "GET /v1/agent/keyring/list"},
	{route: "PUT /v1/agent/keyring/install", body: `{"Key":"no key"}`},
	{route: "PUT /v1/agent/keyring/use", body: `{"Key":"no key"}`},
	{route: "PUT /v1/agent/keyring/remove", body: `{"Key":"no key"}`},
	{route: "GET /v1/agent/servers"},
	{route: "PUT /v1/agent/servers", path: "/v1/agent/servers?address={rpc}"},
	{route: "GET /v1/agent/monitor", path: "/v1/agent/monitor?server_id=leader", stream: true},
	{route: "GET /v1/agent/monitor", path: "/v1/agent/monitor", stream: true},
	{route: "GET /v1/agent/monitor", path: "/v1/agent/monitor?node_id={node}", stream: true},
	{route: "GET /v1/agent/monitor/export"},
	{route: "GET /v1/metrics"},
	{route: "GET /v1/metrics", path: "/v1/metrics?server_id=leader"},
	{route: "GET /v1/metrics", path: "/v1/metrics?node_id={node}"},
	{route: "GET /v1/event/stream", path: "/v1/event/stream", stream: true},
	{route: "GET /v1/event/stream", path: "/v1/event/stream?topic=Node", stream: true},
	{route: "GET /v1/event/stream", path: "/v1/event/stream?topic=Identity", stream: true},
	{route: "GET /v1/event/stream", path: "/v1/event/stream?topic=NodePool", stream: true},
	{route: "GET /v1/event/stream", path: "/v1/event/stream?topic=Keyring", stream: true},
	{route: "GET /v1/event/stream", path: "/v1/event/stream?topic=ACLToken", stream: true},
	{route: "GET /v1/event/stream", path: "/v1/event/stream?topic=ACLPolicy", stream: true},
	{route: "GET /v1/event/stream", path: "/v1/event/stream?topic=ACLRole", stream: true},
}

var aclRequests = []matrixRequest{
	{route: "PUT /v1/acl/bootstrap"},
	{route: "GET /v1/acl/tokens"},
	{route: "PUT /v1/acl/token", body: `{"Name":"new","Type":"client","Policies":["read"]}`},
	{route: "GET /v1/acl/token/self"},
	{route: "PUT /v1/acl/token/onetime"},
	{route: "PUT /v1/acl/token/onetime/exchange", body: `{"OneTimeSecretID":"{nobody}"}`},
	{route: "GET /v1/acl/token/{accessor}", path: "/v1/acl/token/{reader}"},
	{route: "PUT /v1/acl/token/{accessor}", path: "/v1/acl/token/{spare}", body: `{"AccessorID":"{spare}","Name":"spare","Type":"client","Policies":["read"]}`},
	{route: "DELETE /v1/acl/token/{accessor}", path: "/v1/acl/token/{nobody}"},
	{route: "GET /v1/acl/policies"},
	{route: "GET /v1/acl/policy/self"},
	{route: "GET /v1/acl/policy/{name}", path: "/v1/acl/policy/read"},
	{route: "PUT /v1/acl/policy/{name}", path: "/v1/acl/policy/spare", body: `{"Name":"spare","Rules":"node { policy = \"read\" }"}`},
	{route: "DELETE /v1/acl/policy/{name}", path: "/v1/acl/policy/spare", undo: func(f *fleet) { f.policy("spare", `node { policy = "read" }`) }},
	{route: "GET /v1/acl/roles"},
	{route: "PUT /v1/acl/role", body: `{"Name":"viewer","Policies":[{"Name":"read"}]}`},
	{route: "GET /v1/acl/role/{id}", path: "/v1/acl/role/{role}"},
	{route: "PUT /v1/acl/role/{id}", path: "/v1/acl/role/{role}", body: `{"ID":"{role}","Name":"viewer","Policies":[{"Name":"read"}]}`},
	{route: "DELETE /v1/acl/role/{id}", path: "/v1/acl/role/{nobody}"},
	{route: "GET /v1/acl/role/name/{name}", path: "/v1/acl/role/name/viewer"},
	{route: "GET /v1/acl/auth-methods"},
	{route: "GET /v1/acl/binding-rules"},
	{route: "PUT /v1/acl/auth-method"},
	{route: "PUT /v1/acl/binding-rule"},
	{route: "PUT /v1/acl/oidc/auth-url"},
	{route: "PUT /v1/acl/oidc/complete-auth"},
	{route: "PUT /v1/acl/login"},
}

var otherRequests = []matrixRequest{
	{route: "PUT /v1/search", body: `{"Prefix":"a","Context":"nodes"}`},
	{route: "PUT /v1/search/fuzzy", body: `{"Text":"node","Context":"nodes"}`},
	{route: "GET /v1/namespaces"},
	{route: "GET /v1/namespace/{name}", path: "/v1/namespace/default"},
	{route: "GET /v1/jobs"},
	{route: "GET /v1/job/{id}", path: "/v1/job/web"},
	{route: "GET /v1/allocations"},
	{route: "GET /v1/allocation/{id}", path: "/v1/allocation/{nobody}"},
	{route: "GET /v1/evaluations"},
	{route: "GET /v1/evaluation/{id}", path: "/v1/evaluation/{nobody}"},
	{route: "GET /v1/deployments"},
	{route: "GET /v1/deployment/{id}", path: "/v1/deployment/{nobody}"},
	{route: "GET /v1/services"},
	{route: "GET /v1/volumes"},
	{route: "GET /v1/plugins"},
	{route: "GET /v1/vars"},
	{route: "GET /v1/scaling/policies"},
	{route: "GET /.well-known/jwks.json"},
	{route: "GET /.well-known/openid-configuration"},
}

// varying is what differs from run to run in an answer.
var varying = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|127\.0\.0\.1:[0-9]{2,}|index: [0-9]+`)

// answer sends a request and says in a line what came of it.
func (f *fleet) answer(q *matrixRequest, at string, c *fleetCredential) string {
	f.t.Helper()
	method, target, body := q.fill(f)
	req, err := http.NewRequestWithContext(f.t.Context(), method, "https://"+at+target, strings.NewReader(body))
	if err != nil {
		f.t.Error(err)
		return err.Error()
	}
	for name, value := range c.headers {
		req.Header.Set(name, value)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		f.t.Errorf("%s by %s: %v", q.route, c.name, err)
		return err.Error()
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK && q.stream {
		if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
			f.t.Errorf("%s by %s: no first byte: %v", q.route, c.name, err)
		}
		return "200"
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Errorf("%s by %s: %v", q.route, c.name, err)
		return err.Error()
	}
	if c.secret != "" && strings.Contains(string(text), c.secret) && q.route != "GET /v1/acl/token/self" {
		f.t.Errorf("%s by %s: the credential is in the answer", q.route, c.name)
	}
	if resp.StatusCode == http.StatusOK {
		if q.undo != nil {
			q.undo(f)
		}
		return "200"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, varying.ReplaceAllString(line, "~")))
}

// answersInTheBackground asks with a credential that servers think about for a second, since its key may be on the way: the
// answers of the leader and of the follower to each of the requests.
func (f *fleet) answersInTheBackground(requests []matrixRequest, credential string) []chan [2]string {
	at := slices.IndexFunc(f.credentials, func(c *fleetCredential) bool { return c.name == credential })
	room := make(chan struct{}, 32)
	out := make([]chan [2]string, len(requests))
	for i := range requests {
		out[i] = make(chan [2]string, 1)
		go func() {
			room <- struct{}{}
			defer func() { <-room }()
			out[i] <- [2]string{f.answer(&requests[i], f.leader, f.credentials[at]), f.answer(&requests[i], f.follower, f.credentials[at])}
		}()
	}
	return out
}

// writeAnswers writes what each of the credentials is answered, those with the same answer in one line.
func writeAnswers(b *strings.Builder, names []string, answers map[string]string) {
	var seen []string
	for _, n := range names {
		if !slices.Contains(seen, answers[n]) {
			seen = append(seen, answers[n])
		}
	}
	for _, a := range seen {
		var by []string
		for _, n := range names {
			if answers[n] == a {
				by = append(by, n)
			}
		}
		who := strings.Join(by, ", ")
		switch {
		case len(by) == len(names):
			who = "everybody"
		case len(by) > len(names)/2 && a == "403 Permission denied":
			who = "everybody else"
		}
		fmt.Fprintf(b, "  %-s: %s\n", a, who)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; look at it and run with -update (-want +got):\n%s", path, diff)
	}
}

// TestWhoMayUseWhichRoute sends a request of every route with every credential to the leader and to a follower, over HTTPS,
// and compares the answers with testdata/routes.golden. The answers are those of the running agents: the access tables,
// which docs/acl.md repeats, are not looked at.
func TestWhoMayUseWhichRoute(t *testing.T) {
	f := newACLFleet(t)
	missing := map[string]bool{}
	for _, r := range httpapi.Routes() {
		missing[r.Method+" "+r.Pattern] = true
	}
	for _, q := range matrixRequests {
		delete(missing, q.route)
	}
	for route := range missing {
		t.Errorf("there is no request for %s", route)
	}
	var b strings.Builder
	b.WriteString("# What each route answers to each credential with ACLs on, over HTTPS. Requests are about node 1, whose credentials are\n" +
		"# \"own\"; the leader is an agent with a node of its own, which is meant where a request names none. Where a follower answers\n" +
		"# something else, that stands below. ~ is what differs from run to run. The credentials:\n")
	requests := slices.Clone(matrixRequests)
	slices.SortStableFunc(requests, func(x, y matrixRequest) int {
		return strings.Compare(fmt.Sprint(x.route == "PUT /v1/system/gc"), fmt.Sprint(y.route == "PUT /v1/system/gc"))
	})
	var names []string
	for _, c := range f.credentials {
		names = append(names, c.name)
		fmt.Fprintf(&b, "# - %s\n", c.name)
	}
	late := f.answersInTheBackground(requests, "removed key")
	for i := range requests {
		q := &requests[i]
		leader, follower := map[string]string{}, map[string]string{}
		for _, c := range f.credentials {
			if c.name != "removed key" {
				leader[c.name], follower[c.name] = f.answer(q, f.leader, c), f.answer(q, f.follower, c)
			}
		}
		answers := <-late[i]
		leader["removed key"], follower["removed key"] = answers[0], answers[1]
		method, _, _ := strings.Cut(q.route, " ")
		title := q.route
		if q.path != "" {
			title = method + " " + q.path
		}
		writeBoth(&b, title, names, leader, follower)
	}
	golden(t, "routes.golden", b.String())
}
