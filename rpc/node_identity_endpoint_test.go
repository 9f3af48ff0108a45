package rpc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// eventually polls cond until it holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// listen serves the world's endpoints on a loopback port until the test ends.
func (w *world) listen(change ...func(*transport.Config)) (addr string) {
	w.t.Helper()
	cfg := transport.Config{Handler: w.srv}
	for _, c := range change {
		c(&cfg)
	}
	srv := transport.New(cfg)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	w.t.Cleanup(func() {
		srv.Close()
		if err := <-served; err != nil {
			w.t.Errorf("Serve: %v", err)
		}
	})
	return ln.Addr().String()
}

// agent is a node as servers call it.
type agent struct {
	pool *transport.Pool
	mu   sync.Mutex
	seen []structs.NodeSpecificRequest
	err  error

	claims map[string]any // instead of good ones
	silent bool           // never answers
}

func startAgent(t testing.TB) *agent {
	a := &agent{}
	a.pool = transport.NewPool(transport.PoolConfig{Reverse: a})
	t.Cleanup(func() { a.pool.Close() })
	return a
}

func (a *agent) ServeRPC(ctx context.Context, _ *transport.Conn, name string, body []byte) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var req structs.NodeSpecificRequest
	if err := structs.Decode(body, &req); err != nil {
		return nil, err
	}
	a.seen = append(a.seen, req)
	if a.err != nil {
		return nil, a.err
	}
	if a.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if name == "NodeIdentity.Get" && a.claims != nil {
		return &structs.NodeIdentityGetResponse{Claims: a.claims}, nil
	}
	if name == "NodeIdentity.Get" {
		return &structs.NodeIdentityGetResponse{Claims: map[string]any{"nomad_node_id": req.NodeID, "exp": 12.0}}, nil
	}
	switch name {
	case "NodeMeta.Apply":
		var apply structs.NodeMetaApplyRequest
		if err := structs.Decode(body, &apply); err != nil {
			return nil, err
		}
		return &structs.NodeMetaResponse{Dynamic: apply.Meta}, nil
	case "ClientStats.Stats":
		return map[string]any{"HostStats": map[string]any{"Uptime": 7, "Newer": "x"}}, nil
	}
	return &structs.Empty{}, nil
}

// ServeStream sends one piece of log that names who asks, and then waits.
func (a *agent) ServeStream(ctx context.Context, _ *transport.Conn, conn net.Conn, method string) error {
	var req structs.MonitorRequest
	if err := readValue(transport.NewReader(conn, 0), &req); err != nil {
		return err
	}
	a.mu.Lock()
	refuse, silent := a.err, a.silent
	a.mu.Unlock()
	if silent {
		<-ctx.Done()
		return ctx.Err()
	}
	if refuse != nil {
		return writeValue(conn, &structs.StreamFrame{Error: newStreamError(500, refuse.Error())})
	}
	text := fmt.Sprintf("%s of %s at level %s with token %q", method, req.NodeID, req.LogLevel, req.AuthToken)
	if err := writeValue(conn, &structs.StreamFrame{Payload: []byte(text)}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (a *agent) join(t testing.TB, addr string, n int) string {
	t.Helper()
	var reply structs.NodeUpdateResponse
	if err := a.pool.Call(t.Context(), addr, "Node.Register", &structs.NodeRegisterRequest{Node: testNode(n), WriteRequest: write("")}, &reply); err != nil {
		t.Fatal(err)
	}
	return *reply.SignedIdentity
}

func getIdentity(w *world, token string) (*structs.NodeIdentityGetResponse, error) {
	return call[structs.NodeIdentityGetResponse](w, "NodeIdentity.Get", specific(token))
}

func TestCallsReachANodeOverItsOwnSession(t *testing.T) {
	w := newWorld(t)
	addr := w.listen()
	a := startAgent(t)
	token := a.join(t, addr, 1)
	if n := w.sessions.Count(); n != 1 {
		t.Fatalf("%d sessions", n)
	}
	reply := must(getIdentity(w, ""))(t)
	if reply.Claims["nomad_node_id"] != nodeID(1) || reply.Claims["exp"] != 12.0 {
		t.Errorf("claims %v", reply.Claims)
	}
	must(call[structs.Empty](w, "NodeIdentity.Renew", specific("")))(t)
	if len(a.seen) != 2 || a.seen[1].NodeID != nodeID(1) {
		t.Errorf("the node saw %+v", a.seen)
	}
	conn := must(call[structs.NodeConnResponse](w, "Status.HasNodeConn", specific("")))(t)
	if !conn.Connected || conn.Established.IsZero() {
		t.Errorf("connection %+v", conn)
	}

	// What shows who a node is stays out of other hands.
	must(getIdentity(w, token))(t)
	must(getIdentity(w, secretOf(1)))(t)
	for _, req := range a.seen {
		if req.AuthToken != "" {
			t.Error("the node was given the credential of its caller")
		}
	}
	a.err = structs.ErrNoIdentity
	_, err := getIdentity(w, "")
	wantError(t, err, structs.ErrNoIdentity, "node does not have a JWT identity token")
	a.err = errors.New("RPC Error:: 403,Permission denied")
	_, err = getIdentity(w, "")
	wantCode(t, err, 403)

	a.pool.Close()
	eventually(t, "the session is forgotten", func() bool { return w.sessions.Count() == 0 })
	_, err = getIdentity(w, "")
	wantError(t, err, structs.ErrNoNodeConn, "No path to node")
	wantCode(t, err, 404)
}

func TestANodeThatDoesNotAnswerHoldsNobodyUp(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.NodeTimeout = 50 * time.Millisecond })
	a := startAgent(t)
	a.silent = true
	a.join(t, w.listen(), 1)
	_, err := getIdentity(w, "")
	wantError(t, err, context.DeadlineExceeded, nodeID(1), "did not answer")
	wantCode(t, err, 504)
}

func TestANodeThatAnswersAtLengthIsCutShort(t *testing.T) {
	for name, claims := range map[string]map[string]any{
		"bytes":  {"nomad_node_id": strings.Repeat("x", 2<<20)},
		"values": {"nomad_node_id": make([]bool, 300_000)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := startAgent(t)
			a.claims = claims
			a.join(t, w.listen(), 1)
			if _, err := getIdentity(w, ""); err == nil {
				t.Error("the server took it all")
			}
		})
	}
}

func TestCallsReachANodeOverAnotherServer(t *testing.T) {
	leader, follower := newPair(t, false)
	a := startAgent(t)
	a.join(t, leader.listen(), 1)
	follower.cluster.peers = []string{"dead", "leader"}
	if got := must(getIdentity(follower, ""))(t); got.Claims["nomad_node_id"] != nodeID(1) {
		t.Errorf("claims %v", got.Claims)
	}
	var methods []string
	for _, c := range follower.pool.calls {
		methods = append(methods, c.addr+" "+c.method)
	}
	if len(methods) != 3 || methods[2] != "leader NodeIdentity.Get" {
		t.Errorf("calls %v", methods)
	}
	_, err := getIdentity(follower, "x.y.z")
	wantError(t, err, structs.ErrPermissionDenied)
	t.Run("of several, the one with the newest session", func(t *testing.T) {
		w := newFleet(t)
		w.cluster.peers = []string{"a", "b", "c"}
		w.pool.answer = func(s sent) (any, error) {
			if s.method != "Status.HasNodeConn" {
				return &structs.NodeIdentityGetResponse{Claims: map[string]any{"by": s.addr}}, nil
			}
			ago := map[string]time.Duration{"a": 3 * time.Hour, "b": time.Minute, "c": 2 * time.Hour}[s.addr]
			return &structs.NodeConnResponse{Connected: true, Established: t0.Add(-ago)}, nil
		}
		if got := must(getIdentity(w, ""))(t); got.Claims["by"] != "b" {
			t.Errorf("answered by %v", got.Claims)
		}
	})
	t.Run("nobody has one", func(t *testing.T) {
		w := newFleet(t)
		w.cluster.peers = []string{"a", "b"}
		w.pool.answer = func(sent) (any, error) { return &structs.NodeConnResponse{}, nil }
		_, err := getIdentity(w, "")
		wantError(t, err, structs.ErrNoNodeConn)
		if w.pool.count() != 2 {
			t.Errorf("%d calls", w.pool.count())
		}
	})
	t.Run("a call from another server goes no further", func(t *testing.T) {
		w := newFleet(t)
		w.cluster.peers = []string{"a"}
		req := specific("").(*structs.NodeSpecificRequest)
		req.Forwarded = true
		_, err := call[structs.NodeIdentityGetResponse](w, "NodeIdentity.Get", req)
		wantError(t, err, structs.ErrNoNodeConn)
		if w.pool.count() != 0 {
			t.Error("it did")
		}
	})
}

func TestWhichConnectionsAreANodes(t *testing.T) {
	w := newWorld(t)
	addr := w.listen()
	a := startAgent(t)
	send := func(pool *transport.Pool, n int, name string, req any) error {
		return pool.Call(t.Context(), addr, name, req, nil)
	}
	bad := testNode(1)
	bad.Name = ""
	if err := send(a.pool, 1, "Node.Register", &structs.NodeRegisterRequest{Node: bad, WriteRequest: write("")}); err == nil || w.sessions.Count() != 0 {
		t.Errorf("after a registration that failed: %v, %d sessions", err, w.sessions.Count())
	}
	forwarded := &structs.NodeRegisterRequest{Node: testNode(1), WriteRequest: structs.WriteRequest{Region: region, Forwarded: true}}
	if err := send(a.pool, 1, "Node.Register", forwarded); err != nil || w.sessions.Count() != 0 {
		t.Errorf("after one that another server sent on: %v, %d sessions", err, w.sessions.Count())
	}
	heartbeat := &structs.NodeUpdateStatusRequest{NodeID: nodeID(1), Status: "ready", WriteRequest: write(secretOf(1))}
	if err := send(a.pool, 1, "Node.UpdateStatus", heartbeat); err != nil || w.sessions.Count() != 1 {
		t.Errorf("after a heartbeat: %v, %d sessions", err, w.sessions.Count())
	}
	other := &structs.NodeUpdateStatusRequest{NodeID: nodeID(1), Status: "ready", WriteRequest: write(secretOf(2))}
	b := startAgent(t)
	if err := send(b.pool, 1, "Node.UpdateStatus", other); err == nil {
		t.Error("a heartbeat for another node was accepted")
	}
	first, _ := w.sessions.Find(nodeID(1))
	if err := send(b.pool, 1, "Node.UpdateStatus", heartbeat); err != nil {
		t.Fatal(err)
	}
	second, established := w.sessions.Find(nodeID(1))
	if second == first || !established.After(first.Established()) {
		t.Error("the newest connection is not the one that counts")
	}
	b.pool.Close()
	eventually(t, "the older connection counts again", func() bool { c, _ := w.sessions.Find(nodeID(1)); return c == first })
	req := &structs.NodeSpecificRequest{NodeID: nodeID(1), QueryOptions: query(secretOf(1))}
	c := startAgent(t)
	if err := send(c.pool, 1, "Node.GetClientAllocs", req); err != nil {
		t.Fatal(err)
	}
	if got, _ := w.sessions.Find(nodeID(1)); got == first {
		t.Error("a wait for work does not count")
	}
}

// authority makes the certificates of one cluster.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{cert: cert, key: key, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

func (a *authority) issue(t testing.TB, cn string, names ...string) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: cn}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs: a.pool, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "server.global.nomad"}
}

// wire.md §1.6: what a certificate's names allow where they are verified.
func TestCertificateNames(t *testing.T) {
	ca := newAuthority(t)
	serverTLS := ca.issue(t, "", "server.global.nomad")
	cases := []struct {
		name             string
		tls              *tls.Config // nil: a plain connection
		register, server bool
	}{
		{"a server of the region", ca.issue(t, "", "server.global.nomad", "localhost"), true, true},
		{"a client of the region", ca.issue(t, "", "client.global.nomad"), true, false},
		{"a client by its common name", ca.issue(t, "client.global.nomad"), true, false},
		{"a command line", ca.issue(t, "", "cli.global.nomad"), false, false},
		{"a client of another region", ca.issue(t, "", "client.eu.nomad"), false, false},
		{"a server of another region", ca.issue(t, "", "server.eu.nomad"), false, false},
		{"a name that only looks like it", ca.issue(t, "", "xserver.global.nomad", "client.global.nomad.example"), false, false},
		{"no certificate", nil, false, false},
	}
	for _, c := range cases {
		for _, verify := range []bool{true, false} {
			t.Run(c.name, func(t *testing.T) {
				w := newWorld(t, func(cfg *Config) { cfg.VerifyServerHostname = verify })
				addr := w.listen(func(cfg *transport.Config) { cfg.TLSConfig = func() *tls.Config { return serverTLS } })
				pool := transport.NewPool(transport.PoolConfig{DialTLS: func(string) *tls.Config { return c.tls }})
				defer pool.Close()
				err := pool.Call(t.Context(), addr, "Node.Register", &structs.NodeRegisterRequest{Node: testNode(1), WriteRequest: write("")}, nil)
				if (err == nil) != (c.register || !verify) {
					t.Errorf("register: %v", err)
				}
				allocs := &structs.NodeSpecificRequest{NodeID: nodeID(1), QueryOptions: query(secretOf(1))}
				err = pool.Call(t.Context(), addr, "Node.GetClientAllocs", allocs, nil)
				if (err == nil) != (c.register || !verify) {
					t.Errorf("wait for work: %v", err)
				}
				err = pool.Call(t.Context(), addr, "Status.RaftStats", generic(""), nil)
				if (err == nil) != (c.server || !verify) {
					t.Errorf("a server's question: %v", err)
				}
				if err := pool.Call(t.Context(), addr, "Keyring.ListPublic", generic(""), nil); err != nil {
					t.Errorf("what is public: %v", err)
				}
			})
		}
	}
}

func TestUnknownStreamingMethodsAreRefused(t *testing.T) {
	w := newWorld(t)
	pool := transport.NewPool(transport.PoolConfig{})
	defer pool.Close()
	_, err := pool.Stream(t.Context(), w.listen(), "FileSystem.Logs")
	wantError(t, err, nil, `Unknown rpc method: "FileSystem.Logs"`)
}
