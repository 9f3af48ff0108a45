package api

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rollcall-id/rollcall/structs"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// seen is a request as the server got it.
type seen struct {
	Line, Body, Token string
}

// serve answers every request with body and remembers the last one.
func serve(t *testing.T, code int, body string, headers ...string) (*Client, *seen) {
	t.Helper()
	got := &seen{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*got = seen{Line: r.Method + " " + r.URL.RequestURI(), Body: string(b), Token: r.Header.Get("X-Nomad-Token")}
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return newClient(t, Config{Address: srv.URL}), got
}

func newClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestEveryMethodSendsItsRequest(t *testing.T) {
	ctx := t.Context()
	for _, tc := range []struct {
		name, answer string
		call         func(*Client) (any, error)
		line, body   string
		want         any
	}{
		{
			"nodes", `[{"ID":"a","Name":"n"}]`,
			func(c *Client) (any, error) {
				r, err := c.Nodes(ctx, &QueryOptions{Prefix: "a", OS: true})
				return r.Value, err
			},
			"GET /v1/nodes?os=true&prefix=a", "", []*structs.NodeListStub{{ID: "a", Name: "n"}},
		},
		{
			"node", `{"ID":"a/b","Drain":true}`,
			func(c *Client) (any, error) { r, err := c.Node(ctx, "a/b", nil); return r.Value, err },
			"GET /v1/node/a%2Fb", "", &structs.Node{ID: "a/b"},
		},
		{
			"drain", `{"NodeModifyIndex":3,"Index":3}`,
			func(c *Client) (any, error) {
				return c.DrainNode(ctx, "a", DrainOptions{Spec: &structs.DrainSpec{Deadline: time.Second}}, &WriteOptions{Region: "eu"})
			},
			"PUT /v1/node/a/drain?region=eu", `{"NodeID":"a","DrainSpec":{"Deadline":1000000000,"IgnoreSystemJobs":false},"MarkEligible":false,"Meta":null}`,
			&structs.NodeChangeResponse{NodeModifyIndex: 3, WriteMeta: structs.WriteMeta{Index: 3}},
		},
		{
			"eligibility", `{}`,
			func(c *Client) (any, error) { return c.SetNodeEligibility(ctx, "a", structs.NodeIneligible, nil) },
			"PUT /v1/node/a/eligibility", `{"NodeID":"a","Eligibility":"ineligible"}`, &structs.NodeChangeResponse{},
		},
		{
			"purge", `{"NodeModifyIndex":3}`, func(c *Client) (any, error) { return c.PurgeNode(ctx, "a", nil) },
			"PUT /v1/node/a/purge", "", &structs.NodeUpdateResponse{NodeModifyIndex: 3},
		},
		{
			"claims", `{"Claims":{"aud":"x"}}`, func(c *Client) (any, error) { return c.NodeIdentity(ctx, "a", nil) },
			"GET /v1/client/identity?node_id=a", "", map[string]any{"aud": "x"},
		},
		{
			"renewal", `{}`, func(c *Client) (any, error) { return nil, c.RenewNodeIdentity(ctx, "a", nil) },
			"POST /v1/client/identity/renew", `{"NodeID":"a"}`, nil,
		},
		{
			"pools", `[{"Name":"edge","NodeIdentityTTL":1000000000}]`,
			func(c *Client) (any, error) { r, err := c.NodePools(ctx, nil); return r.Value, err },
			"GET /v1/node/pools", "", []*structs.NodePool{{Name: "edge", NodeIdentityTTL: time.Second}},
		},
		{
			"pool", `{"Name":"edge"}`, func(c *Client) (any, error) { r, err := c.NodePool(ctx, "edge", nil); return r.Value, err },
			"GET /v1/node/pool/edge", "", &structs.NodePool{Name: "edge"},
		},
		{
			"a pool's nodes", `[]`, func(c *Client) (any, error) { r, err := c.NodePoolNodes(ctx, "edge", nil); return r.Value, err },
			"GET /v1/node/pool/edge/nodes", "", []*structs.NodeListStub{},
		},
		{
			"pool written", "", func(c *Client) (any, error) {
				return nil, c.ApplyNodePool(ctx, &structs.NodePool{Name: "edge", NodeIdentityTTL: time.Second}, &WriteOptions{IdempotencyToken: "once"})
			},
			"PUT /v1/node/pools?idempotency_token=once",
			`{"Name":"edge","Description":"","Meta":null,"SchedulerConfiguration":null,"NodeIdentityTTL":1000000000,"Hash":null,"CreateIndex":0,"ModifyIndex":0}`, nil,
		},
		{"pool deleted", "", func(c *Client) (any, error) { return nil, c.DeleteNodePool(ctx, "edge", nil) }, "DELETE /v1/node/pool/edge", "", nil},
		{
			"keys", `[{"KeyID":"k"}]`, func(c *Client) (any, error) { r, err := c.Keys(ctx, nil); return r.Value, err },
			"GET /v1/operator/keyring/keys", "", []*structs.RootKeyMeta{{KeyID: "k"}},
		},
		{
			"rotation", `{"Key":{"KeyID":"k"},"Index":3}`, func(c *Client) (any, error) {
				return c.RotateKey(ctx, RotateOptions{PublishTime: time.Unix(0, 77)}, nil)
			},
			"PUT /v1/operator/keyring/rotate?publish_time=77", "", &structs.RootKeyMeta{KeyID: "k"},
		},
		{
			"full rotation", `{"Key":{"KeyID":"k"}}`, func(c *Client) (any, error) { return c.RotateKey(ctx, RotateOptions{Full: true}, nil) },
			"PUT /v1/operator/keyring/rotate?full=true", "", &structs.RootKeyMeta{KeyID: "k"},
		},
		{
			"key removed", `{"Index":3}`, func(c *Client) (any, error) { return nil, c.DeleteKey(ctx, "k", WithForce, nil) },
			"DELETE /v1/operator/keyring/key/k?force=true", "", nil,
		},
		{
			"Raft configuration", `{"Servers":[{"ID":"a"}],"Index":3}`, func(c *Client) (any, error) {
				return c.RaftConfiguration(ctx, &QueryOptions{AllowStale: true})
			},
			"GET /v1/operator/raft/configuration?stale=true", "", &structs.RaftConfigurationResponse{Servers: []*structs.RaftServer{{ID: "a"}}, Index: 3},
		},
		{"peer removed", "", func(c *Client) (any, error) { return nil, c.RemoveRaftPeer(ctx, "a", nil) }, "DELETE /v1/operator/raft/peer?id=a", "", nil},
		{
			"leadership", `{"From":{"ID":"a"},"To":{"ID":"b"},"Err":null}`, func(c *Client) (any, error) {
				return c.TransferLeadership(ctx, structs.RaftIDAddress{ID: "b"}, nil)
			},
			"PUT /v1/operator/raft/transfer-leadership?id=b", "", &LeadershipTransfer{From: structs.RaftIDAddress{ID: "a"}, To: structs.RaftIDAddress{ID: "b"}},
		},
		{
			"autopilot", `{"LastContactThreshold":"1s"}`, func(c *Client) (any, error) { return c.AutopilotConfiguration(ctx, nil) },
			"GET /v1/operator/autopilot/configuration", "", &structs.AutopilotConfig{LastContactThreshold: time.Second},
		},
		{
			"autopilot written", `true`, func(c *Client) (any, error) {
				return c.SetAutopilotConfiguration(ctx, &structs.AutopilotConfig{ModifyIndex: 4}, nil)
			},
			"PUT /v1/operator/autopilot/configuration?cas=4",
			`{"CleanupDeadServers":false,"LastContactThreshold":"0s","MaxTrailingLogs":0,"MinQuorum":0,"ServerStabilizationTime":"0s",` +
				`"EnableRedundancyZones":false,"DisableUpgradeMigration":false,"EnableCustomUpgrades":false,"CreateIndex":0,"ModifyIndex":4}`, true,
		},
		{
			"members", `{"ServerName":"s","Members":[{"Name":"s.global","Addr":"127.0.0.1"}]}`, func(c *Client) (any, error) { return c.Members(ctx, nil) },
			"GET /v1/agent/members", "", &structs.ServerMembersResponse{ServerName: "s", Members: []*structs.ServerMember{{Name: "s.global", Addr: net.ParseIP("127.0.0.1")}}},
		},
		{
			"self", `{"stats":{"client":{"node_id":"a"}}}`, func(c *Client) (any, error) {
				s, err := c.Self(ctx)
				if err != nil {
					return nil, err
				}
				return s.NodeID()
			}, "GET /v1/agent/self", "", "a",
		},
		{
			"join", `{"num_joined":2}`, func(c *Client) (any, error) { return c.Join(ctx, []string{"a:1", "b"}) },
			"PUT /v1/agent/join?address=a%3A1&address=b", "", 2,
		},
		{"force-leave", "", func(c *Client) (any, error) { return nil, c.ForceLeave(ctx, "s", Prune) }, "PUT /v1/agent/force-leave?node=s&prune=true", "", nil},
		{"leader", `"a:1"`, func(c *Client) (any, error) { return c.Leader(ctx, "eu") }, "GET /v1/status/leader?region=eu", "", "a:1"},
		{"peers", `["a:1"]`, func(c *Client) (any, error) { return c.Peers(ctx) }, "GET /v1/status/peers", "", []string{"a:1"}},
		{"gc", "", func(c *Client) (any, error) { return nil, c.CollectGarbage(ctx, nil) }, "PUT /v1/system/gc", "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, got := serve(t, 200, tc.answer)
			v, err := tc.call(c)
			if err != nil {
				t.Fatal(err)
			}
			if got.Line != tc.line || got.Body != tc.body {
				t.Errorf("sent %s %s\nwant %s %s", got.Line, got.Body, tc.line, tc.body)
			}
			if diff := cmp.Diff(tc.want, v); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOptionsBecomeParameters(t *testing.T) {
	c, got := serve(t, 200, "[]", "X-Nomad-Index: 9", "X-Nomad-LastContact: 1500", "X-Nomad-KnownLeader: true", "X-Nomad-NextToken: t")
	c.cfg.Region, c.cfg.Namespace, c.cfg.Token = "eu", "ns", "tok"
	res, err := c.Nodes(t.Context(), &QueryOptions{
		AllowStale: true, WaitIndex: 7, WaitTime: 5 * time.Second, Filter: `Name == "x"`, PerPage: 3, NextToken: "n", Reverse: true, Resources: true, Namespace: "*",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "GET /v1/nodes?filter=Name+%3D%3D+%22x%22&index=7&namespace=%2A&next_token=n&per_page=3&region=eu&resources=true&reverse=true&stale=true&wait=5s"
	if got.Line != want || got.Token != "tok" {
		t.Errorf("sent %s with token %q, want %s", got.Line, got.Token, want)
	}
	if diff := cmp.Diff(QueryMeta{Index: 9, LastContact: 1500 * time.Millisecond, KnownLeader: true, NextToken: "t"}, res.Meta); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name string
		code int
		body string
		is   error
		text string
	}{
		{"not found", 404, "node not found", structs.ErrNodeNotFound, "server answered 404: node not found"},
		{"denied", 403, "Permission denied", structs.ErrPermissionDenied, "server answered 403: Permission denied"},
		{"no leader", 500, "rpc error: No cluster leader", structs.ErrNoLeader, "server answered 500: rpc error: No cluster leader"},
		{"an empty body", 404, "", nil, "server answered 404 Not Found"},
		{"an endless body", 500, strings.Repeat("x", 2*maxError), nil, "server answered 500: " + strings.Repeat("x", maxError)},
		{"no content is no answer", 204, "", nil, "server answered 204 No Content"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, _ := serve(t, tc.code, tc.body)
			_, err := c.Node(t.Context(), "a", nil)
			var status *StatusError
			if !errors.As(err, &status) || status.Code != tc.code || err.Error() != tc.text {
				t.Errorf("got %v, want %s", err, tc.text)
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v is not %v", err, tc.is)
			}
		})
	}
}

func TestAnUnhealthyReportIsAnAnswer(t *testing.T) {
	c, _ := serve(t, 429, `{"Healthy":false,"Leader":"a"}`)
	h, err := c.ServerHealth(t.Context(), nil)
	if err != nil || h.Healthy || h.Leader != "a" {
		t.Errorf("got %+v, %v", h, err)
	}
	if _, err := c.Peers(t.Context()); err == nil {
		t.Error("429 is an answer elsewhere too")
	}
}

func TestJoinReportsWhatWentWrong(t *testing.T) {
	c, _ := serve(t, 200, `{"num_joined":1,"error":"b: refused"}`)
	n, err := c.Join(t.Context(), []string{"a", "b"})
	if n != 1 || err == nil || !strings.Contains(err.Error(), "b: refused") {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestAnAgentWithoutClientIsNoNode(t *testing.T) {
	if id, err := (&AgentSelf{}).NodeID(); err == nil {
		t.Errorf("got %q", id)
	}
}

func TestAnswersThatAreNotJSON(t *testing.T) {
	c, _ := serve(t, 200, "<html>")
	if _, err := c.Peers(t.Context()); err == nil || !strings.Contains(err.Error(), "GET /v1/status/peers") {
		t.Errorf("got %v", err)
	}
	other, _ := serve(t, 200, `{"a":1}`)
	if _, err := other.Peers(t.Context()); err == nil {
		t.Error("an object was taken for a list")
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	c, got := serve(t, 307, "", "Location: http://127.0.0.1:1/steal")
	c.cfg.Token = "tok"
	_, err := c.Peers(t.Context())
	var status *StatusError
	if !errors.As(err, &status) || status.Code != 307 || got.Line != "GET /v1/status/peers" {
		t.Errorf("got %v after %s", err, got.Line)
	}
}

func TestCallsEnd(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer srv.Close()
	defer close(release)
	c := newClient(t, Config{Address: srv.URL, Timeout: 20 * time.Millisecond})
	if _, err := c.Peers(t.Context()); err == nil || !strings.Contains(err.Error(), "no answer from "+srv.URL+" in time") {
		t.Errorf("after the timeout: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Peers(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancelling: %v", err)
	}
}

func TestPatienceFollowsTheWait(t *testing.T) {
	c := newClient(t, Config{Timeout: time.Second})
	for want, q := range map[time.Duration]*QueryOptions{
		time.Second:                           {WaitTime: time.Hour},
		17*time.Second + time.Second:          {WaitIndex: 1, WaitTime: 16 * time.Second},
		318750*time.Millisecond + time.Second: {WaitIndex: 1, WaitTime: time.Hour},
	} {
		if got := c.patience(c.queryParams(q)); got != want {
			t.Errorf("%+v: %s, want %s", q, got, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"": "http://127.0.0.1:4646", "10.0.0.1:4646": "http://10.0.0.1:4646", "https://a:1/": "https://a:1", "unix:///run/a.sock": "http://localhost",
	} {
		if c := newClient(t, Config{Address: address}); c.base.String() != want {
			t.Errorf("%q leads to %s, want %s", address, c.base.String(), want)
		}
	}
	for address, text := range map[string]string{
		"ftp://a": "want http, https or unix", "http://": "names no host", "unix://": "names no socket", "http://u:secret@a": "give a token instead",
		"http://a/v1": "more than scheme, host and port", "http://a?b=c": "more than scheme, host and port", "http://[::1": "is no URL", "http://u:secret@host:bad": "is no URL", "ftp://u:secret@host": "user or password",
	} {
		_, err := New(Config{Address: address})
		if err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", address, err, text)
		}
	}
}

func TestWhatIsGivenAsAnAccessorIsNotInErrors(t *testing.T) {
	c := newClient(t, Config{Address: "http://127.0.0.1:1"}) // nothing listens there
	if _, err := c.ACLToken(t.Context(), "a-secret", nil); err == nil || strings.Contains(err.Error(), "a-secret") || !strings.Contains(err.Error(), "GET /v1/acl/token/{accessor}") {
		t.Errorf("got %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "a.sock")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `["a:1"]`)
	})}}
	srv.Start()
	defer srv.Close()
	if peers, err := newClient(t, Config{Address: "unix://" + sock}).Peers(t.Context()); err != nil || len(peers) != 1 {
		t.Errorf("got %v, %v", peers, err)
	}
}

func TestTLS(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[]`) }))
	defer srv.Close()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	junk := filepath.Join(t.TempDir(), "junk.pem")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []TLSConfig{{CACert: ca}, {CAPath: dir}, {SkipVerify: true}, {CACert: ca, ServerName: "example.com"}} {
		if _, err := newClient(t, Config{Address: srv.URL, TLS: cfg}).Peers(t.Context()); err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	for _, cfg := range []TLSConfig{{}, {CACert: ca, ServerName: "other.example"}} {
		if _, err := newClient(t, Config{Address: srv.URL, TLS: cfg}).Peers(t.Context()); err == nil {
			t.Errorf("%+v: an unknown authority or name was accepted", cfg)
		}
	}
	for _, cfg := range []TLSConfig{{CACert: dir + "/none"}, {CACert: junk}, {CAPath: dir + "/none"}, {ClientCert: ca}, {ClientCert: ca, ClientKey: junk}} {
		if _, err := New(Config{TLS: cfg}); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

func TestConfigFromEnv(t *testing.T) {
	for _, name := range []string{"ADDR", "REGION", "NAMESPACE", "TOKEN", "CACERT", "CAPATH", "CLIENT_CERT", "CLIENT_KEY", "TLS_SERVER_NAME"} {
		t.Setenv("NOMAD_"+name, "old "+name)
	}
	t.Setenv("ROLLCALL_ADDR", "new")
	t.Setenv("ROLLCALL_TOKEN", "")
	t.Setenv("NOMAD_SKIP_VERIFY", "true")
	got, err := ConfigFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Address: "new", Region: "old REGION", Namespace: "old NAMESPACE", TLS: TLSConfig{
		CACert: "old CACERT", CAPath: "old CAPATH", ClientCert: "old CLIENT_CERT", ClientKey: "old CLIENT_KEY",
		ServerName: "old TLS_SERVER_NAME", SkipVerify: true,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	t.Setenv("ROLLCALL_SKIP_VERIFY", "perhaps")
	if _, err := ConfigFromEnv(); err == nil {
		t.Error("a bad SKIP_VERIFY was accepted")
	}
}

func TestTheTokenIsInNoError(t *testing.T) {
	c := newClient(t, Config{Address: "127.0.0.1:1", Token: "marker-token"})
	_, err := c.Peers(t.Context())
	if err == nil {
		t.Fatal("port 1 answered")
	}
	if text, _ := json.Marshal(fmt.Sprintf("%v %+v", err, err)); strings.Contains(string(text), "marker-token") {
		t.Errorf("token in %s", text)
	}
}
