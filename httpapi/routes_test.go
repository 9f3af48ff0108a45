package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

// The options that a request without parameters turns into.
var (
	plainQuery = structs.QueryOptions{Region: "global", Namespace: "default"}
	staleQuery = structs.QueryOptions{Region: "global", Namespace: "default", AllowStale: true}
	plainWrite = structs.WriteRequest{Region: "global", Namespace: "default"}
)

// routeCase is one request and everything it must lead to.
type routeCase struct {
	name         string
	method, path string
	body         string
	rpc          string // method called; empty for none
	args         any
	reply        any
	code         int // 0 means 200
	want         string
	headers      map[string]string
}

// encoded is a value that the API hands on without reading it.
func encoded(v any) structs.Raw {
	b, err := structs.EncodeBytes(v)
	if err != nil {
		panic(err)
	}
	return b
}

var meta = structs.QueryMeta{Index: 42, LastContact: 1500 * time.Millisecond, KnownLeader: true}

var readHeaders = map[string]string{
	"X-Nomad-Index": "42", "X-Nomad-LastContact": "1500", "X-Nomad-KnownLeader": "true", "X-Nomad-NextToken": "",
}

// routeCases has the answers of every route that is one RPC.
var routeCases = slices.Concat(subsetCases, absentCases)

var subsetCases = []routeCase{
	{
		name: "an introduction with everything", method: "PUT", path: "/v1/acl/identity/client-introduction-token",
		rpc:  "ACL.CreateClientIntroductionToken",
		body: `{"TTL":"10m","NodeName":"web-1","NodePool":"gpu","NodeClass":"large","NodeDatacenter":"dc2"}`,
		args: &structs.ClientIntroductionRequest{
			TTL: 10 * time.Minute, NodeName: "web-1", NodePool: "gpu", NodeClass: "large", NodeDatacenter: "dc2", WriteRequest: plainWrite,
		},
		reply: structs.ClientIntroductionResponse{JWT: "a.b.c"}, want: `{"JWT":"a.b.c"}`,
		headers: map[string]string{"X-Nomad-Index": ""},
	},
	{
		name: "an introduction as the SDK asks for it, by POST", method: "POST", path: "/v1/acl/identity/client-introduction-token",
		rpc: "ACL.CreateClientIntroductionToken", body: `{"TTL":300000000000,"NodeName":"","NodePool":""}`,
		args: &structs.ClientIntroductionRequest{TTL: 5 * time.Minute, WriteRequest: plainWrite},
		want: `{"JWT":""}`,
	},
	{
		name: "an introduction with an empty TTL", method: "PUT", path: "/v1/acl/identity/client-introduction-token",
		rpc: "ACL.CreateClientIntroductionToken", body: `{"TTL":""}`,
		args: &structs.ClientIntroductionRequest{WriteRequest: plainWrite}, want: `{"JWT":""}`,
	},
	{
		name: "an introduction without a body", method: "PUT", path: "/v1/acl/identity/client-introduction-token",
		rpc: "ACL.CreateClientIntroductionToken", args: &structs.ClientIntroductionRequest{WriteRequest: plainWrite}, want: `{"JWT":""}`,
	},
	{
		name: "nodes are listed with the metadata of the read", method: "GET", path: "/v1/nodes?resources=true&os",
		rpc:   "Node.List",
		args:  &structs.NodeListRequest{Fields: &structs.NodeStubFields{Resources: true, OS: true}, QueryOptions: plainQuery},
		reply: structs.NodeListResponse{Nodes: []*structs.NodeListStub{{ID: nodeID, Name: "n1", Drain: true}}, QueryMeta: meta},
		want: `[{"Address":"","ID":"` + nodeID + `","Datacenter":"","Name":"n1","NodePool":"","NodeClass":"","Version":"","Drain":true,` +
			`"SchedulingEligibility":"","Status":"","StatusDescription":"","Drivers":null,"HostVolumes":null,"LastDrain":null,"CreateIndex":0,"ModifyIndex":0}]`,
		headers: readHeaders,
	},
	{
		name: "no nodes are an empty array", method: "GET", path: "/v1/nodes", rpc: "Node.List",
		args: &structs.NodeListRequest{Fields: &structs.NodeStubFields{}, QueryOptions: plainQuery}, want: `[]`,
	},
	{
		name: "a node that does not exist", method: "GET", path: "/v1/node/" + nodeID, rpc: "Node.GetNode",
		args: &structs.NodeSpecificRequest{NodeID: nodeID, QueryOptions: plainQuery}, code: 404, want: "node not found",
	},
	{
		name: "a node has no allocations", method: "GET", path: "/v1/node/" + nodeID + "/allocations", rpc: "Node.GetAllocs",
		args: &structs.NodeSpecificRequest{NodeID: nodeID, QueryOptions: plainQuery}, want: `[]`,
	},
	{
		name: "a drain with a deadline", method: "PUT", path: "/v1/node/" + nodeID + "/drain", rpc: "Node.UpdateDrain",
		body: `{"NodeID":"` + nodeID + `","DrainSpec":{"Deadline":60000000000,"IgnoreSystemJobs":true},"Meta":{"why":"disk"}}`,
		args: &structs.NodeUpdateDrainRequest{
			NodeID: nodeID, Meta: map[string]string{"why": "disk"}, WriteRequest: plainWrite,
			DrainStrategy: &structs.DrainStrategy{DrainSpec: structs.DrainSpec{Deadline: time.Minute, IgnoreSystemJobs: true}},
		},
		reply:   structs.NodeChangeResponse{NodeModifyIndex: 7, WriteMeta: structs.WriteMeta{Index: 7}},
		want:    `{"NodeModifyIndex":7,"EvalIDs":null,"EvalCreateIndex":0,"Index":7}`,
		headers: map[string]string{"X-Nomad-Index": "7", "X-Nomad-KnownLeader": ""},
	},
	{
		name: "the end of a drain, by POST", method: "POST", path: "/v1/node/" + nodeID + "/drain", rpc: "Node.UpdateDrain",
		body: `{"DrainSpec":null,"MarkEligible":true}`,
		args: &structs.NodeUpdateDrainRequest{NodeID: nodeID, MarkEligible: true, WriteRequest: plainWrite},
		want: `{"NodeModifyIndex":0,"EvalIDs":null,"EvalCreateIndex":0,"Index":0}`,
	},
	{
		name: "eligibility", method: "PUT", path: "/v1/node/" + nodeID + "/eligibility", rpc: "Node.UpdateEligibility",
		body: `{"Eligibility":"ineligible"}`,
		args: &structs.NodeUpdateEligibilityRequest{NodeID: nodeID, Eligibility: "ineligible", WriteRequest: plainWrite},
		want: `{"NodeModifyIndex":0,"EvalIDs":null,"EvalCreateIndex":0,"Index":0}`,
	},
	{
		name: "a node is evaluated", method: "PUT", path: "/v1/node/" + nodeID + "/evaluate", rpc: "Node.Evaluate",
		args: &structs.NodeEvaluateRequest{NodeID: nodeID, WriteRequest: plainWrite},
		want: updateReplyJSON,
	},
	{
		name: "a purge never hands out a token", method: "PUT", path: "/v1/node/" + nodeID + "/purge", rpc: "Node.Deregister",
		args:  &structs.NodeDeregisterRequest{NodeID: nodeID, WriteRequest: plainWrite},
		reply: structs.NodeUpdateResponse{SignedIdentity: new(string)}, want: updateReplyJSON,
	},
	{
		name: "pools are listed", method: "GET", path: "/v1/node/pools", rpc: "NodePool.List",
		args:  &structs.NodePoolListRequest{QueryOptions: plainQuery},
		reply: structs.NodePoolListResponse{NodePools: []*structs.NodePool{{Name: "edge", NodeIdentityTTL: time.Hour, Hash: []byte{1}}}, QueryMeta: meta},
		want: `[{"Name":"edge","Description":"","Meta":null,"SchedulerConfiguration":null,"NodeIdentityTTL":3600000000000,` +
			`"Hash":"AQ==","CreateIndex":0,"ModifyIndex":0}]`,
		headers: readHeaders,
	},
	{
		name: "a pool is written with its TTL as a string", method: "PUT", path: "/v1/node/pools", rpc: "NodePool.UpsertNodePools",
		body: `{"Name":"edge","Description":"boxes","NodeIdentityTTL":"12h0m0s","Meta":{"a":"b"},"Hash":"AQ==","CreateIndex":9}`,
		args: &structs.NodePoolUpsertRequest{NodePools: []*structs.NodePool{{
			Name: "edge", Description: "boxes", NodeIdentityTTL: 12 * time.Hour, Meta: map[string]string{"a": "b"},
		}}, WriteRequest: plainWrite},
		reply:   structs.GenericResponse{WriteMeta: structs.WriteMeta{Index: 5}},
		headers: map[string]string{"X-Nomad-Index": "5"},
	},
	{
		name: "a pool is written under its name with its TTL as nanoseconds", method: "POST", path: "/v1/node/pool/edge",
		rpc: "NodePool.UpsertNodePools", body: `{"Name":"edge","NodeIdentityTTL":1000000000}`,
		args: &structs.NodePoolUpsertRequest{
			NodePools: []*structs.NodePool{{Name: "edge", NodeIdentityTTL: time.Second}}, WriteRequest: plainWrite,
		},
	},
	{
		name: "a pool that does not exist", method: "GET", path: "/v1/node/pool/edge", rpc: "NodePool.GetNodePool",
		args: &structs.NodePoolSpecificRequest{Name: "edge", QueryOptions: plainQuery}, code: 404, want: "node pool not found",
	},
	{
		name: "a pool named like a verb", method: "GET", path: "/v1/node/pool/drain", rpc: "NodePool.GetNodePool",
		args:  &structs.NodePoolSpecificRequest{Name: "drain", QueryOptions: plainQuery},
		reply: structs.SingleNodePoolResponse{NodePool: &structs.NodePool{Name: "drain"}},
		want:  `{"Name":"drain","Description":"","Meta":null,"SchedulerConfiguration":null,"NodeIdentityTTL":0,"Hash":null,"CreateIndex":0,"ModifyIndex":0}`,
	},
	{
		name: "a pool is deleted", method: "DELETE", path: "/v1/node/pool/edge", rpc: "NodePool.DeleteNodePools",
		args: &structs.NodePoolDeleteRequest{Names: []string{"edge"}, WriteRequest: plainWrite},
	},
	{
		name: "a pool's nodes", method: "GET", path: "/v1/node/pool/all/nodes?os=true", rpc: "NodePool.ListNodes",
		args: &structs.NodePoolNodesRequest{Name: "all", Fields: &structs.NodeStubFields{OS: true}, QueryOptions: plainQuery}, want: `[]`,
	},
	{
		name: "a pool's jobs", method: "GET", path: "/v1/node/pool/all/jobs?meta=true", rpc: "NodePool.ListJobs",
		args: &structs.NodePoolJobsRequest{Name: "all", QueryOptions: plainQuery}, want: `[]`,
	},
	{
		name: "a node's claims", method: "GET", path: "/v1/client/identity?node_id=" + otherID, rpc: "NodeIdentity.Get",
		args:  &structs.NodeSpecificRequest{NodeID: otherID, QueryOptions: plainQuery},
		reply: structs.NodeIdentityGetResponse{Claims: map[string]any{"aud": "nomadproject.io", "exp": float64(1795295951)}},
		want:  `{"Claims":{"aud":"nomadproject.io","exp":1795295951}}`,
	},
	{
		name: "a forced renewal with the node in the body", method: "POST", path: "/v1/client/identity/renew", rpc: "NodeIdentity.Renew",
		body: `{"NodeID":"` + otherID + `"}`, args: &structs.NodeSpecificRequest{NodeID: otherID, QueryOptions: plainQuery}, want: `{}`,
	},
	{
		name: "a node's metadata", method: "GET", path: "/v1/client/metadata?node_id=" + otherID, rpc: "NodeMeta.Read",
		args: &structs.NodeSpecificRequest{NodeID: otherID, QueryOptions: plainQuery},
		reply: structs.NodeMetaResponse{
			Meta: map[string]string{"rack": "r1"}, Dynamic: map[string]*string{"gone": nil}, Static: map[string]string{"rack": "r1", "gone": "x"},
		},
		want: `{"Meta":{"rack":"r1"},"Dynamic":{"gone":null},"Static":{"gone":"x","rack":"r1"}}`,
	},
	{
		name: "metadata is applied, and removed by null", method: "POST", path: "/v1/client/metadata", rpc: "NodeMeta.Apply",
		body: `{"NodeID":"` + otherID + `","Meta":{"rack":"r2","gone":null}}`,
		args: &structs.NodeMetaApplyRequest{NodeID: otherID, Meta: map[string]*string{"rack": new("r2"), "gone": nil}, QueryOptions: plainQuery},
		want: `{"Meta":null,"Dynamic":null,"Static":null}`,
	},
	{
		name: "a node's numbers are handed on as they came", method: "GET", path: "/v1/client/stats?node_id=" + otherID, rpc: "ClientStats.Stats",
		args:  &structs.NodeSpecificRequest{NodeID: otherID, QueryOptions: plainQuery},
		reply: structs.ClientStatsResponse{HostStats: encoded(map[string]any{"Uptime": 5, "Newer": 1.5})},
		want:  `{"Newer":1.5,"Uptime":5}`,
	},
	{
		name: "a node without allocations has no garbage", method: "GET", path: "/v1/client/gc?node_id=" + otherID, rpc: "Node.GetNode",
		args:  &structs.NodeSpecificRequest{NodeID: otherID, QueryOptions: plainQuery},
		reply: structs.SingleNodeResponse{Node: &structs.Node{ID: otherID}},
	},
	{
		name: "garbage of a node that does not exist", method: "GET", path: "/v1/client/gc?node_id=" + otherID, rpc: "Node.GetNode",
		args: &structs.NodeSpecificRequest{NodeID: otherID, QueryOptions: plainQuery}, code: 404, want: "Unknown node " + otherID,
	},
	{
		name: "keys are listed", method: "GET", path: "/v1/operator/keyring/keys", rpc: "Keyring.List",
		args:  &structs.GenericRequest{QueryOptions: plainQuery},
		reply: structs.KeyringListResponse{Keys: []*structs.RootKeyMeta{{KeyID: nodeID, Algorithm: "aes256-gcm", CreateTime: 3, State: "active"}}, QueryMeta: meta},
		want: `[{"KeyID":"` + nodeID + `","Algorithm":"aes256-gcm","CreateTime":3,"CreateIndex":0,"ModifyIndex":0,` +
			`"State":"active","PublishTime":0}]`,
		headers: readHeaders,
	},
	{
		name: "a key is rotated; full counts by being there", method: "PUT", path: "/v1/operator/keyring/rotate?algo=aes256-gcm&full",
		rpc:   "Keyring.Rotate",
		args:  &structs.KeyringRotateRequest{Algorithm: "aes256-gcm", Full: true, WriteRequest: plainWrite},
		reply: structs.KeyringRotateResponse{Key: &structs.RootKeyMeta{KeyID: nodeID}, WriteMeta: structs.WriteMeta{Index: 9}},
		want: `{"Key":{"KeyID":"` + nodeID + `","Algorithm":"","CreateTime":0,"CreateIndex":0,"ModifyIndex":0,"State":"","PublishTime":0},` +
			`"Index":9}`,
		headers: map[string]string{"X-Nomad-Index": "9"},
	},
	{
		name: "a key is published ahead", method: "PUT", path: "/v1/operator/keyring/rotate?publish_time=1795295951171577530",
		rpc:  "Keyring.Rotate",
		args: &structs.KeyringRotateRequest{PublishTime: 1795295951171577530, WriteRequest: plainWrite},
		want: `{"Key":null,"Index":0}`,
	},
	{
		name: "a key is removed by force", method: "DELETE", path: "/v1/operator/keyring/key/" + nodeID + "?force=true", rpc: "Keyring.Delete",
		args:  &structs.KeyringDeleteRequest{KeyID: nodeID, Force: true, WriteRequest: plainWrite},
		reply: structs.GenericResponse{WriteMeta: structs.WriteMeta{Index: 9}}, want: `{"Index":9}`,
	},
	{
		name: "the state of keys on all servers", method: "GET", path: "/v1/operator/keyring/status", rpc: "Keyring.Status",
		args:  &structs.GenericRequest{QueryOptions: plainQuery},
		reply: structs.KeyringStatusResponse{Servers: []*structs.KeyringServerStatus{{ID: "a", Name: "s1.global", Error: "no answer"}}, QueryMeta: meta},
		want:  `[{"ID":"a","Name":"s1.global","Address":"","Error":"no answer","Providers":null,"Keys":null}]`, headers: readHeaders,
	},
	{
		name: "keys are moved a step", method: "PUT", path: "/v1/operator/keyring/rewrap?provider=aead.kek1", rpc: "Keyring.Rewrap",
		args:  &structs.KeyringRewrapRequest{ProviderID: "aead.kek1", WriteRequest: plainWrite},
		reply: structs.KeyringRewrapResponse{ProviderID: "aead.kek1", Done: true, WriteMeta: structs.WriteMeta{Index: 9}},
		want:  `{"ProviderID":"aead.kek1","Done":true,"Keys":null,"Index":9}`, headers: map[string]string{"X-Nomad-Index": "9"},
	},
	{
		name: "Raft configuration", method: "GET", path: "/v1/operator/raft/configuration?stale", rpc: "Operator.RaftGetConfiguration",
		args: &structs.GenericRequest{QueryOptions: structs.QueryOptions{Region: "global", Namespace: "default", AllowStale: true}},
		reply: structs.RaftConfigurationResponse{Index: 4, Servers: []*structs.RaftServer{
			{ID: "a", Node: "s1.global", Address: "127.0.0.1:4647", Leader: true, Voter: true, RaftProtocol: "3"},
		}},
		want: `{"Servers":[{"ID":"a","Node":"s1.global","Address":"127.0.0.1:4647","Leader":true,"Voter":true,"RaftProtocol":"3"}],"Index":4}`,
	},
	{
		name: "a Raft peer is removed", method: "DELETE", path: "/v1/operator/raft/peer?id=a", rpc: "Operator.RaftRemovePeerByID",
		args: &structs.RaftPeerRequest{ID: "a", WriteRequest: plainWrite},
	},
	{
		name: "leadership is handed over", method: "PUT", path: "/v1/operator/raft/transfer-leadership?address=127.0.0.1:4647",
		rpc:   "Operator.TransferLeadershipToPeer",
		args:  &structs.RaftPeerRequest{Address: "127.0.0.1:4647", WriteRequest: plainWrite},
		reply: structs.LeadershipTransferResponse{From: structs.RaftIDAddress{ID: "b", Address: "y"}, To: structs.RaftIDAddress{ID: "a", Address: "x"}},
		want:  `{"From":{"Address":"y","ID":"b"},"To":{"Address":"x","ID":"a"},"Noop":false,"Err":null}`,
	},
	{
		name: "autopilot's durations are strings", method: "GET", path: "/v1/operator/autopilot/configuration",
		rpc: "Operator.AutopilotGetConfiguration", args: &structs.GenericRequest{QueryOptions: plainQuery},
		reply: *structs.DefaultAutopilotConfig(), want: autopilotJSON,
	},
	{
		name: "autopilot is configured if unchanged", method: "PUT", path: "/v1/operator/autopilot/configuration?cas=12",
		rpc: "Operator.AutopilotSetConfiguration", body: autopilotJSON,
		args: &structs.AutopilotSetConfigRequest{Datacenter: "dc1", CAS: true, WriteRequest: plainWrite, Config: func() structs.AutopilotConfig {
			c := *structs.DefaultAutopilotConfig()
			c.ModifyIndex = 12
			return c
		}()},
		reply: true, want: `true`,
	},
	{
		name: "the digest of a server's state", method: "GET", path: "/v1/operator/digest?stale", rpc: "Operator.StateDigest",
		args:  &structs.AgentRequest{QueryOptions: staleQuery},
		reply: structs.StateDigest{Index: 512, Digest: "ab", Version: 1, Checks: 2, LastCheckIndex: 512},
		want:  `{"Index":512,"Digest":"ab","Version":1,"Base":"","Checks":2,"Skipped":0,"LastCheckIndex":512}`,
	},
	{
		name: "the digest of another server's state", method: "GET", path: "/v1/operator/digest?server_id=s2", rpc: "Operator.StateDigest",
		args:  &structs.AgentRequest{ServerID: "s2", QueryOptions: staleQuery},
		reply: structs.StateDigest{Index: 512, Digest: "ab", Version: 1},
		want:  `{"Index":512,"Digest":"ab","Version":1,"Base":"","Checks":0,"Skipped":0,"LastCheckIndex":0}`,
	},
	{
		name: "what another server tells of itself", method: "GET", path: "/v1/agent/self?server_id=s2", rpc: "Agent.Self",
		args:  &structs.AgentRequest{ServerID: "s2", QueryOptions: plainQuery},
		reply: structs.AgentReportResponse{AgentID: "s2.global", Report: []byte(`{"config":{}}`)}, want: `{"config":{}}`,
	},
	{
		name: "what a node tells of itself", method: "GET", path: "/v1/agent/self?node_id=" + otherID, rpc: "Agent.Self",
		args:  &structs.AgentRequest{NodeID: otherID, QueryOptions: plainQuery},
		reply: structs.AgentReportResponse{Report: []byte(`{"config":{}}`)}, want: `{"config":{}}`,
	},
	{
		name: "metrics of the leader", method: "GET", path: "/v1/metrics?server_id=leader", rpc: "Agent.Metrics",
		args:  &structs.AgentRequest{ServerID: "leader", QueryOptions: plainQuery},
		reply: structs.AgentReportResponse{Report: []byte(`{"Gauges":[]}`)}, want: `{"Gauges":[]}`,
	},
	{
		name: "an agent that tells nonsense", method: "GET", path: "/v1/metrics?server_id=s2", rpc: "Agent.Metrics",
		args:  &structs.AgentRequest{ServerID: "s2", QueryOptions: plainQuery},
		reply: structs.AgentReportResponse{AgentID: "s2.global", Report: []byte(`{"Gau`)}, code: 500,
		want: "agent s2.global tells about itself in something else than JSON",
	},
	{
		name: "the log that has been", method: "GET", path: "/v1/agent/monitor/export", code: 501,
		want: "an agent of Rollcall keeps no log files to export; follow its log by /v1/agent/monitor, or read the service manager's",
	},
	{
		name: "an unhealthy cluster", method: "GET", path: "/v1/operator/autopilot/health", rpc: "Operator.ServerHealth",
		args: &structs.GenericRequest{QueryOptions: plainQuery}, code: 429,
		want: `{"Healthy":false,"FailureTolerance":0,"Servers":[],"Leader":"","Voters":[]}`,
	},
	{
		name: "a healthy cluster", method: "GET", path: "/v1/operator/autopilot/health", rpc: "Operator.ServerHealth",
		args:  &structs.GenericRequest{QueryOptions: plainQuery},
		reply: structs.OperatorHealthReply{Healthy: true, Servers: []structs.ServerHealth{{ID: "a", LastContact: time.Second}}, Leader: "a", Voters: []string{"a"}},
		want: `{"Healthy":true,"FailureTolerance":0,"Servers":[{"ID":"a","Name":"","Address":"","SerfStatus":"","Version":"","Leader":false,` +
			`"LastTerm":0,"LastIndex":0,"Healthy":false,"Voter":false,"StableSince":"0001-01-01T00:00:00Z","LastContact":"1s"}],"Leader":"a","Voters":["a"]}`,
	},
	{
		name: "scheduler configuration", method: "GET", path: "/v1/operator/scheduler/configuration", rpc: "Operator.SchedulerGetConfiguration",
		args:  &structs.GenericRequest{QueryOptions: plainQuery},
		reply: structs.SchedulerConfigResponse{SchedulerConfig: structs.DefaultSchedulerConfiguration(), QueryMeta: meta},
		want:  `{"SchedulerConfig":` + schedulerJSON + `,"Index":42,"LastContact":1500000000,"KnownLeader":true,"NextToken":""}`, headers: readHeaders,
	},
	{
		name: "scheduler configuration is stored", method: "POST", path: "/v1/operator/scheduler/configuration",
		rpc: "Operator.SchedulerSetConfiguration", body: schedulerJSON,
		args:  &structs.SchedulerSetConfigRequest{Config: *structs.DefaultSchedulerConfiguration(), WriteRequest: plainWrite},
		reply: structs.SchedulerSetConfigResponse{Updated: true, WriteMeta: structs.WriteMeta{Index: 3}}, want: `{"Updated":true,"Index":3}`,
	},
	{name: "no licence is needed", method: "GET", path: "/v1/operator/license", code: 204},
	{
		name: "the leader", method: "GET", path: "/v1/status/leader", rpc: "Status.Leader",
		args: &structs.GenericRequest{QueryOptions: plainQuery}, reply: "127.0.0.1:4647", want: `"127.0.0.1:4647"`,
	},
	{
		name: "no leader", method: "GET", path: "/v1/status/leader?region=eu", rpc: "Status.Leader",
		args: &structs.GenericRequest{QueryOptions: structs.QueryOptions{Region: "eu", Namespace: "default"}}, want: `""`,
	},
	{
		name: "peers", method: "GET", path: "/v1/status/peers", rpc: "Status.Peers",
		args: &structs.GenericRequest{QueryOptions: plainQuery}, reply: []string{"a:1", "b:1"}, want: `["a:1","b:1"]`,
	},
	{
		name: "regions", method: "GET", path: "/v1/regions", rpc: "Region.List",
		args: &structs.GenericRequest{QueryOptions: plainQuery}, reply: []string{"global"}, want: `["global"]`,
	},
	{
		name: "members", method: "GET", path: "/v1/agent/members", rpc: "Status.Members",
		args: &structs.GenericRequest{QueryOptions: plainQuery},
		reply: structs.ServerMembersResponse{ServerName: "s1", ServerRegion: "global", ServerDC: "dc1", Members: []*structs.ServerMember{
			{Name: "s1.global", Addr: []byte{127, 0, 0, 1}, Port: 4648, Tags: map[string]string{"port": "4647"}, Status: "alive"},
		}},
		want: `{"ServerName":"s1","ServerRegion":"global","ServerDC":"dc1","Members":[{"Name":"s1.global","Addr":"127.0.0.1","Port":4648,` +
			`"Tags":{"port":"4647"},"Status":"alive","ProtocolMin":0,"ProtocolMax":0,"ProtocolCur":0,"DelegateMin":0,"DelegateMax":0,"DelegateCur":0}]}`,
	},
	{
		name: "ACLs are bootstrapped with a random secret", method: "PUT", path: "/v1/acl/bootstrap", rpc: "ACL.Bootstrap",
		args: &structs.ACLBootstrapRequest{WriteRequest: plainWrite}, reply: oneACLToken, want: aclTokenJSON, headers: map[string]string{"X-Nomad-Index": "7"},
	},
	{
		name: "ACLs are bootstrapped with a secret that was given", method: "POST", path: "/v1/acl/bootstrap", rpc: "ACL.Bootstrap", body: `{"BootstrapSecret":"s"}`,
		args: &structs.ACLBootstrapRequest{BootstrapSecret: "s", WriteRequest: plainWrite}, reply: oneACLToken, want: aclTokenJSON,
	},
	{
		name: "tokens are listed", method: "GET", path: "/v1/acl/tokens?global=true", rpc: "ACL.ListTokens",
		args: &structs.ACLTokenListRequest{GlobalOnly: true, QueryOptions: plainQuery}, want: `[]`,
	},
	{
		name: "a token is made", method: "PUT", path: "/v1/acl/token", rpc: "ACL.UpsertTokens", body: `{"Name":"ci","Type":"client","Policies":["p"],"ExpirationTTL":"2h"}`,
		args: &structs.ACLTokenUpsertRequest{
			Tokens: []*structs.ACLToken{{Name: "ci", Type: "client", Policies: []string{"p"}, ExpirationTTL: 2 * time.Hour}}, WriteRequest: plainWrite,
		},
		reply: oneACLToken, want: aclTokenJSON,
	},
	{
		name: "the caller's token, with the secret that was shown", method: "GET", path: "/v1/acl/token/self", rpc: "ACL.WhoAmI",
		args: &structs.GenericRequest{QueryOptions: plainQuery}, code: 403, want: "ACL token not found",
	},
	{
		name: "a one-time token", method: "PUT", path: "/v1/acl/token/onetime", rpc: "ACL.UpsertOneTimeToken",
		args: &structs.OneTimeTokenUpsertRequest{WriteRequest: plainWrite}, want: `{"OneTimeToken":null,"Index":0}`,
	},
	{
		name: "a one-time token is exchanged", method: "PUT", path: "/v1/acl/token/onetime/exchange", rpc: "ACL.ExchangeOneTimeToken", body: `{"OneTimeSecretID":"o"}`,
		args: &structs.OneTimeTokenExchangeRequest{OneTimeSecretID: "o", WriteRequest: plainWrite}, want: `{"Token":null,"Index":0}`,
	},
	{
		name: "a token that does not exist", method: "GET", path: "/v1/acl/token/a", rpc: "ACL.GetToken",
		args: &structs.ACLTokenSpecificRequest{AccessorID: "a", QueryOptions: plainQuery}, code: 404, want: "ACL token not found",
	},
	{
		name: "a token is changed", method: "PUT", path: "/v1/acl/token/a", rpc: "ACL.UpsertTokens", body: `{"AccessorID":"a","Type":"management"}`,
		args:  &structs.ACLTokenUpsertRequest{Tokens: []*structs.ACLToken{{AccessorID: "a", Type: "management"}}, WriteRequest: plainWrite},
		reply: oneACLToken, want: aclTokenJSON,
	},
	{
		name: "a token is deleted", method: "DELETE", path: "/v1/acl/token/a", rpc: "ACL.DeleteTokens",
		args: &structs.ACLTokenDeleteRequest{AccessorIDs: []string{"a"}, WriteRequest: plainWrite},
	},
	{
		name: "policies are listed", method: "GET", path: "/v1/acl/policies?prefix=o", rpc: "ACL.ListPolicies",
		args:  &structs.ACLPolicyListRequest{QueryOptions: structs.QueryOptions{Region: "global", Namespace: "default", Prefix: "o"}},
		reply: structs.ACLPolicyListResponse{Policies: []*structs.ACLPolicyListStub{{Name: "ops", Hash: []byte{1}}}},
		want:  `[{"Name":"ops","Description":"","JobACL":null,"Hash":"AQ==","CreateIndex":0,"ModifyIndex":0}]`,
	},
	{
		name: "the caller's policies", method: "GET", path: "/v1/acl/policy/self", rpc: "ACL.ListPolicies",
		args: &structs.ACLPolicyListRequest{QueryOptions: plainQuery}, want: `[]`,
	},
	{
		name: "a policy", method: "GET", path: "/v1/acl/policy/ops", rpc: "ACL.GetPolicy",
		args:  &structs.ACLPolicySpecificRequest{Name: "ops", QueryOptions: plainQuery},
		reply: structs.SingleACLPolicyResponse{Policy: &structs.ACLPolicy{Name: "ops", Rules: "node {}"}},
		want:  `{"Name":"ops","Description":"","Rules":"node {}","JobACL":null,"Hash":null,"CreateIndex":0,"ModifyIndex":0}`,
	},
	{
		name: "a policy is applied", method: "PUT", path: "/v1/acl/policy/ops", rpc: "ACL.UpsertPolicies", body: `{"Name":"ops","Rules":"node {}","Hash":"AQ=="}`,
		args: &structs.ACLPolicyUpsertRequest{Policies: []*structs.ACLPolicy{{Name: "ops", Rules: "node {}"}}, WriteRequest: plainWrite},
	},
	{
		name: "a policy is deleted", method: "DELETE", path: "/v1/acl/policy/ops", rpc: "ACL.DeletePolicies",
		args: &structs.ACLPolicyDeleteRequest{Names: []string{"ops"}, WriteRequest: plainWrite},
	},
	{
		name: "roles are listed", method: "GET", path: "/v1/acl/roles", rpc: "ACL.ListRoles",
		args: &structs.ACLRolesListRequest{QueryOptions: plainQuery}, want: `[]`,
	},
	{
		name: "a role is made", method: "PUT", path: "/v1/acl/role", rpc: "ACL.UpsertRoles", body: `{"Name":"viewer","Policies":[{"Name":"read"}]}`,
		args: &structs.ACLRolesUpsertRequest{
			ACLRoles: []*structs.ACLRole{{Name: "viewer", Policies: []*structs.ACLRolePolicyLink{{Name: "read"}}}}, WriteRequest: plainWrite,
		},
		reply: structs.ACLRolesUpsertResponse{ACLRoles: []*structs.ACLRole{{ID: "r", Name: "viewer"}}},
		want:  `{"ID":"r","Name":"viewer","Description":"","Policies":null,"Hash":null,"CreateIndex":0,"ModifyIndex":0}`,
	},
	{
		name: "a role that does not exist", method: "GET", path: "/v1/acl/role/r", rpc: "ACL.GetRoleByID",
		args: &structs.ACLRoleByIDRequest{RoleID: "r", QueryOptions: plainQuery}, code: 404, want: "ACL role not found",
	},
	{
		name: "a role by its name", method: "GET", path: "/v1/acl/role/name/viewer", rpc: "ACL.GetRoleByName",
		args: &structs.ACLRoleByNameRequest{RoleName: "viewer", QueryOptions: plainQuery}, code: 404, want: "ACL role not found",
	},
	{
		name: "a role is changed and is gone meanwhile", method: "PUT", path: "/v1/acl/role/r", rpc: "ACL.UpsertRoles", body: `{"ID":"r","Name":"viewer"}`,
		args: &structs.ACLRolesUpsertRequest{ACLRoles: []*structs.ACLRole{{ID: "r", Name: "viewer"}}, WriteRequest: plainWrite}, code: 404, want: "ACL role not found",
	},
	{
		name: "a role is deleted", method: "DELETE", path: "/v1/acl/role/r", rpc: "ACL.DeleteRolesByID",
		args: &structs.ACLRolesDeleteByIDRequest{ACLRoleIDs: []string{"r"}, WriteRequest: plainWrite},
	},
	{name: "ways to log in, without ACLs", method: "GET", path: "/v1/acl/auth-methods", code: 400, want: "ACL support disabled"},
	{name: "rules of logins, without ACLs", method: "GET", path: "/v1/acl/binding-rules", code: 400, want: "ACL support disabled"},
	{name: "a way to log in can't be made", method: "PUT", path: "/v1/acl/auth-method", code: 501, want: noLogins},
	{name: "a rule of logins can't be made", method: "PUT", path: "/v1/acl/binding-rule", code: 501, want: noLogins},
	{name: "no login by way of a browser", method: "PUT", path: "/v1/acl/oidc/auth-url", code: 501, want: noLogins},
	{name: "nor its end", method: "PUT", path: "/v1/acl/oidc/complete-auth", code: 501, want: noLogins},
	{name: "no login", method: "PUT", path: "/v1/acl/login", code: 501, want: noLogins},
	{
		name: "garbage is collected by the leader", method: "PUT", path: "/v1/system/gc?stale", rpc: "System.GarbageCollect",
		args: &structs.GenericRequest{QueryOptions: plainQuery},
	},
	{
		name: "discovery without an issuer", method: "GET", path: "/.well-known/openid-configuration", rpc: "Keyring.GetConfig",
		args: &structs.GenericRequest{QueryOptions: plainQuery}, code: 404, want: "OIDC Discovery endpoint disabled",
	},
	{
		name: "discovery", method: "GET", path: "/.well-known/openid-configuration", rpc: "Keyring.GetConfig",
		args: &structs.GenericRequest{QueryOptions: plainQuery},
		reply: structs.KeyringGetConfigResponse{OIDCDiscovery: &structs.OIDCDiscovery{
			Issuer: "https://i", JWKS: "https://i/.well-known/jwks.json", IDTokenAlgs: []string{"ES256"}, ResponseTypes: []string{"code"}, Subjects: []string{"public"},
		}},
		want: `{"issuer":"https://i","jwks_uri":"https://i/.well-known/jwks.json","id_token_signing_alg_values_supported":["ES256"],` +
			`"response_types_supported":["code"],"subject_types_supported":["public"]}`,
	},
}

var oneACLToken = structs.ACLTokenUpsertResponse{Tokens: []*structs.ACLToken{{AccessorID: "a", SecretID: "s", SecretHash: []byte{9}}}, WriteMeta: structs.WriteMeta{Index: 7}}

const (
	aclTokenJSON = `{"AccessorID":"a","SecretID":"s","Name":"","Type":"","Policies":null,"Roles":null,"Global":false,"Hash":null,` +
		`"CreateTime":"0001-01-01T00:00:00Z","ExpirationTime":null,"CreateIndex":0,"ModifyIndex":0,"ExpirationTTL":""}`
	noLogins      = "Logins by way of other systems are not part of Rollcall; make a token for who needs one"
	autopilotJSON = `{"CleanupDeadServers":true,"LastContactThreshold":"200ms","MaxTrailingLogs":250,"MinQuorum":0,"ServerStabilizationTime":"10s",` +
		`"EnableRedundancyZones":false,"DisableUpgradeMigration":false,"EnableCustomUpgrades":false,"CreateIndex":0,"ModifyIndex":0}`
	schedulerJSON = `{"SchedulerAlgorithm":"binpack","PreemptionConfig":{"SystemSchedulerEnabled":true,"SysBatchSchedulerEnabled":false,` +
		`"BatchSchedulerEnabled":false,"ServiceSchedulerEnabled":false},"MemoryOversubscriptionEnabled":false,"RejectJobRegistration":false,` +
		`"PauseEvalBroker":false,"NodeLimitForFeasibilityChecks":0,"CreateIndex":0,"ModifyIndex":0}`
	updateReplyJSON = `{"HeartbeatTTL":0,"EvalIDs":null,"EvalCreateIndex":0,"NodeModifyIndex":0,"Features":0,"LeaderRPCAddr":"","NumNodes":0,` +
		`"Servers":null,"SchedulingEligibility":"","SignedIdentity":null,"Index":0,"LastContact":0,"KnownLeader":false,"NextToken":""}`
)

func TestRoutes(t *testing.T) {
	for _, tc := range routeCases {
		t.Run(tc.name, func(t *testing.T) {
			rpc := &fakeRPC{answer: map[string]any{tc.rpc: tc.reply}}
			w := do(newAPI(t, rpc, &fakeServer{}, nil), tc.method, tc.path, tc.body)
			code := tc.code
			if code == 0 {
				code = http.StatusOK
			}
			want(t, w, code, tc.want)
			if rpc.method != tc.rpc {
				t.Errorf("called %q, want %q", rpc.method, tc.rpc)
			}
			if diff := cmp.Diff(tc.args, rpc.args); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
			for name, value := range tc.headers {
				if got := w.Header().Get(name); got != value {
					t.Errorf("header %s is %q, want %q", name, got, value)
				}
			}
			wantType := "application/json"
			switch {
			case tc.want == "":
				wantType = ""
			case code >= 400 && code != http.StatusTooManyRequests:
				wantType = "text/plain; charset=utf-8"
			}
			if got := w.Header().Get("Content-Type"); got != wantType {
				t.Errorf("Content-Type is %q, want %q", got, wantType)
			}
		})
	}
}

// Routes whose answer does not come from one RPC; their tests are in the file of the resource.
var testedElsewhere = []string{
	"PUT /v1/agent/reload", "GET /v1/agent/health", "PUT /v1/agent/join", "PUT /v1/agent/force-leave",
	"GET /v1/agent/keyring/list", "PUT /v1/agent/keyring/install", "PUT /v1/agent/keyring/use", "PUT /v1/agent/keyring/remove",
	"GET /v1/agent/servers", "PUT /v1/agent/servers", "GET /v1/metrics", "GET /.well-known/jwks.json",
	"GET /v1/operator/snapshot", "PUT /v1/operator/snapshot", "GET /v1/event/stream", "GET /v1/agent/monitor",
	"GET /v1/agent/host", "GET /v1/agent/pprof/heap", "GET /v1/agent/schedulers", "GET /v1/agent/schedulers/config", "PUT /v1/agent/schedulers/config",
}

func TestEveryRouteIsTested(t *testing.T) {
	tree := buildRoutes(routeTable)
	hit := map[*node]map[string]bool{}
	mark := func(method, path string) {
		n := tree.match(path, map[string]string{})
		if n == nil || n.handle[method] == nil {
			t.Fatalf("%s %s is tested but not a route", method, path)
		}
		if hit[n] == nil {
			hit[n] = map[string]bool{}
		}
		hit[n][method] = true
	}
	for _, tc := range routeCases {
		path, _, _ := strings.Cut(tc.path, "?")
		mark(tc.method, path)
	}
	for _, line := range testedElsewhere {
		var method, path string
		if _, err := fmt.Sscan(line, &method, &path); err != nil {
			t.Fatal(err)
		}
		mark(method, path)
	}
	for _, r := range routeTable {
		n := tree.match(r.pattern, map[string]string{})
		if !slices.ContainsFunc(r.methods, func(m string) bool { return hit[n][m] }) {
			t.Errorf("%s %s has no test", r.methods[0], r.pattern)
		}
	}
}

func TestRouteTableMistakesStopTheProgram(t *testing.T) {
	for name, table := range map[string][]route{
		"twice":           {{get, "/v1/a", getLeader, public}, {get, "/v1/a", getLeader, public}},
		"parameter names": {{get, "/v1/{a}", getLeader, public}, {get, "/v1/{b}/c", getLeader, public}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			buildRoutes(table)
		})
	}
}
