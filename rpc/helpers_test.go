package rpc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/events"
	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/internal/leak"
	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

func TestMain(m *testing.M) { leak.Main(m) }

// t0 is when tests begin that don't run in a bubble of synctest.
var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	region     = "global"
	capable    = "1.11.0"
	tooOld     = "1.10.5"
	defaultTTL = structs.DefaultNodeIdentityTTL
)

// world is one server's endpoints on the real state and keyring. Everything around them is controlled by the test.
type world struct {
	t         testing.TB
	fsm       *fsm.FSM
	events    *events.Broker
	kr        *keyring.Keyring
	custody   fakeCustody
	srv       *Server
	raft      *fakeRaft
	leader    *fakeLeader
	beats     *fakeHeartbeats
	cluster   *fakeCluster
	drains    fakeDrains
	operator  *fakeOperator
	pool      *fakePool
	sessions  *Sessions
	metrics   *fakeMetrics
	logs      *bytes.Buffer
	log       hclog.InterceptLogger
	clock     *clock
	uuids     atomic.Int64
	lateKeys  bool  // the keyring learns of new keys only when the test says so
	signError error // what signing fails with, if anything
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now.IsZero() {
		return time.Now()
	}
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// newWorld returns a leader with one active root key.
func newWorld(t testing.TB, change ...func(*Config)) *world { return newWorldAt(t, t0, change...) }

// newBubbleWorld is newWorld with the clock of synctest's bubble.
func newBubbleWorld(t testing.TB, change ...func(*Config)) *world {
	return newWorldAt(t, time.Time{}, change...)
}

func newWorldAt(t testing.TB, now time.Time, change ...func(*Config)) *world {
	t.Helper()
	cfg := DefaultConfig(region)
	for _, c := range change {
		c(&cfg)
	}
	kr, err := keyring.New(keyring.Config{Issuer: cfg.Issuer})
	if err != nil {
		t.Fatal(err)
	}
	broker := events.New(events.Config{})
	w := &world{
		t: t, fsm: fsm.New(fsm.Config{Events: broker}), events: broker, kr: kr, leader: &fakeLeader{}, beats: &fakeHeartbeats{}, cluster: &fakeCluster{},
		operator: &fakeOperator{}, pool: &fakePool{}, sessions: NewSessions(), metrics: &fakeMetrics{},
		logs: &bytes.Buffer{}, clock: &clock{now: now},
	}
	w.log = hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "world", Level: hclog.Trace, Output: w.logs, Mutex: &sync.Mutex{}})
	w.leader.leads()
	w.raft = &fakeRaft{w: w, index: 10}
	w.srv = New(cfg, Deps{
		Logger: w.log, Logs: w.log,
		State: func() State { return w.fsm.State() }, Raft: w.raft, Leader: w.leader, Keyring: worldKeyring{w},
		Reports: fixedReports(cfg.NodeName), Heartbeats: w.beats, Drains: &w.drains, Cluster: w.cluster, Operator: w.operator, Custody: &w.custody, Pool: w.pool, Sessions: w.sessions,
		Events: worldEvents{broker},
		Clock:  w.clock.Now, Metrics: w.metrics,
		NewUUID: func() string { return uuid(0xff0000 + int(w.uuids.Add(1))) },
	})
	w.addKey(structs.KeyStateActive)
	t.Cleanup(func() {
		if err := w.fsm.Err(); err != nil {
			t.Errorf("a command was proposed that can't be applied: %v", err)
		}
	})
	return w
}

func uuid(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

// nodeID and secretOf are what node n is called and what it proves itself with.
func nodeID(n int) string   { return uuid(0x1000 + n) }
func secretOf(n int) string { return uuid(0x5ec000 + n) }

func testNode(n int) *structs.Node {
	return &structs.Node{
		ID: nodeID(n), SecretID: secretOf(n), Datacenter: "dc1", Name: fmt.Sprintf("node-%d", n), NodeClass: "large",
		HTTPAddr: "127.0.0.1:4646", Status: structs.NodeStatusInit, NodePool: structs.NodePoolDefault,
		Attributes: structs.NewStringMap(map[string]string{structs.AttrNomadVersion: capable, "os.name": "ubuntu"}),
	}
}

// addKey stores a new root key, as the leader does.
func (w *world) addKey(state structs.KeyState) string {
	w.t.Helper()
	key, err := worldKeyring{w}.NewRootKey(state, w.clock.Now(), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mustApply(structs.RootKeyUpsertMsg, &structs.RootKeyUpsertRequest{WrappedRootKeys: key})
	return key.KeyID
}

func (w *world) mustApply(t structs.MessageType, msg any) {
	w.t.Helper()
	if _, err := w.raft.Apply(t, msg); err != nil {
		w.t.Fatal(err)
	}
}

// loadKeys gives the keyring what the table holds.
func (w *world) loadKeys() {
	w.t.Helper()
	seq, err := w.fsm.State().RootKeys(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.kr.Set(context.Background(), slices.Collect(seq))
}

func (w *world) setPool(name string, ttl time.Duration) {
	w.t.Helper()
	w.mustApply(structs.NodePoolUpsertMsg, &structs.NodePoolUpsertRequest{NodePools: []*structs.NodePool{{Name: name, NodeIdentityTTL: ttl}}})
}

// node returns the stored node.
func (w *world) node(n int) *structs.Node {
	w.t.Helper()
	got, err := w.fsm.State().NodeByID(nil, nodeID(n))
	if err != nil || got == nil {
		w.t.Fatalf("node %d: %v, %v", n, got, err)
	}
	return got
}

func (w *world) sign(c *structs.IdentityClaims) string {
	w.t.Helper()
	signed, err := w.kr.Sign(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return signed.Token
}

func (w *world) lifetime(at time.Time, ttl time.Duration) structs.Lifetime {
	return structs.Lifetime{ID: uuid(0xee0000 + int(w.uuids.Add(1))), Now: at, TTL: ttl, Issuer: w.srv.cfg.Issuer}
}

// identity is a token of node n that began at the given time.
func (w *world) identity(n int, at time.Time, ttl time.Duration) string {
	return w.sign(structs.NewNodeClaims(region, testNode(n), w.lifetime(at, ttl)))
}

// expiredIdentity is one of node n that was good until an hour ago.
func (w *world) expiredIdentity(n int) string {
	return w.identity(n, w.clock.Now().Add(-2*time.Hour), time.Hour)
}

func (w *world) introduction(pool, name string) string {
	return w.sign(structs.NewIntroductionClaims(region, pool, name, w.lifetime(w.clock.Now(), time.Minute)))
}

func (w *world) workload() string {
	now := w.clock.Now()
	return w.sign(&structs.IdentityClaims{
		ID: uuid(0xee0000 + int(w.uuids.Add(1))), Subject: "global:default:web:group:task:id", Audience: []string{structs.IdentityAudience},
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expiry: now.Add(time.Hour).Unix(),
		Workload: &structs.WorkloadClaims{Namespace: "default", JobID: "web", AllocationID: uuid(7)},
	})
}

// call runs a request as it comes over a connection.
func call[Reply any](w *world, name string, args any) (*Reply, error) {
	w.t.Helper()
	return callCtx[Reply](context.Background(), w, name, args)
}

func callCtx[Reply any](ctx context.Context, w *world, name string, args any) (*Reply, error) {
	w.t.Helper()
	body, err := structs.EncodeBytes(args)
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := w.srv.ServeRPC(ctx, nil, name, body)
	if err != nil {
		return nil, err
	}
	return out.(*Reply), nil
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func write(token string) structs.WriteRequest {
	return structs.WriteRequest{Region: region, AuthToken: token}
}

func query(token string) structs.QueryOptions {
	return structs.QueryOptions{Region: region, AuthToken: token}
}

func (w *world) register(n *structs.Node, token string) (*structs.NodeUpdateResponse, error) {
	w.t.Helper()
	return call[structs.NodeUpdateResponse](w, "Node.Register", &structs.NodeRegisterRequest{Node: n, WriteRequest: write(token)})
}

// join registers node n and makes it ready, and returns its identity.
func (w *world) join(n int) string {
	w.t.Helper()
	reply := must(w.register(testNode(n), ""))(w.t)
	if reply.SignedIdentity == nil {
		w.t.Fatalf("node %d got no identity", n)
	}
	must(w.heartbeat(n, *reply.SignedIdentity))(w.t)
	return *reply.SignedIdentity
}

func (w *world) heartbeat(n int, token string, change ...func(*structs.NodeUpdateStatusRequest)) (*structs.NodeUpdateResponse, error) {
	w.t.Helper()
	req := &structs.NodeUpdateStatusRequest{NodeID: nodeID(n), Status: structs.NodeStatusReady, WriteRequest: write(token)}
	for _, c := range change {
		c(req)
	}
	return call[structs.NodeUpdateResponse](w, "Node.UpdateStatus", req)
}

func renewal(r *structs.NodeUpdateStatusRequest) { r.ForceIdentityRenewal = true }

// setStatus marks node n as the leader does.
func (w *world) setStatus(n int, status string) {
	w.t.Helper()
	w.mustApply(structs.NodeUpdateStatusMsg, &structs.NodeUpdateStatusRequest{NodeID: nodeID(n), Status: status, UpdatedAt: w.clock.Now().Unix()})
}

func (w *world) purge(n int) {
	w.t.Helper()
	w.mustApply(structs.NodeDeregisterMsg, &structs.NodeDeregisterRequest{NodeID: nodeID(n)})
}

// wantError checks that an error is what it is to be and says so.
func wantError(t testing.TB, err, target error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %v %q", target, texts)
	}
	if target != nil && !errors.Is(err, target) {
		t.Errorf("error %q is not %q", err, target)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}

func wantCode(t testing.TB, err error, code int) {
	t.Helper()
	var coded *structs.CodedError
	if !errors.As(err, &coded) || coded.Code != code {
		t.Errorf("error %v, want one with code %d", err, code)
	}
}

// proposal is a command as it went into the log.
type proposal struct {
	msg  structs.MessageType
	data []byte
}

type fakeRaft struct {
	w      *world
	mu     sync.Mutex
	index  uint64
	log    []proposal
	before func(structs.MessageType) error // runs before each command; an error is the outcome
	silent bool                            // don't keep the log
}

func (r *fakeRaft) Apply(t structs.MessageType, msg any) (Applied, error) {
	data, err := structs.Encode(t, msg)
	if err != nil {
		return Applied{}, err
	}
	r.mu.Lock()
	before := r.before
	r.mu.Unlock()
	if before != nil {
		if err := before(t); err != nil {
			return Applied{}, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.index++
	if !r.silent {
		r.log = append(r.log, proposal{t, data})
	}
	result := r.w.fsm.Apply(&raft.Log{Index: r.index, Type: raft.LogCommand, Data: data})
	if err, ok := result.(error); ok {
		return Applied{}, err
	}
	if (t == structs.RootKeyUpsertMsg || t == structs.RootKeyDeleteMsg) && !r.w.lateKeys {
		r.w.loadKeys()
	}
	return Applied{Index: r.index, Result: result}, nil
}

// count is how many commands were proposed.
func (r *fakeRaft) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.log)
}

// last decodes the last command.
func last[T any](w *world, want structs.MessageType) *T {
	w.t.Helper()
	w.raft.mu.Lock()
	defer w.raft.mu.Unlock()
	p := w.raft.log[len(w.raft.log)-1]
	if p.msg != want {
		w.t.Fatalf("the last command is a %s, want %s", p.msg, want)
	}
	msg := new(T)
	if err := structs.Decode(p.data[1:], msg); err != nil {
		w.t.Fatal(err)
	}
	return msg
}

type worldKeyring struct{ w *world }

func (k worldKeyring) Sign(c *structs.IdentityClaims) (string, string, error) {
	if k.w.signError != nil {
		return "", "", k.w.signError
	}
	signed, err := k.w.kr.Sign(c)
	return signed.Token, signed.KeyID, err
}

func (k worldKeyring) Verify(_ context.Context, token string, now time.Time) (*structs.IdentityClaims, error) {
	return k.w.kr.Verify(token, now)
}

func (k worldKeyring) NewRootKey(state structs.KeyState, now time.Time, publish int64) (*structs.RootKey, error) {
	spec := keyring.KeySpec{ID: uuid(0xcc0000 + int(k.w.uuids.Add(1))), Now: now, State: state}
	if publish != 0 {
		spec.PublishTime = time.Unix(0, publish).UTC()
	}
	return k.w.kr.NewRootKey(spec)
}
func (k worldKeyring) Public() []*structs.PublicKey { return k.w.kr.Public() }
func (k worldKeyring) Discovery() *structs.OIDCDiscovery {
	return keyring.Discovery(k.w.srv.cfg.Issuer)
}

// fakeLeader says who leads.
type fakeLeader struct {
	mu       sync.Mutex
	leading  bool
	ready    bool
	addr     string
	contact  time.Duration
	leaseErr error
}

func (l *fakeLeader) leads() { l.set(true, true, "10.0.0.1:4647") }

func (l *fakeLeader) follows(addr string) { l.set(false, false, addr) }

func (l *fakeLeader) set(leading, ready bool, addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leading, l.ready, l.addr = leading, ready, addr
}

func (l *fakeLeader) IsLeader() bool     { l.mu.Lock(); defer l.mu.Unlock(); return l.leading && l.ready }
func (l *fakeLeader) Leading() bool      { l.mu.Lock(); defer l.mu.Unlock(); return l.leading }
func (l *fakeLeader) LeaderAddr() string { l.mu.Lock(); defer l.mu.Unlock(); return l.addr }
func (l *fakeLeader) VerifyLease(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaseErr
}
func (l *fakeLeader) LastContact() time.Duration { return l.contact }

type fakeHeartbeats struct {
	mu      sync.Mutex
	reset   []string
	cleared []string
	err     error
	quiet   bool // don't record
}

const beatTTL = 15 * time.Second

func (h *fakeHeartbeats) Reset(id string) (time.Duration, error) {
	if h.quiet {
		return beatTTL, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return 0, h.err
	}
	h.reset = append(h.reset, id)
	return beatTTL, nil
}

func (h *fakeHeartbeats) Clear(ids ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cleared = append(h.cleared, ids...)
}

// fakeDrains remembers which drains began.
type fakeDrains struct{ begun []string }

func (d *fakeDrains) Begun(id string) { d.begun = append(d.begun, id) }

type fakeCluster struct {
	members    []*structs.ServerMember
	cannotMint bool
	peers      []string
	regions    map[string][]string
}

var testServers = []*structs.NodeServerInfo{{RPCAdvertiseAddr: "10.0.0.1:4647", Datacenter: "dc1"}}

func (c *fakeCluster) Servers() []*structs.NodeServerInfo   { return testServers }
func (c *fakeCluster) LocalPeers() []string                 { return c.peers }
func (c *fakeCluster) RegionServers(region string) []string { return c.regions[region] }
func (c *fakeCluster) Regions() []string                    { return []string{"eu", region} }
func (c *fakeCluster) Members() []*structs.ServerMember {
	return append([]*structs.ServerMember{{Name: "s1.global"}}, c.members...)
}
func (c *fakeCluster) CanMint() bool { return !c.cannotMint }

// fakeCustody remembers what it was asked to move keys to.
type fakeCustody struct {
	to  []string
	err error
}

func (f *fakeCustody) KeyringStatus(context.Context) *structs.KeyringServerStatus {
	return &structs.KeyringServerStatus{Name: "s1.global"}
}

func (f *fakeCustody) KeyringStatuses(ctx context.Context) ([]*structs.KeyringServerStatus, error) {
	return []*structs.KeyringServerStatus{f.KeyringStatus(ctx), {Name: "s2.global", Error: "no answer"}}, f.err
}

func (f *fakeCustody) RewrapKeys(_ context.Context, providerID string) (*structs.KeyringRewrapResponse, error) {
	f.to = append(f.to, providerID)
	return &structs.KeyringRewrapResponse{ProviderID: "aead.kek1", Done: true}, f.err
}

type fakeOperator struct {
	digest   string // empty: d1
	removed  []string
	transfer []string
	gc       []time.Duration
	gcCtxErr error
}

func (o *fakeOperator) RaftConfiguration() (*structs.RaftConfigurationResponse, error) {
	return &structs.RaftConfigurationResponse{Servers: []*structs.RaftServer{{ID: "s1", Address: "10.0.0.1:4647"}}, Index: 3}, nil
}
func (o *fakeOperator) RaftPeers() ([]string, error) { return []string{"10.0.0.1:4647"}, nil }
func (o *fakeOperator) RaftStats() *structs.RaftStatsResponse {
	return &structs.RaftStatsResponse{LastContact: "0", LastTerm: 2, LastIndex: 9}
}
func (o *fakeOperator) RemovePeer(id string) error { o.removed = append(o.removed, id); return nil }
func (o *fakeOperator) TransferLeadership(id, addr string) (*structs.LeadershipTransferResponse, error) {
	o.transfer = append(o.transfer, id+"|"+addr)
	return &structs.LeadershipTransferResponse{To: structs.RaftIDAddress{ID: id, Address: addr}}, nil
}
func (o *fakeOperator) StateDigest() (structs.StateDigest, error) {
	return structs.StateDigest{Index: 7, Digest: cmp.Or(o.digest, "d1")}, nil
}

func (o *fakeOperator) AutopilotHealth() (*structs.OperatorHealthReply, error) {
	return &structs.OperatorHealthReply{Healthy: true, FailureTolerance: 1}, nil
}
func (o *fakeOperator) CollectGarbage(ctx context.Context, threshold time.Duration) error {
	o.gc, o.gcCtxErr = append(o.gc, threshold), ctx.Err()
	return nil
}

// sent is a call to another server.
type sent struct {
	addr, method string
	body         []byte
}

// fakePool carries calls to answer, if there is one, or to the named worlds.
type fakePool struct {
	mu     sync.Mutex
	calls  []sent
	answer func(sent) (any, error) // error: as the real pool gives it
	worlds map[string]*world
}

func (p *fakePool) Call(ctx context.Context, addr, method string, args, reply any) error {
	body, err := structs.EncodeBytes(args)
	if err != nil {
		return err
	}
	s := sent{addr, method, body}
	p.mu.Lock()
	p.calls = append(p.calls, s)
	answer, to := p.answer, p.worlds[addr]
	p.mu.Unlock()
	var out any
	switch {
	case to != nil:
		if out, err = to.srv.ServeRPC(ctx, nil, method, body); err != nil {
			err = &transport.RemoteError{Text: err.Error()}
		}
	case answer != nil:
		out, err = answer(s)
	default:
		err = &transport.TransportError{Addr: addr, Op: "failed to get conn", Err: errors.New("connection refused")}
	}
	if err != nil {
		return err
	}
	b, err := structs.EncodeBytes(out)
	if err != nil {
		return err
	}
	return structs.Decode(b, reply)
}

func (p *fakePool) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls)
}

type fakeMetrics struct {
	mu     sync.Mutex
	counts map[string]int
}

func (m *fakeMetrics) IncrCounter(key []string, n float32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.counts == nil {
		m.counts = make(map[string]int)
	}
	m.counts[strings.Join(key, ".")] += int(n)
}
func (m *fakeMetrics) MeasureSince([]string, time.Time) {}

func (m *fakeMetrics) count(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[name]
}

// Stream starts streams of the named worlds.
func (p *fakePool) Stream(ctx context.Context, addr, method string) (net.Conn, error) {
	p.mu.Lock()
	to := p.worlds[addr]
	p.mu.Unlock()
	if to == nil {
		return nil, &transport.TransportError{Addr: addr, Op: "failed to get conn", Err: errors.New("connection refused")}
	}
	return to.srv.Stream(ctx, method)
}
