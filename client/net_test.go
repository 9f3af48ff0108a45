package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// listen serves f at a loopback address, which it adds to f's names.
func listen(t *testing.T, f *fakeCluster) (*handler, *transport.Server) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &handler{f: f, addr: ln.Addr().String()}
	s := transport.New(transport.Config{Handler: h})
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	f.do(func() { f.names = append(f.names, h.addr) })
	return h, s
}

// start runs a real node; stop is idempotent.
func start(t *testing.T, cfg Config) (c *Client, stop func()) {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Run(context.Background()) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		if err := c.Shutdown(); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return c, stop
}

func waitReady(t *testing.T, c *Client) {
	t.Helper()
	eventually(t, "node is ready", func() bool { return isReady(c) })
}

func TestNodeOverTheRealTransport(t *testing.T) {
	out := new(logBuffer)
	f := newFakeCluster()
	f.ttl = ttlMin
	h1, s1 := listen(t, f)
	h2, _ := listen(t, f)
	cfg := testConfig(f.names...)
	cfg.StateDir = filepath.Join(t.TempDir(), "data", "client")
	cfg.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: out})
	c, stop := start(t, cfg)
	waitReady(t, c)
	nodeID, first := c.NodeID(), kind(c.cred.token())
	secret := c.cred.secretID

	using, other := h1, h2
	if c.servers.pick() == h2.addr {
		using, other = h2, h1
	}
	eventually(t, "an allocation query waits", func() bool { return len(f.history("Node.GetClientAllocs")) >= 2 })
	if n := len(using.sessions()); n != 1 {
		t.Errorf("the node came by %d sessions, want 1", n)
	}
	if n := len(other.sessions()); n != 0 {
		t.Errorf("the node came by %d sessions to a server it has no need of", n)
	}

	// The server closes: the node goes on with the other one.
	if using == h1 {
		s1.Close()
		waitHeartbeatAt(t, f, h2.addr)
	}

	stop()
	f.do(func() { f.calls = nil })
	again, stop := start(t, cfg)
	waitReady(t, again)
	if again.NodeID() != nodeID || again.cred.secretID != secret {
		t.Error("after a restart the node is another one")
	}
	if got := kinds(f.history("Node.Register")); !slices.Equal(got, []string{first}) {
		t.Errorf("after a restart it registers with %v, want %s", got, first)
	}
	stop()
	for _, s := range []string{secret, signature} {
		if strings.Contains(out.String(), s) {
			t.Errorf("the log contains %q", s)
		}
	}
}

func waitHeartbeatAt(t *testing.T, f *fakeCluster, addr string) {
	t.Helper()
	f.forgetHistory()
	eventually(t, "a heartbeat at "+addr, func() bool {
		return slices.ContainsFunc(f.history("Node.UpdateStatus"), func(s seen) bool { return s.addr == addr })
	})
}

func TestServersReachTheNodeOverItsOwnSession(t *testing.T) {
	f := newFakeCluster()
	f.ttl = time.Hour
	h, _ := listen(t, f)
	cfg := testConfig(h.addr)
	cfg.Dev = true
	c, _ := start(t, cfg)
	waitReady(t, c)

	ask := func(method string, args, reply any) error {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		stream, err := h.sessions()[0].OpenReverse(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		return transport.CallStream(ctx, stream, method, args, reply)
	}
	own := &structs.NodeSpecificRequest{NodeID: c.NodeID()}

	var got structs.NodeIdentityGetResponse
	if err := ask("NodeIdentity.Get", own, &got); err != nil {
		t.Fatal(err)
	}
	exp, isFloat := got.Claims["exp"].(float64)
	if got.Claims["nomad_node_id"] != c.NodeID() || got.Claims["aud"] != structs.IdentityAudience || !isFloat || exp == 0 {
		t.Errorf("claims are %v", got.Claims)
	}
	if err := ask("NodeIdentity.Renew", own, new(structs.Empty)); err != nil {
		t.Fatal(err)
	}
	if _, forced := c.cred.renewal(); !forced {
		t.Error("no renewal is asked for after NodeIdentity.Renew")
	}

	var meta structs.NodeMetaResponse
	apply := &structs.NodeMetaApplyRequest{NodeID: c.NodeID(), Meta: map[string]*string{"disk": new("new")}}
	if err := errors.Join(ask("NodeMeta.Apply", apply, new(structs.NodeMetaResponse)), ask("NodeMeta.Read", own, &meta)); err != nil {
		t.Fatal(err)
	}
	if meta.Meta["disk"] != "new" || *meta.Dynamic["disk"] != "new" || len(meta.Static) != 0 {
		t.Errorf("metadata is %+v", meta)
	}
	var stats structs.ClientStatsResponse
	var host structs.HostStats
	if err := ask("ClientStats.Stats", own, &stats); err != nil {
		t.Fatal(err)
	}
	if err := structs.Decode(stats.HostStats, &host); err != nil || host.Memory.Total == 0 || len(host.CPU) == 0 || host.Uptime == 0 {
		t.Errorf("the machine tells %+v, %v", host, err)
	}

	for _, tc := range []struct {
		method string
		args   any
		want   string
	}{
		{"NodeMeta.Read", &structs.NodeSpecificRequest{NodeID: testNode}, "Unknown node"},
		{"NodeMeta.Apply", &structs.NodeMetaApplyRequest{NodeID: testNode}, "Unknown node"},
		{"NodeMeta.Apply", &structs.NodeMetaApplyRequest{NodeID: c.NodeID()}, "no keys given"},
		{"ClientStats.Stats", &structs.NodeSpecificRequest{NodeID: testNode}, "Unknown node"},
		{"NodeIdentity.Get", &structs.NodeSpecificRequest{NodeID: testNode}, "Unknown node"},
		{"NodeIdentity.Renew", &structs.NodeSpecificRequest{}, "Unknown node"},
		{"NodeIdentity.Get", "not a request", "decode"},
		{"NodeIdentity.Delete", own, "rpc: can't find method NodeIdentity.Delete"},
		{"Allocations.Signal", own, "rpc: can't find service Allocations.Signal"},
		{"NodeIdentity", own, "rpc: service/method request ill-formed: NodeIdentity"},
	} {
		if err := ask(tc.method, tc.args, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want an error that contains %q", tc.method, err, tc.want)
		}
	}
}

func TestReverseGetBeforeTheFirstIdentity(t *testing.T) {
	c := newTestClient(t, newFakeCluster("s1:4647"), new(memStore), nil)
	body, err := structs.EncodeBytes(&structs.NodeSpecificRequest{NodeID: testNode})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (reverse{c}).ServeRPC(t.Context(), nil, "NodeIdentity.Get", body); !errors.Is(err, structs.ErrNoIdentity) {
		t.Errorf("got %v, want %v", err, structs.ErrNoIdentity)
	}
	if err := (reverse{c}).ServeStream(t.Context(), nil, nil, "FileSystem.Logs"); err == nil || err.Error() != `Unknown rpc method: "FileSystem.Logs"` {
		t.Errorf("streaming call: %v", err)
	}
	if err := c.Shutdown(); err != nil {
		t.Error(err)
	}
}

// TestKilledRightAfterAnIdentityArrived copies the state directory at the first moment that the identity is handed on, as a
// crash would leave it, and starts from the copy.
func TestKilledRightAfterAnIdentityArrived(t *testing.T) {
	f := newFakeCluster()
	f.ttl = time.Hour
	h, _ := listen(t, f)
	dir, crashed := t.TempDir(), t.TempDir()
	cfg := testConfig(h.addr)
	cfg.StateDir = dir
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	copied := make(chan error, 1)
	c.OnIdentity(func(token string) { copied <- os.CopyFS(crashed, os.DirFS(dir)) })
	done := make(chan error, 1)
	go func() { done <- c.Run(t.Context()) }()
	if err := <-copied; err != nil {
		t.Fatal(err)
	}
	want := kind(c.cred.token())
	c.Shutdown()
	<-done

	cfg.StateDir = crashed
	again, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Shutdown()
	if got := kind(again.cred.token()); got != want || again.NodeID() != c.NodeID() {
		t.Errorf("from the copy: presents %s as node %s, want %s as %s", got, again.NodeID(), want, c.NodeID())
	}
	if tokens, own := again.cred.registrationTokens(""); own != 2 || kind(tokens[0]) != want {
		t.Errorf("from the copy it registers with %v", tokens)
	}
}

func TestRPCForOthers(t *testing.T) {
	f := newFakeCluster()
	h1, s1 := listen(t, f)
	h2, _ := listen(t, f)
	cfg := testConfig(h1.addr, h2.addr)
	cfg.Dev = true
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Shutdown()

	var reply struct{ Region string }
	if err := c.RPC(t.Context(), "Status.Ping", &structs.GenericRequest{}, &reply); err != nil || reply.Region != "global" {
		t.Errorf("ping: region %q, error %v", reply.Region, err)
	}
	if got := f.history("Status.Ping")[0].token; got != "" {
		t.Errorf("a request without a token was sent with one of %d bytes", len(got))
	}
	withToken := &structs.GenericRequest{QueryOptions: structs.QueryOptions{Region: "west", AuthToken: "operator"}}
	if err := c.RPC(t.Context(), "Status.Ping", withToken, &reply); err != nil || reply.Region != "west" || f.history("Status.Ping")[1].token != "operator" {
		t.Errorf("ping with a token: region %q, token %q, error %v", reply.Region, f.history("Status.Ping")[1].token, err)
	}
	err = c.RPC(t.Context(), "Node.UpdateStatus", &structs.NodeUpdateStatusRequest{NodeID: c.NodeID(), Status: structs.NodeStatusReady}, nil)
	if !errors.Is(err, structs.ErrPermissionDenied) {
		t.Errorf("refused call: %v", err)
	}
	if code, msg := structs.HTTPStatus(err); code != 403 {
		t.Errorf("it becomes status %d, %q", code, msg)
	}
	s1.Close()
	for range 2 {
		if err := c.RPC(t.Context(), "Status.Ping", &structs.GenericRequest{}, &reply); err != nil {
			t.Errorf("with one server closed: %v", err)
		}
	}
}

// TestWritesForOthersAreNotSentTwice has a server that takes a request and hangs up.
func TestWritesForOthersAreNotSentTwice(t *testing.T) {
	for _, tc := range []struct {
		name  string
		args  any
		sent  bool
		calls int
	}{
		{"a write that may have arrived", &structs.GenericResponse{}, true, 1},
		{"a write that was never sent", &structs.GenericResponse{}, false, 3},
		{"a read that may have arrived", &structs.GenericRequest{}, true, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newTestClient(t, newFakeCluster("s1:4647", "s2:4647", "s3:4647"), new(memStore), nil)
			defer c.Shutdown()
			broken := &brokenCaller{sent: tc.sent}
			c.pool = broken
			if err := c.RPC(t.Context(), "Some.Method", tc.args, nil); err == nil {
				t.Error("no error")
			}
			if len(broken.calls) != tc.calls {
				t.Errorf("sent to %v, want %d attempts", broken.calls, tc.calls)
			}
		})
	}
}

type brokenCaller struct {
	sent  bool
	calls []string
}

func (b *brokenCaller) Call(_ context.Context, addr, method string, _, _ any) error {
	b.calls = append(b.calls, addr)
	return fmt.Errorf("call: %w", &transport.TransportError{Addr: addr, Op: "test", Sent: b.sent, Err: net.ErrClosed})
}

func (b *brokenCaller) Close() error     { return nil }
func (b *brokenCaller) Recheck() []error { return nil }
