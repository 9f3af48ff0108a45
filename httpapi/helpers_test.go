package httpapi

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rollcall-id/rollcall/structs"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const (
	nodeID = "10f01b22-bb9e-9a3f-bae6-333c61e37c69"
	// gossipKey is what a gossip key looks like.
	gossipKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	otherID   = "148438ec-3434-7267-ff64-1e0030166023"
)

// fakeRPC answers by method name and remembers the last call.
type fakeRPC struct {
	answer map[string]any // a value to copy into the reply, an error, or func(ctx, args) (any, error)
	method string
	args   any
	calls  int
}

func (f *fakeRPC) RPC(ctx context.Context, method string, args, reply any) error {
	f.method, f.args = method, args
	f.calls++
	v, ok := f.answer[method]
	if fn, isFunc := v.(func(context.Context, any) (any, error)); isFunc {
		var err error
		if v, err = fn(ctx, args); err != nil {
			return err
		}
	}
	if err, isErr := v.(error); isErr {
		return err
	}
	if !ok || v == nil {
		return nil
	}
	reflect.ValueOf(reply).Elem().Set(reflect.ValueOf(v))
	return nil
}

type fakeServer struct {
	joinErr  error
	joined   []string
	gossip   []string
	left     string
	pruned   bool
	leaveErr error
}

func (s *fakeServer) Join(_ context.Context, addrs []string) (int, error) {
	s.joined = addrs
	if s.joinErr != nil {
		return 0, s.joinErr
	}
	return len(addrs), nil
}

func (s *fakeServer) ForceLeave(_ context.Context, name string, prune bool) error {
	s.left, s.pruned = name, prune
	return s.leaveErr
}

func (s *fakeServer) ListGossipKeys() (*structs.GossipKeysResponse, error) {
	return &structs.GossipKeysResponse{Keys: map[string]int{gossipKey: 2}, NumNodes: 3}, nil
}

func (s *fakeServer) InstallGossipKey(key string) (*structs.GossipKeysResponse, error) {
	return s.gossipKeys("install", key)
}

func (s *fakeServer) UseGossipKey(key string) (*structs.GossipKeysResponse, error) {
	return s.gossipKeys("use", key)
}

func (s *fakeServer) RemoveGossipKey(key string) (*structs.GossipKeysResponse, error) {
	return s.gossipKeys("remove", key)
}

// gossipKeys notes what was asked.
func (s *fakeServer) gossipKeys(what, key string) (*structs.GossipKeysResponse, error) {
	if _, err := structs.DecodeGossipKey(key); err != nil {
		return nil, structs.Coded(400, "%w", err)
	}
	s.gossip = append(s.gossip, what+" "+key)
	return &structs.GossipKeysResponse{NumNodes: 3}, nil
}

func (s *fakeServer) Stats() map[string]map[string]string {
	return map[string]map[string]string{"nomad": {"leader": "true"}}
}

func (s *fakeServer) LocalMember() *structs.ServerMember {
	return &structs.ServerMember{Name: "s1.global", Addr: []byte{127, 0, 0, 1}, Port: 4648, Status: "alive", Tags: map[string]string{"id": "s1-id"}}
}

type fakeClient struct {
	renewed   int
	claimsErr error
	servers   []string
	unhealthy string
	meta      map[string]*string // applied
}

func (c *fakeClient) NodeID() string { return nodeID }
func (c *fakeClient) IdentityClaims() (map[string]any, error) {
	return map[string]any{"nomad_node_id": nodeID, "exp": float64(1795295951)}, c.claimsErr
}
func (c *fakeClient) Renew() { c.renewed++ }
func (c *fakeClient) NodeMeta() *structs.NodeMetaResponse {
	static := map[string]string{"rack": "r1"}
	return &structs.NodeMetaResponse{Meta: structs.MergeNodeMeta(static, c.meta), Dynamic: c.meta, Static: static}
}
func (c *fakeClient) ApplyNodeMeta(changes map[string]*string) (*structs.NodeMetaResponse, error) {
	c.meta = changes
	return c.NodeMeta(), nil
}
func (c *fakeClient) HostStats(context.Context) (*structs.HostStats, error) {
	return &structs.HostStats{Memory: &structs.HostMemoryStats{Total: 8, Available: 4, Used: 3, Free: 1}, Uptime: 60}, nil
}
func (c *fakeClient) Stats() map[string]map[string]string {
	return map[string]map[string]string{"client": {"node_id": nodeID}}
}
func (c *fakeClient) Servers() []string { return c.servers }
func (c *fakeClient) SetServers(addrs []string) error {
	if addrs[0] == "bad" {
		return errors.New(`server address "bad" has no port`)
	}
	c.servers = addrs
	return nil
}
func (c *fakeClient) Health() (bool, string) {
	if c.unhealthy != "" {
		return false, c.unhealthy
	}
	return true, "ok"
}

// newAPI builds an API without listeners, to be called as a handler.
func newAPI(t testing.TB, rpc *fakeRPC, srv Server, cli Client, change ...func(*Config)) *HTTPServer {
	t.Helper()
	cfg := Config{Region: "global", Datacenter: "dc1", NodeName: "s1"}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg, rpc, srv, cli)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// do sends one request; headers are given as "Name: value".
func do(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// want checks a status and an exact body.
func want(t *testing.T, w *httptest.ResponseRecorder, code int, body string) {
	t.Helper()
	if w.Code != code || w.Body.String() != body {
		t.Fatalf("answered %d %q, want %d %q", w.Code, w.Body, code, body)
	}
}

func wireError(format string, args ...any) error {
	return structs.ErrorFromWire(fmt.Sprintf(format, args...))
}

// checkAnswer holds for every answer to every request: a status that was meant, and a body of the type it claims.
func checkAnswer(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	res := w.Result()
	defer res.Body.Close()
	var body io.Reader = res.Body
	if res.Header.Get("Content-Encoding") == "gzip" {
		zr, err := gzip.NewReader(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		body = zr
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	switch kind := res.Header.Get("Content-Type"); {
	case res.StatusCode == http.StatusOK || res.StatusCode == http.StatusTooManyRequests:
		if len(b) > 0 && !json.Valid(b) {
			t.Errorf("not JSON: %q", b)
		}
	case len(b) > 0 && kind != textType && res.StatusCode != http.StatusTemporaryRedirect:
		t.Errorf("error %d has Content-Type %q: %q", res.StatusCode, kind, b)
	case res.StatusCode == http.StatusInternalServerError && string(b) == "internal error":
		t.Error("a handler panicked")
	}
}
