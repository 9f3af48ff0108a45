package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rollcall-id/rollcall/httpapi"
	"github.com/rollcall-id/rollcall/structs"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	for _, name := range []string{"ADDR", "REGION", "NAMESPACE", "TOKEN", "CACERT", "CAPATH", "CLIENT_CERT", "CLIENT_KEY", "TLS_SERVER_NAME", "SKIP_VERIFY", "CLIENT_INTRO_TOKEN"} {
		os.Unsetenv("ROLLCALL_" + name)
		os.Unsetenv("NOMAD_" + name)
	}
	os.Unsetenv("NO_COLOR")
	goleak.VerifyTestMain(m)
}

const (
	node1 = "4d011111-04b4-cc83-7aae-e179f24a5b2a"
	node2 = "4d01f0bd-53f6-4dd1-b29e-f4e1eee0cf2d"
	node3 = "5072807a-2f14-11ac-409b-7601f87bd0c6"
	// gossipKey is what a gossip key looks like.
	gossipKey      = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	otherGossipKey = "AAAAAAAAAAAAAAAAAAAAAA=="
	key1           = "562e28bb-2fd7-809c-57c5-26c9a2279a9d"
	key2           = "56bbe0af-7825-0fb8-6e68-e9e4f1b176cc"
)

// hostStats is what a node's machine is busy with.
var hostStats = &structs.HostStats{
	Memory: &structs.HostMemoryStats{Total: 8 << 30, Available: 5 << 30, Used: 3 << 30, Free: 1 << 30},
	CPU:    []*structs.HostCPUStats{{CPU: "cpu0", User: 12.5, System: 2.25, Idle: 85.25}},
	DiskStats: []*structs.HostDiskStats{{
		Device: "/dev/sda1", Mountpoint: "/", Size: 100 << 30, Used: 25 << 30, Available: 75 << 30, UsedPercent: 25, InodesUsedPercent: 1.5,
	}},
	Uptime: 90061,
}

var start = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)

// cluster answers the RPCs behind a real HTTP API.
type cluster struct {
	mu    sync.Mutex
	reply map[string]any // a value, an error, or func(args any) any; guarded by mu
	calls []string       // guarded by mu

	streams func(ctx context.Context, method string) (net.Conn, error)
}

func newCluster() *cluster {
	nodes := map[string]*structs.Node{
		node1: {
			ID: node1, Name: "web-1", NodePool: "default", Datacenter: "dc1", HTTPAddr: "10.0.0.1:4646", Status: "ready",
			SchedulingEligibility: "eligible", StatusUpdatedAt: start.Unix(), IdentitySigningKeyID: key1,
			Attributes: structs.NewStringMap(map[string]string{"os.name": "debian", "nomad.version": "2.0.5", "cpu.numcores": "4"}),
			Meta:       structs.NewStringMap(map[string]string{"rack": "r1", "owner": "web"}),
			Events: []*structs.NodeEvent{
				{Message: "Node registered", Subsystem: "Cluster", Timestamp: start},
				{Message: "Node heartbeat missed", Subsystem: "Heartbeat", Timestamp: start.Add(time.Hour), Details: map[string]string{"b": "2", "a": "1"}},
			},
			Drivers: raw(map[string]any{"exec": map[string]any{}, "docker": map[string]any{}}),
		},
		node2: {
			ID: node2, Name: "evil-\x1b[31m2", NodePool: "edge", NodeClass: "small", Datacenter: "dc2", Status: "down",
			SchedulingEligibility: "ineligible", DrainStrategy: &structs.DrainStrategy{ForceDeadline: start.Add(2 * time.Hour)},
		},
		node3: {ID: node3, Name: "db-1", NodePool: "edge", Datacenter: "dc1", Status: "initializing", SchedulingEligibility: "eligible"},
	}
	list := func(args any) any {
		var out structs.NodeListResponse
		req := args.(*structs.NodeListRequest)
		for _, id := range []string{node1, node2, node3} {
			if strings.HasPrefix(id, req.Prefix) {
				out.Nodes = append(out.Nodes, nodes[id].Stub(req.Fields))
			}
		}
		if req.PerPage > 0 && len(out.Nodes) > int(req.PerPage) {
			out.NextToken = out.Nodes[req.PerPage].ID
			out.Nodes = out.Nodes[:req.PerPage]
		}
		return out
	}
	pools := []*structs.NodePool{
		{Name: "default", Description: "Default node pool.", NodeIdentityTTL: 24 * time.Hour},
		{
			Name: "edge", NodeIdentityTTL: time.Hour, Meta: map[string]string{"site": "lisbon", "b": "2"},
			SchedulerConfiguration: &structs.NodePoolSchedulerConfiguration{SchedulerAlgorithm: "spread"},
		},
	}
	return &cluster{reply: map[string]any{
		"Node.List": list,
		"Node.GetNode": func(args any) any {
			return structs.SingleNodeResponse{Node: nodes[args.(*structs.NodeSpecificRequest).NodeID], QueryMeta: structs.QueryMeta{Index: 50}}
		},
		"Node.UpdateDrain":       structs.NodeChangeResponse{NodeModifyIndex: 51, WriteMeta: structs.WriteMeta{Index: 51}},
		"Node.UpdateEligibility": structs.NodeChangeResponse{NodeModifyIndex: 51, WriteMeta: structs.WriteMeta{Index: 51}},
		"NodeIdentity.Get": structs.NodeIdentityGetResponse{Claims: map[string]any{
			"sub": "node:global:default:" + node1 + ":default", "aud": []any{"a", "b"}, "exp": float64(start.Unix()), "iat": float64(start.Unix()),
			"nomad_node_id": node1, "nomad_node_pool": "default", "jti": "x\x1b",
		}},
		"NodeMeta.Read": structs.NodeMetaResponse{
			Meta: map[string]string{"rack": "r1"}, Dynamic: map[string]*string{"rack": new("r1"), "owner": nil}, Static: map[string]string{"owner": "web"},
		},
		"NodeMeta.Apply":    structs.NodeMetaResponse{Meta: map[string]string{"rack": "r2"}, Dynamic: map[string]*string{"rack": new("r2")}},
		"ClientStats.Stats": structs.ClientStatsResponse{HostStats: raw(hostStats)},
		"Search.PrefixSearch": func(args any) any {
			var out structs.SearchResponse
			out.Matches = map[structs.SearchContext][]string{structs.SearchNodes: {}, structs.SearchNodePools: {}, "jobs": {}}
			prefix := args.(*structs.SearchRequest).Prefix
			for kind, names := range map[structs.SearchContext][]string{structs.SearchNodes: {node1, node2, node3}, structs.SearchNodePools: {"default", "edge"}} {
				for _, name := range names {
					if strings.HasPrefix(name, prefix) {
						out.Matches[kind] = append(out.Matches[kind], name)
					}
				}
			}
			return out
		},
		"Operator.SchedulerGetConfiguration": structs.SchedulerConfigResponse{SchedulerConfig: structs.DefaultSchedulerConfiguration()},
		"Operator.SchedulerSetConfiguration": structs.SchedulerSetConfigResponse{Updated: true},
		"NodePool.List":                      structs.NodePoolListResponse{NodePools: pools},
		"ACL.CreateClientIntroductionToken":  structs.ClientIntroductionResponse{JWT: "e30.e30.c2ln"},
		"NodePool.GetNodePool": func(args any) any {
			for _, p := range pools {
				if p.Name == args.(*structs.NodePoolSpecificRequest).Name {
					return structs.SingleNodePoolResponse{NodePool: p}
				}
			}
			return structs.SingleNodePoolResponse{}
		},
		"NodePool.ListNodes": func(args any) any {
			if args.(*structs.NodePoolNodesRequest).Name == "none" {
				return structs.NodeListResponse{}
			}
			return structs.NodeListResponse{Nodes: []*structs.NodeListStub{nodes[node3].Stub(nil)}}
		},
		"ACL.Bootstrap":    structs.ACLTokenUpsertResponse{Tokens: []*structs.ACLToken{{AccessorID: node1, SecretID: node3, Name: "Bootstrap Token", Type: "management", Global: true, CreateTime: start, CreateIndex: 7, ModifyIndex: 7}}},
		"ACL.UpsertTokens": structs.ACLTokenUpsertResponse{Tokens: []*structs.ACLToken{{AccessorID: node1, SecretID: node3, Name: "ci", Type: "client", Policies: []string{"read", "keys"}, Roles: []*structs.ACLTokenRoleLink{{ID: node2, Name: "viewer"}}, CreateTime: start, ExpirationTime: &start}}},
		"ACL.GetToken":     structs.SingleACLTokenResponse{Token: &structs.ACLToken{AccessorID: node1, Name: "ci", Type: "client", Policies: []string{"read"}, CreateTime: start}},
		"ACL.WhoAmI":       structs.ACLWhoAmIResponse{Identity: &structs.AuthenticatedIdentity{ACLToken: &structs.ACLToken{AccessorID: node1, Type: "client", Policies: []string{"read"}, CreateTime: start}}},
		"ACL.ListTokens":   structs.ACLTokenListResponse{Tokens: []*structs.ACLTokenListStub{{AccessorID: node1, Name: "ci", Type: "client"}, {AccessorID: node2, Type: "management", Global: true, ExpirationTime: &start}}},
		"ACL.ListPolicies": structs.ACLPolicyListResponse{Policies: []*structs.ACLPolicyListStub{{Name: "keys"}, {Name: "read", Description: "look"}}},
		"ACL.GetPolicy":    structs.SingleACLPolicyResponse{Policy: &structs.ACLPolicy{Name: "read", Rules: "node { policy = \"read\" }", CreateIndex: 5, ModifyIndex: 6}},
		"ACL.UpsertRoles":  structs.ACLRolesUpsertResponse{ACLRoles: []*structs.ACLRole{{ID: node2, Name: "viewer", Policies: []*structs.ACLRolePolicyLink{{Name: "read"}}}}},
		"ACL.GetRoleByID":  structs.SingleACLRoleResponse{ACLRole: &structs.ACLRole{ID: node2, Name: "viewer", Description: "d", Policies: []*structs.ACLRolePolicyLink{{Name: "read"}}}},
		"ACL.ListRoles":    structs.ACLRolesListResponse{ACLRoles: []*structs.ACLRole{{ID: node2, Name: "viewer", Policies: []*structs.ACLRolePolicyLink{{Name: "read"}, {Name: "keys"}}}}},
		"Keyring.List": structs.KeyringListResponse{Keys: []*structs.RootKeyMeta{
			{KeyID: key1, State: "active", CreateTime: start.UnixNano()},
			{KeyID: key2, State: "prepublished", CreateTime: start.UnixNano(), PublishTime: start.Add(24 * time.Hour).UnixNano()},
		}},
		"Keyring.Status": structs.KeyringStatusResponse{Servers: []*structs.KeyringServerStatus{
			{
				ID: "aaaa", Name: "s1.global", Address: "10.0.0.1:4647",
				Providers: []*structs.KeyringProvider{{ID: "aead", Clear: true}, {ID: "aead.kek1", Active: true, Check: "0123456789abcdef"}},
				Keys: []*structs.RootKeyStatus{
					{KeyID: key1, State: "active", Loaded: true, Copies: []*structs.RootKeyCopy{
						{ID: "c1", ProviderID: "aead", Clear: true, Readable: true}, {ID: "c2", ProviderID: "aead.kek1", Readable: true}}},
					{KeyID: key2, State: "prepublished", Error: "unwrap by keyring provider transit: not configured on this server", Copies: []*structs.RootKeyCopy{
						{ID: "c3", ProviderID: "transit", Error: "unwrap by keyring provider transit: not configured on this server"}}},
				},
			},
			{ID: "bbbb", Name: "s2.global", Address: "10.0.0.2:4647", Error: "connection refused"},
		}},
		"Keyring.Rewrap": structs.KeyringRewrapResponse{ProviderID: "aead.kek1", Done: true, Keys: []*structs.RewrapKey{
			{KeyID: key1, State: "active", Phase: structs.RewrapDone, Copies: []string{"aead.kek1"}, Waiting: []string{}},
		}},
		"Keyring.Rotate": structs.KeyringRotateResponse{Key: &structs.RootKeyMeta{KeyID: key2, State: "active", CreateTime: start.UnixNano()}},
		"Operator.RaftGetConfiguration": structs.RaftConfigurationResponse{Index: 9, Servers: []*structs.RaftServer{
			{ID: "aaaa", Node: "s1.global", Address: "10.0.0.1:4647", Leader: true, Voter: true, RaftProtocol: "3"},
			{ID: "bbbb", Node: "(unknown)", Address: "10.0.0.2:4647", RaftProtocol: "unknown"},
		}},
		"Operator.TransferLeadershipToPeer": structs.LeadershipTransferResponse{
			From: structs.RaftIDAddress{ID: "aaaa", Address: "10.0.0.1:4647"}, To: structs.RaftIDAddress{ID: "bbbb", Address: "10.0.0.2:4647"},
		},
		"Operator.AutopilotGetConfiguration": *structs.DefaultAutopilotConfig(),
		"Operator.AutopilotSetConfiguration": true,
		"Operator.ServerHealth": structs.OperatorHealthReply{
			Healthy: true, FailureTolerance: 1, Leader: "aaaa", Voters: []string{"aaaa"},
			Servers: []structs.ServerHealth{{
				ID: "aaaa", Name: "s1.global", Address: "10.0.0.1:4647", SerfStatus: "alive", Version: "2.0.5", Leader: true, LastContact: 12 * time.Millisecond,
				LastTerm: 2, LastIndex: 46, Healthy: true, Voter: true, StableSince: start,
			}},
		},
		"Status.Leader": func(args any) any {
			if args.(*structs.GenericRequest).Region == "eu" {
				return ""
			}
			return "10.0.0.1:4647"
		},
		"Status.Members": structs.ServerMembersResponse{ServerName: "s1", ServerRegion: "global", ServerDC: "dc1", Members: []*structs.ServerMember{
			member("s2.global", 2, "failed", "global"), member("s1.global", 1, "alive", "global"), member("s9.eu", 9, "alive", "eu"),
		}},
	}}
}

func member(name string, last byte, status, region string) *structs.ServerMember {
	return &structs.ServerMember{
		Name: name, Addr: []byte{10, 0, 0, last}, Port: 4648, Status: status, ProtocolCur: 2,
		Tags: map[string]string{"port": "4647", "raft_vsn": "3", "build": "2.0.5", "dc": "dc1", "region": region, "id": strings.TrimSuffix(name, "."+region) + "-id"},
	}
}

func raw(v any) structs.Raw {
	b, err := structs.EncodeBytes(v)
	if err != nil {
		panic(err)
	}
	return b
}

func (c *cluster) RPC(_ context.Context, method string, args, reply any) error {
	text, err := json.Marshal(args)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.calls = append(c.calls, method+" "+string(text))
	v := c.reply[method]
	if f, ok := v.(func(any) any); ok {
		v = f(args)
	}
	c.mu.Unlock()
	if err, ok := v.(error); ok {
		return structs.ErrorFromWire(err.Error())
	}
	if v != nil {
		reflect.ValueOf(reply).Elem().Set(reflect.ValueOf(v))
	}
	return nil
}

// Stream answers streaming calls with c.streams, which is nil where a test has no snapshots.
func (c *cluster) Stream(ctx context.Context, method string) (net.Conn, error) {
	if c.streams == nil {
		return nil, errors.New("this cluster has no streams")
	}
	return c.streams(ctx, method)
}

func (c *cluster) Join(_ context.Context, addrs []string) (int, error) {
	if addrs[0] == "nobody" {
		return 0, errors.New("nobody answered")
	}
	return len(addrs), nil
}

func (c *cluster) ForceLeave(_ context.Context, name string, prune bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, fmt.Sprintf("ForceLeave %s prune=%v", name, prune))
	return nil
}

func (c *cluster) ListGossipKeys() (*structs.GossipKeysResponse, error) {
	return &structs.GossipKeysResponse{Keys: map[string]int{gossipKey: 3, otherGossipKey: 2}, NumNodes: 3}, nil
}

func (c *cluster) InstallGossipKey(string) (*structs.GossipKeysResponse, error) {
	return c.gossipKeys("InstallGossipKey", nil)
}

func (c *cluster) UseGossipKey(string) (*structs.GossipKeysResponse, error) {
	return c.gossipKeys("UseGossipKey", nil)
}

func (c *cluster) RemoveGossipKey(key string) (*structs.GossipKeysResponse, error) {
	if key != gossipKey {
		return c.gossipKeys("RemoveGossipKey", nil)
	}
	return c.gossipKeys("RemoveGossipKey", errors.New("remove gossip key: 1/3 nodes reported failure; s1.global: removing the primary key is not allowed"))
}

func (c *cluster) gossipKeys(call string, err error) (*structs.GossipKeysResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, call)
	return &structs.GossipKeysResponse{NumNodes: 3}, err
}

func (c *cluster) Stats() map[string]map[string]string {
	return map[string]map[string]string{"client": {"node_id": node1}}
}

func (c *cluster) LocalMember() *structs.ServerMember { return nil }

// serve puts a real HTTP API before the cluster and makes commands use it.
func (c *cluster) serve(t *testing.T) {
	t.Helper()
	srv := httptest.NewServer(c.handler(t))
	t.Cleanup(srv.Close)
	t.Setenv("ROLLCALL_ADDR", srv.URL)
}

func (c *cluster) handler(t *testing.T) http.Handler {
	t.Helper()
	api, err := httpapi.New(httpapi.Config{Region: "global"}, c, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// outcome is what one command did.
type outcome struct {
	code     int
	out, err string
}

func rollcall(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(stdin), out: &out, err: &errs}
	code := a.run(t.Context(), append([]string{"rollcall"}, args...))
	return outcome{code, out.String(), errs.String()}
}

// golden compares text with a file of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	wanted, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(wanted), text); diff != "" {
		t.Errorf("%s (-want +got; go test -update writes it anew):\n%s", file, diff)
	}
}
