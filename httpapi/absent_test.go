package httpapi

import (
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// absentCases are what looks like a whole cluster of the compatible product, only without work in it.
var absentCases = []routeCase{
	{
		name: "summaries of jobs are reconciled", method: "PUT", path: "/v1/system/reconcile/summaries", rpc: "System.ReconcileJobSummaries",
		args: &structs.GenericRequest{QueryOptions: plainQuery},
	},
	{name: "a licence can't be put", method: "PUT", path: "/v1/operator/license", body: "x", code: 501, want: "Nomad Enterprise only endpoint"},
	{name: "utilization", method: "POST", path: "/v1/operator/utilization?today=true", code: 501, want: "Nomad Enterprise only endpoint"},
	{
		name: "a search by prefix", method: "PUT", path: "/v1/search?region=eu&prefix=other&index=7", rpc: "Search.PrefixSearch",
		body: `{"Prefix":"10f0","Context":"nodes","Region":"here"}`,
		args: &structs.SearchRequest{Context: "nodes", QueryOptions: structs.QueryOptions{Region: "eu", Namespace: "default", Prefix: "10f0"}},
		reply: structs.SearchResponse{
			Matches:     map[structs.SearchContext][]string{"nodes": {nodeID}, "jobs": {}},
			Truncations: map[structs.SearchContext]bool{"nodes": true, "jobs": false}, QueryMeta: meta,
		},
		want: `{"Matches":{"jobs":[],"nodes":["` + nodeID + `"]},"Truncations":{"jobs":false,"nodes":true},` +
			`"Index":42,"LastContact":1500000000,"KnownLeader":true,"NextToken":""}`,
		headers: readHeaders,
	},
	{
		name: "a fuzzy search", method: "POST", path: "/v1/search/fuzzy", rpc: "Search.FuzzySearch", body: `{"Text":"eb","Context":"all"}`,
		args: &structs.FuzzySearchRequest{Text: "eb", Context: "all", QueryOptions: plainQuery},
		reply: structs.FuzzySearchResponse{
			Matches:     map[structs.SearchContext][]structs.FuzzyMatch{"nodes": {{ID: "web-1", Scope: []string{nodeID}}}, "node_pools": {{ID: "web"}}},
			Truncations: map[structs.SearchContext]bool{"nodes": false},
		},
		want: `{"Matches":{"node_pools":[{"ID":"web"}],"nodes":[{"ID":"web-1","Scope":["` + nodeID + `"]}]},"Truncations":{"nodes":false},` +
			`"Index":0,"LastContact":0,"KnownLeader":false,"NextToken":""}`,
	},
	{
		name: "namespaces are listed", method: "GET", path: "/v1/namespaces?prefix=d", rpc: "Namespace.ListNamespaces",
		args:  &structs.GenericRequest{QueryOptions: structs.QueryOptions{Region: "global", Namespace: "default", Prefix: "d"}},
		reply: structs.NamespaceListResponse{Namespaces: []*structs.Namespace{{Name: "default", CreateIndex: 1}}, QueryMeta: meta},
		want: `[{"Name":"default","Description":"","Quota":"","Capabilities":null,"NodePoolConfiguration":null,"VaultConfiguration":null,` +
			`"ConsulConfiguration":null,"Meta":null,"RequiredExtraClaims":null,"OptionalExtraClaims":null,"Hash":null,"CreateIndex":1,"ModifyIndex":0}]`,
		headers: readHeaders,
	},
	{
		name: "a namespace that does not exist", method: "GET", path: "/v1/namespace/web", rpc: "Namespace.GetNamespace",
		args: &structs.NamespaceSpecificRequest{Name: "web", QueryOptions: plainQuery}, code: 404, want: "Namespace not found",
	},
	absentList("/v1/jobs"), absentList("/v1/allocations"), absentList("/v1/evaluations"), absentList("/v1/deployments"),
	absentList("/v1/services"), absentList("/v1/volumes"), absentList("/v1/plugins"), absentList("/v1/vars"), absentList("/v1/scaling/policies"),
	absentObject("/v1/job/web", "job not found"), absentObject("/v1/allocation/"+nodeID, "alloc not found"),
	absentObject("/v1/evaluation/"+nodeID, "eval not found"), absentObject("/v1/deployment/"+nodeID, "deployment not found"),
}

// absentList asks for a list of what is never here, and waits for a change of it.
func absentList(path string) routeCase {
	return routeCase{
		name: "nothing at " + path, method: "GET", path: path + "?index=1&wait=1s", rpc: "Absent.List",
		args: &structs.GenericRequest{QueryOptions: structs.QueryOptions{
			Region: "global", Namespace: "default", MinQueryIndex: 1, MaxQueryTime: time.Second,
		}},
		reply: structs.AbsentListResponse{QueryMeta: meta}, want: `[]`, headers: readHeaders,
	}
}

func absentObject(path, text string) routeCase {
	return routeCase{
		name: "nothing at " + path, method: "GET", path: path, code: 404, want: text,
	}
}

func TestPartsThatAreNotHereSaySo(t *testing.T) {
	const tail = " are not part of Rollcall, which gives identities to nodes and runs nothing on them"
	for _, tc := range []struct {
		name, method, path string
		code               int
		text               string
	}{
		{"a job is registered", "PUT", "/v1/jobs", 501, "jobs" + tail},
		{"a job is parsed", "POST", "/v1/jobs/parse", 501, "jobs" + tail},
		{"a job is stopped", "DELETE", "/v1/job/web?purge=true", 501, "jobs" + tail},
		{"a job's versions", "GET", "/v1/job/web/versions", 501, "jobs" + tail},
		{"a job is validated", "PUT", "/v1/validate/job", 501, "jobs" + tail},
		{"an allocation is stopped", "PUT", "/v1/allocation/a/stop", 501, "allocations" + tail},
		{"files of an allocation", "GET", "/v1/client/fs/ls/a", 501, "allocations" + tail},
		{"a command in an allocation", "GET", "/v1/client/allocation/a/exec", 501, "allocations" + tail},
		{"evaluations are counted", "GET", "/v1/evaluations/count", 501, "evaluations" + tail},
		{"a deployment is paused", "PUT", "/v1/deployment/pause/a", 501, "deployments" + tail},
		{"a service", "GET", "/v1/service/web", 501, "services" + tail},
		{"a volume is created", "PUT", "/v1/volume/csi/a/create", 501, "volumes" + tail},
		{"a volume plugin", "GET", "/v1/plugin/csi/a", 501, "volume plugins" + tail},
		{"a variable", "GET", "/v1/var/a/b", 501, "variables" + tail},
		{"a scaling policy", "GET", "/v1/scaling/policy/a", 501, "scaling policies" + tail},
		{"a namespace is written", "PUT", "/v1/namespace", 501, "changes of namespaces" + tail},
		{"an upgrade check", "GET", "/v1/operator/upgrade-check/vault-workload-identity", 501, "upgrade checks of jobs" + tail},
		{"a way to log in", "GET", "/v1/acl/auth-method/okta", 501, noLogins},
		{"a way to log in is removed", "DELETE", "/v1/acl/auth-method/okta", 501, noLogins},
		{"a rule of logins", "GET", "/v1/acl/binding-rule/a", 501, noLogins},
		{"no login, however it is asked for", "GET", "/v1/acl/login", 501, noLogins},
		{"quotas", "GET", "/v1/quotas", 501, "Nomad Enterprise only endpoint"},
		{"a recommendation", "PUT", "/v1/recommendations/apply", 501, "Nomad Enterprise only endpoint"},
		{"sentinel policies", "GET", "/v1/sentinel/policies", 501, "Nomad Enterprise only endpoint"},
		{"the word alone", "GET", "/v1/jobsearch", 404, ""},
		{"the word elsewhere", "GET", "/v2/jobs", 404, ""},
		{"nothing at all", "GET", "/v1/", 404, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rpc := &fakeRPC{}
			want(t, do(newAPI(t, rpc, nil, nil), tc.method, tc.path, ""), tc.code, tc.text)
			if rpc.calls != 0 {
				t.Error("an RPC was called")
			}
		})
	}
}
