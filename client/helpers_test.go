package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/internal/leak"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

func TestMain(m *testing.M) { leak.Main(m) }

const (
	testNode   = "11111111-2222-4333-8444-555555555555"
	testSecret = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
	// signature is in every identity that a fakeCluster issues.
	signature = "c2VjcmV0LXNpZ25hdHVyZQ"
)

// fakeCluster answers as servers do (wire.md §2.2 to §2.5, §3.3 to §3.5), as far as a node can tell. Its clock is time.Now.
type fakeCluster struct {
	ttl      time.Duration // heartbeat
	lifetime time.Duration // identities

	mu       sync.Mutex // guards the fields below
	names    []string   // in replies
	down     map[string]bool
	hung     map[string]bool
	nodes    map[string]string // ID → secret
	keyGone  map[string]bool   // identities whose key is gone
	intros   map[string]bool   // valid introduction tokens
	strict   bool
	noLeader bool
	cutOff   map[string]bool // servers that know no leader
	stopping map[string]bool // servers that answer that they shut down
	noMint   bool
	hasty    bool // allocation queries are answered at once
	edit     func(method string, r *structs.NodeUpdateResponse)
	issued   int
	calls    []seen
}

// seen is one request as a server saw it.
type seen struct {
	at     time.Time
	addr   string
	method string
	token  string
	forced bool
	meta   map[string]string
}

func newFakeCluster(names ...string) *fakeCluster {
	return &fakeCluster{
		ttl: 10 * time.Second, lifetime: time.Hour, names: names, down: map[string]bool{}, hung: map[string]bool{},
		cutOff: map[string]bool{}, stopping: map[string]bool{}, nodes: map[string]string{}, keyGone: map[string]bool{}, intros: map[string]bool{},
	}
}

// do changes the cluster under its lock.
func (f *fakeCluster) do(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// history returns what was asked with method, in order; all of it for "".
func (f *fakeCluster) history(method string) []seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []seen
	for _, s := range f.calls {
		if method == "" || s.method == method {
			out = append(out, s)
		}
	}
	return out
}

func (f *fakeCluster) forgetHistory() { f.do(func() { f.calls = nil }) }

// makeToken returns a token with those claims; nothing here checks signatures.
func makeToken(claims any) string {
	b, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(b) + "." + signature
}

func nodeToken(nodeID, jti string, now time.Time, ttl time.Duration) string {
	return makeToken(structs.NewNodeClaims("global", &structs.Node{ID: nodeID, NodePool: "default", Datacenter: "dc1"},
		structs.Lifetime{ID: jti, Now: now, TTL: ttl}))
}

// who is a request's authenticated sender.
type who struct {
	nodeID              string
	secret, intro, anon bool
	claims              *structs.IdentityClaims
	err                 error
}

func (f *fakeCluster) authenticate(token string) who {
	switch {
	case token == "":
		return who{anon: true}
	case f.intros[token]:
		return who{intro: true}
	case structs.IsUUID(token):
		for id, secret := range f.nodes {
			if secret == token {
				return who{nodeID: id, secret: true}
			}
		}
		return who{err: structs.ErrPermissionDenied}
	}
	payload, err := claimsOf(token)
	claims := new(structs.IdentityClaims)
	if err != nil || f.keyGone[token] || json.Unmarshal(payload, claims) != nil || claims.Node == nil {
		return who{err: structs.ErrPermissionDenied}
	}
	w := who{nodeID: claims.Node.NodeID, claims: claims}
	if time.Now().After(claims.ExpiresAt().Add(structs.IdentityLeeway)) {
		w.err = structs.ErrTokenExpired
	}
	return w
}

func (f *fakeCluster) mint(nodeID string) *string {
	if f.noMint {
		return nil
	}
	f.issued++
	t := nodeToken(nodeID, fmt.Sprintf("identity-%d", f.issued), time.Now(), f.lifetime)
	return &t
}

func (f *fakeCluster) reply(method string) *structs.NodeUpdateResponse {
	r := &structs.NodeUpdateResponse{HeartbeatTTL: f.ttl, LeaderRPCAddr: f.names[0], NumNodes: int32(len(f.nodes))}
	for _, n := range f.names {
		r.Servers = append(r.Servers, &structs.NodeServerInfo{RPCAdvertiseAddr: n, Datacenter: "dc1"})
	}
	return r
}

// serve answers one request at addr.
func (f *fakeCluster) serve(ctx context.Context, addr, method string, body []byte) (any, error) {
	var err error
	switch method {
	case "Node.Register":
		var req structs.NodeRegisterRequest
		if err = structs.Decode(body, &req); err == nil {
			return f.register(addr, &req)
		}
	case "Node.UpdateStatus":
		var req structs.NodeUpdateStatusRequest
		if err = structs.Decode(body, &req); err == nil {
			return f.updateStatus(addr, &req)
		}
	case "Node.GetClientAllocs":
		var req structs.NodeSpecificRequest
		if err = structs.Decode(body, &req); err == nil {
			return f.clientAllocs(ctx, addr, &req)
		}
	case "Status.Ping":
		var req structs.GenericRequest
		if err = structs.Decode(body, &req); err == nil {
			f.do(func() {
				f.calls = append(f.calls, seen{at: time.Now(), addr: addr, method: method, token: req.AuthToken})
			})
			return map[string]any{"Region": req.Region}, nil
		}
	default:
		err = transport.ErrUnknownMethod(method)
	}
	return nil, err
}

func (f *fakeCluster) register(addr string, req *structs.NodeRegisterRequest) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := req.Node
	f.calls = append(f.calls, seen{at: time.Now(), addr: addr, method: "Node.Register", token: req.AuthToken, meta: n.Meta.Map()})
	if f.stopping[addr] {
		return nil, structs.ErrShutdown
	}
	if f.noLeader || f.cutOff[addr] {
		return nil, structs.ErrNoLeader
	}
	if err := n.ValidateRegistration(); err != nil {
		return nil, err
	}
	w := f.authenticate(req.AuthToken)
	if w.err != nil && !errors.Is(w.err, structs.ErrTokenExpired) {
		return nil, structs.ErrPermissionDenied
	}
	switch secret, known := f.nodes[n.ID]; {
	case known && secret != n.SecretID:
		return nil, structs.ErrSecretMismatch
	case !known && w.err != nil, !known && f.strict && !w.intro && w.nodeID != n.ID:
		return nil, structs.ErrPermissionDenied
	}
	f.nodes[n.ID] = n.SecretID
	r := f.reply("Node.Register")
	r.Index, r.NodeModifyIndex = 7, 7
	if w.err != nil || w.claims == nil || w.claims.IsExpiring(time.Now(), f.lifetime) {
		r.SignedIdentity = f.mint(n.ID)
	}
	if f.edit != nil {
		f.edit("Node.Register", r)
	}
	return r, nil
}

func (f *fakeCluster) updateStatus(addr string, req *structs.NodeUpdateStatusRequest) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, seen{at: time.Now(), addr: addr, method: "Node.UpdateStatus", token: req.AuthToken, forced: req.ForceIdentityRenewal})
	if f.stopping[addr] {
		return nil, structs.ErrShutdown
	}
	if f.noLeader || f.cutOff[addr] {
		return nil, structs.ErrNoLeader
	}
	w := f.authenticate(req.AuthToken)
	if w.err != nil || w.nodeID != req.NodeID || req.Status != structs.NodeStatusReady {
		return nil, structs.ErrPermissionDenied
	}
	if f.nodes[req.NodeID] == "" {
		return nil, structs.ErrNodeNotFound
	}
	r := f.reply("Node.UpdateStatus")
	if w.secret || req.ForceIdentityRenewal || w.claims.IsExpiring(time.Now(), f.lifetime) {
		r.SignedIdentity = f.mint(req.NodeID)
	}
	if f.edit != nil {
		f.edit("Node.UpdateStatus", r)
	}
	return r, nil
}

func (f *fakeCluster) clientAllocs(ctx context.Context, addr string, req *structs.NodeSpecificRequest) (any, error) {
	f.mu.Lock()
	f.calls = append(f.calls, seen{at: time.Now(), addr: addr, method: "Node.GetClientAllocs", token: req.AuthToken})
	w, secret, hasty := f.authenticate(req.AuthToken), f.nodes[req.NodeID], f.hasty
	f.mu.Unlock()
	if w.err != nil || w.nodeID != req.NodeID || secret != req.SecretID {
		return nil, structs.ErrPermissionDenied
	}
	if req.MinQueryIndex > 0 && !hasty {
		select {
		case <-time.After(req.MaxQueryTime):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &structs.NodeClientAllocsResponse{QueryMeta: structs.QueryMeta{Index: 1}}, nil
}

// wires carries calls to a fakeCluster without sockets, in wire form, so that it can run on a fake clock.
type wires struct{ f *fakeCluster }

var _ caller = wires{}

func (w wires) Close() error     { return nil }
func (w wires) Recheck() []error { return nil }

func (w wires) Call(ctx context.Context, addr, method string, args, reply any) error {
	w.f.mu.Lock()
	down, hung := w.f.down[addr] || !slices.Contains(w.f.names, addr), w.f.hung[addr]
	w.f.mu.Unlock()
	if down {
		return &transport.TransportError{Addr: addr, Op: "failed to get conn", Err: errors.New("connection refused")}
	}
	if hung {
		<-ctx.Done()
		return &transport.TransportError{Addr: addr, Op: "failed to read response", Sent: true, Err: ctx.Err()}
	}
	body, err := structs.EncodeBytes(args)
	if err != nil {
		return err
	}
	out, err := w.f.serve(ctx, addr, method, body)
	if ctx.Err() != nil {
		return &transport.TransportError{Addr: addr, Op: "failed to read response", Sent: true, Err: ctx.Err()}
	}
	if err != nil {
		return &transport.RemoteError{Text: err.Error()}
	}
	answer, err := structs.EncodeBytes(out)
	if err != nil {
		return err
	}
	return structs.Decode(answer, reply)
}

// handler serves a fakeCluster on a real RPC port.
type handler struct {
	f    *fakeCluster
	addr string

	mu    sync.Mutex // guards conns
	conns []*transport.Conn
}

func (h *handler) ServeRPC(ctx context.Context, c *transport.Conn, method string, body []byte) (any, error) {
	h.mu.Lock()
	if !slices.Contains(h.conns, c) {
		h.conns = append(h.conns, c)
	}
	h.mu.Unlock()
	return h.f.serve(ctx, h.addr, method, bytes.Clone(body))
}

func (h *handler) ServeStream(context.Context, *transport.Conn, net.Conn, string) error {
	return errors.New("no streams here")
}

// sessions returns the connections that requests came by.
func (h *handler) sessions() []*transport.Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.conns)
}

// testConfig is a node for servers of those addresses.
func testConfig(servers ...string) Config {
	return Config{Region: "global", Datacenter: "dc1", Name: "node-1", NodePool: "default", Servers: servers, Logger: hclog.NewNullLogger()}
}

var testAttributes = map[string]string{structs.AttrNomadVersion: "2.0.5"}

// newTestClient returns a node on a fakeCluster, not running yet.
func newTestClient(t *testing.T, f *fakeCluster, st store, change func(*Config)) *Client {
	t.Helper()
	cfg := testConfig(f.names...)
	if change != nil {
		change(&cfg)
	}
	c, err := newClient(cfg, st, testNode, testSecret, testAttributes)
	if err != nil {
		t.Fatal(err)
	}
	c.pool = wires{f}
	return c
}

// inBubble runs a node on a fakeCluster and a fake clock; body begins when everything is waiting for time to pass.
func inBubble(t *testing.T, f *fakeCluster, st store, change func(*Config), body func(t *testing.T, c *Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, f, st, change)
		done := make(chan error, 1)
		go func() { done <- c.Run(context.Background()) }()
		synctest.Wait()
		body(t, c)
		if err := c.Shutdown(); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// advance lets d pass on the fake clock.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func isReady(c *Client) bool {
	select {
	case <-c.Ready():
		return true
	default:
		return false
	}
}

// kinds names the tokens of requests: "secret", "none", "intro" or an identity's jti.
func kinds(calls []seen) []string {
	var out []string
	for _, s := range calls {
		out = append(out, kind(s.token))
	}
	return out
}

func kind(token string) string {
	switch {
	case token == "":
		return "none"
	case token == testSecret:
		return "secret"
	case strings.HasPrefix(token, "intro"):
		return "intro"
	}
	payload, err := claimsOf(token)
	var claims structs.IdentityClaims
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return "unknown " + token
	}
	return claims.ID
}

// logBuffer collects log output.
type logBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// eventually polls cond until it holds; for sockets, where there is no fake clock.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		<-tick.C
	}
}
