package rpc

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// credential is a way to present oneself. Node 1 is the one that requests are about, node 2 another.
type credential struct {
	name  string
	token func(w *world) string
}

var credentials = []credential{
	{"none", none},
	{"unknown UUID", func(*world) string { return secretOf(9) }},
	{"own secret", bySecret},
	{"other secret", func(*world) string { return secretOf(2) }},
	{"own identity", func(w *world) string { return w.identity(1, t0, time.Hour) }},
	{"other identity", func(w *world) string { return w.identity(2, t0, time.Hour) }},
	{"expired identity", func(w *world) string { return w.expiredIdentity(1) }},
	{"introduction", introduced},
	{"workload", (*world).workload},
	{"garbage", func(*world) string { return "eyJhbGciOiJub25lIn0.e30." }},
	{"deleted key", func(w *world) string {
		id := w.addKey(structs.KeyStateActive)
		token := w.identity(1, t0, time.Hour)
		w.addKey(structs.KeyStateActive)
		w.mustApply(structs.RootKeyDeleteMsg, &structs.KeyringDeleteRequest{KeyID: id})
		return token
	}},
}

// requests has one valid request about node 1 for every method.
var requests = map[string]func(token string) any{
	"ACL.Bootstrap":          func(t string) any { return &structs.ACLBootstrapRequest{WriteRequest: write(t)} },
	"ACL.ResolveToken":       func(t string) any { return &structs.ResolveACLTokenRequest{SecretID: t, QueryOptions: query(t)} },
	"ACL.WhoAmI":             generic,
	"ACL.GetClaimPolicies":   generic,
	"ACL.UpsertOneTimeToken": func(t string) any { return &structs.OneTimeTokenUpsertRequest{WriteRequest: write(t)} },
	"ACL.ExchangeOneTimeToken": func(t string) any {
		return &structs.OneTimeTokenExchangeRequest{OneTimeSecretID: uuid(0xdead), WriteRequest: write(t)}
	},
	"ACL.ListTokens": func(t string) any { return &structs.ACLTokenListRequest{QueryOptions: query(t)} },
	"ACL.GetToken": func(t string) any {
		return &structs.ACLTokenSpecificRequest{AccessorID: accessorOf("reader"), QueryOptions: query(t)}
	},
	"ACL.GetTokens": func(t string) any {
		return &structs.ACLTokenSetRequest{AccessorIDS: []string{accessorOf("reader")}, QueryOptions: query(t)}
	},
	"ACL.UpsertTokens": func(t string) any {
		return &structs.ACLTokenUpsertRequest{Tokens: []*structs.ACLToken{{Name: "new", Type: "management"}}, WriteRequest: write(t)}
	},
	"ACL.DeleteTokens": func(t string) any {
		return &structs.ACLTokenDeleteRequest{AccessorIDs: []string{accessorOf("ended")}, WriteRequest: write(t)}
	},
	"ACL.ListPolicies": func(t string) any { return &structs.ACLPolicyListRequest{QueryOptions: query(t)} },
	"ACL.GetPolicy":    func(t string) any { return &structs.ACLPolicySpecificRequest{Name: "read", QueryOptions: query(t)} },
	"ACL.GetPolicies": func(t string) any {
		return &structs.ACLPolicySetRequest{Names: []string{"read"}, QueryOptions: query(t)}
	},
	"ACL.UpsertPolicies": func(t string) any {
		return &structs.ACLPolicyUpsertRequest{Policies: []*structs.ACLPolicy{{Name: "new", Rules: "node { policy = \"read\" }"}}, WriteRequest: write(t)}
	},
	"ACL.DeletePolicies": func(t string) any {
		return &structs.ACLPolicyDeleteRequest{Names: []string{"read"}, WriteRequest: write(t)}
	},
	"ACL.ListRoles":     func(t string) any { return &structs.ACLRolesListRequest{QueryOptions: query(t)} },
	"ACL.GetRoleByID":   func(t string) any { return &structs.ACLRoleByIDRequest{RoleID: viewerRole, QueryOptions: query(t)} },
	"ACL.GetRoleByName": func(t string) any { return &structs.ACLRoleByNameRequest{RoleName: "viewer", QueryOptions: query(t)} },
	"ACL.GetRolesByID": func(t string) any {
		return &structs.ACLRolesByIDRequest{ACLRoleIDs: []string{viewerRole}, QueryOptions: query(t)}
	},
	"ACL.UpsertRoles": func(t string) any {
		return &structs.ACLRolesUpsertRequest{ACLRoles: []*structs.ACLRole{{Name: "new", Policies: []*structs.ACLRolePolicyLink{{Name: "read"}}}}, WriteRequest: write(t)}
	},
	"ACL.DeleteRolesByID": func(t string) any {
		return &structs.ACLRolesDeleteByIDRequest{ACLRoleIDs: []string{viewerRole}, WriteRequest: write(t)}
	},
	"ACL.CreateClientIntroductionToken": func(t string) any { return &structs.ClientIntroductionRequest{WriteRequest: write(t)} },
	"Absent.List":                       generic,
	"Agent.Self":                        func(t string) any { return &structs.AgentRequest{QueryOptions: query(t)} },
	"Agent.Metrics":                     func(t string) any { return &structs.AgentRequest{QueryOptions: query(t)} },
	"Agent.Host":                        func(t string) any { return &structs.AgentRequest{QueryOptions: query(t)} },
	"Agent.Profile": func(t string) any {
		return &structs.AgentProfileRequest{Kind: "heap", AgentRequest: structs.AgentRequest{QueryOptions: query(t)}}
	},
	"Alloc.GetAllocs":          func(t string) any { return &structs.AllocsGetRequest{QueryOptions: query(t)} },
	"Keyring.Delete":           func(t string) any { return &structs.KeyringDeleteRequest{KeyID: uuid(3), WriteRequest: write(t)} },
	"Keyring.GetConfig":        generic,
	"Keyring.List":             generic,
	"Keyring.ListPublic":       generic,
	"Keyring.Status":           func(token string) any { return &structs.GenericRequest{QueryOptions: query(token)} },
	"Keyring.ServerStatus":     func(token string) any { return &structs.GenericRequest{QueryOptions: query(token)} },
	"Keyring.Rewrap":           func(token string) any { return &structs.KeyringRewrapRequest{WriteRequest: write(token)} },
	"Keyring.Rotate":           func(t string) any { return &structs.KeyringRotateRequest{WriteRequest: write(t)} },
	"Namespace.GetNamespace":   func(t string) any { return &structs.NamespaceSpecificRequest{Name: "default", QueryOptions: query(t)} },
	"Namespace.ListNamespaces": generic,
	"Node.BatchDeregister": func(t string) any {
		return &structs.NodeBatchDeregisterRequest{NodeIDs: []string{nodeID(1)}, WriteRequest: write(t)}
	},
	"Node.Deregister": func(t string) any { return &structs.NodeDeregisterRequest{NodeID: nodeID(1), WriteRequest: write(t)} },
	"Node.EmitEvents": func(t string) any {
		return &structs.EmitNodeEventsRequest{NodeEvents: map[string][]*structs.NodeEvent{
			nodeID(1): {structs.NewNodeEvent("Driver", "it works", t0)},
		}, WriteRequest: write(t)}
	},
	"Node.Evaluate":        func(t string) any { return &structs.NodeEvaluateRequest{NodeID: nodeID(1), WriteRequest: write(t)} },
	"Node.GetAllocs":       specific,
	"Node.GetClientAllocs": specific,
	"Node.GetNode":         specific,
	"Node.List":            func(t string) any { return &structs.NodeListRequest{QueryOptions: query(t)} },
	"Node.Register": func(t string) any {
		return &structs.NodeRegisterRequest{Node: testNode(1), WriteRequest: write(t)}
	},
	"Node.UpdateAlloc": func(t string) any {
		return &structs.NodeUpdateAllocRequest{Alloc: []structs.Raw{{0xc0}}, WriteRequest: write(t)}
	},
	"Node.UpdateDrain": func(t string) any {
		return &structs.NodeUpdateDrainRequest{NodeID: nodeID(1), DrainStrategy: &structs.DrainStrategy{}, WriteRequest: write(t)}
	},
	"Node.UpdateEligibility": func(t string) any {
		return &structs.NodeUpdateEligibilityRequest{NodeID: nodeID(1), Eligibility: structs.NodeIneligible, WriteRequest: write(t)}
	},
	"Node.UpdateStatus": func(t string) any {
		return &structs.NodeUpdateStatusRequest{NodeID: nodeID(1), Status: structs.NodeStatusReady, WriteRequest: write(t)}
	},
	"NodeIdentity.Get":   specific,
	"NodeIdentity.Renew": specific,
	"NodeMeta.Apply": func(t string) any {
		return &structs.NodeMetaApplyRequest{NodeID: nodeID(1), Meta: map[string]*string{"a": new("b")}, QueryOptions: query(t)}
	},
	"NodeMeta.Read":     specific,
	"ClientStats.Stats": specific,
	"NodePool.DeleteNodePools": func(t string) any {
		return &structs.NodePoolDeleteRequest{Names: []string{"empty"}, WriteRequest: write(t)}
	},
	"NodePool.GetNodePool": func(t string) any { return &structs.NodePoolSpecificRequest{Name: "all", QueryOptions: query(t)} },
	"NodePool.List":        func(t string) any { return &structs.NodePoolListRequest{QueryOptions: query(t)} },
	"NodePool.ListJobs":    func(t string) any { return &structs.NodePoolJobsRequest{Name: "all", QueryOptions: query(t)} },
	"NodePool.ListNodes":   func(t string) any { return &structs.NodePoolNodesRequest{Name: "all", QueryOptions: query(t)} },
	"NodePool.UpsertNodePools": func(t string) any {
		return &structs.NodePoolUpsertRequest{NodePools: []*structs.NodePool{{Name: "new"}}, WriteRequest: write(t)}
	},
	"Operator.AutopilotGetConfiguration": generic,
	"Operator.AutopilotSetConfiguration": func(t string) any {
		return &structs.AutopilotSetConfigRequest{Config: *structs.DefaultAutopilotConfig(), WriteRequest: write(t)}
	},
	"Operator.RaftGetConfiguration":      generic,
	"Operator.RaftRemovePeerByID":        func(t string) any { return &structs.RaftPeerRequest{ID: "s1", WriteRequest: write(t)} },
	"Operator.SchedulerGetConfiguration": generic,
	"Operator.SchedulerSetConfiguration": func(t string) any { return &structs.SchedulerSetConfigRequest{WriteRequest: write(t)} },
	"Operator.ServerHealth":              generic,
	"Operator.StateDigest":               generic,
	"Operator.TransferLeadershipToPeer":  func(t string) any { return &structs.RaftPeerRequest{ID: "s2", WriteRequest: write(t)} },
	"Region.List":                        generic,
	"Search.FuzzySearch":                 func(t string) any { return &structs.FuzzySearchRequest{Text: "web", QueryOptions: query(t)} },
	"Search.PrefixSearch":                func(t string) any { return &structs.SearchRequest{QueryOptions: query(t)} },
	"Status.HasNodeConn":                 specific,
	"Status.Leader":                      generic,
	"Status.Members":                     generic,
	"Status.Peers":                       generic,
	"Status.Ping":                        generic,
	"Status.RaftStats":                   generic,
	"System.ReconcileJobSummaries":       generic,
	"System.GarbageCollect":              generic,
}

func generic(token string) any { return &structs.GenericRequest{QueryOptions: query(token)} }

func specific(token string) any {
	return &structs.NodeSpecificRequest{NodeID: nodeID(1), QueryOptions: query(token)}
}

// newFleet is a world with the nodes 1 and 2, an inactive key and an empty pool.
func newFleet(t testing.TB, change ...func(*Config)) *world {
	w := newWorld(t, change...)
	w.join(1)
	w.join(2)
	w.setPool("empty", time.Hour)
	key := &structs.RootKey{KeyID: uuid(3), Algorithm: structs.EncryptionAlgorithmAES256GCM, State: structs.KeyStateInactive}
	w.mustApply(structs.RootKeyUpsertMsg, &structs.RootKeyUpsertRequest{WrappedRootKeys: key})
	w.mustApply(structs.AutopilotMsg, &structs.AutopilotSetConfigRequest{Config: *structs.DefaultAutopilotConfig()})
	return w
}

// TestWhoMayDoWhat calls every method with every credential and compares with testdata/authz.golden. A new method
// fails it until there is a request for it above and a row that somebody has looked at.
func TestWhoMayDoWhat(t *testing.T) {
	methods := slices.Sorted(maps.Keys(newWorld(t).srv.methods))
	var b strings.Builder
	b.WriteString("# What each method answers to each credential. Requests are about node 1, whose credentials are \"own\".\n")
	for _, name := range methods {
		request := requests[name]
		if request == nil {
			t.Errorf("there is no request for %s", name)
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", name)
		for _, c := range credentials {
			w := newFleet(t)
			token := c.token(w)
			before := w.raft.count()
			body, err := structs.EncodeBytes(request(token))
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.srv.ServeRPC(t.Context(), nil, name, body)
			denied := errors.Is(err, structs.ErrPermissionDenied)
			if n := w.raft.count() - before; denied && n != 0 {
				t.Errorf("%s by %s was refused and proposed %d commands", name, c.name, n)
			}
			if token != "" && strings.Contains(w.logs.String(), token) {
				t.Errorf("%s by %s: the credential is in the log", name, c.name)
			}
			if token != "" && err != nil && strings.Contains(err.Error(), token) {
				t.Errorf("%s by %s: the credential is in the error", name, c.name)
			}
			answer := "ok"
			if err != nil {
				answer = err.Error()
			}
			fmt.Fprintf(&b, "  %-17s %s\n", c.name, answer)
		}
	}
	for name := range requests {
		if !slices.Contains(methods, name) {
			t.Errorf("there is a request for %s, which is no method", name)
		}
	}
	golden(t, "authz.golden", b.String())
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

// The table of wire.md §3.4: what each way of authentication makes of each credential.
func TestAuthentication(t *testing.T) {
	const denied = "denied"
	const expired = "expired"
	anonymous, unknown := "anonymous", "anonymous: Permission denied"
	secret1, secret2 := "node 1 by secret", "node 2 by secret"
	id1, id2 := "node 1 by identity", "node 2 by identity"
	// In the order of credentials.
	want := map[Auth][]string{
		AuthMint: {anonymous, unknown, secret1, secret2, id1, id2, "anonymous: ACL token expired: Permission denied",
			"introduction", denied, denied, denied},
		AuthNode:   {denied, denied, secret1, secret2, id1, id2, expired, denied, denied, denied, denied},
		AuthAny:    {anonymous, denied, secret1, secret2, id1, id2, expired, "introduction", "workload", denied, denied},
		AuthServer: {"server", "server", "server", "server", "server", "server", "server", "server", "server", "server", "server"},
		AuthPublic: {anonymous, anonymous, anonymous, anonymous, anonymous, anonymous, anonymous, anonymous, anonymous, anonymous, anonymous},
	}
	used := map[Auth]bool{}
	auths := map[Auth]Access{}
	for _, access := range newWorld(t).srv.Methods() {
		used[access.auth()] = true
		auths[access.auth()] = access
	}
	for auth := range used {
		if want[auth] == nil {
			t.Errorf("authentication %d is used and has no row", auth)
		}
	}
	for auth, row := range want {
		for i, c := range credentials {
			t.Run(fmt.Sprintf("authentication %d, %s", auth, c.name), func(t *testing.T) {
				w := newFleet(t)
				call := &Call{ctx: t.Context(), srv: w.srv, method: &method{Spec: Spec{Name: "Test"}, access: auths[auth]}, now: t0, token: c.token(w)}
				if got := describe(call, call.authenticate()); got != row[i] {
					t.Errorf("%s, want %s", got, row[i])
				}
			})
		}
	}
}

func describe(c *Call, err error) string {
	switch {
	case errors.Is(err, structs.ErrTokenExpired) && errors.Is(err, structs.ErrPermissionDenied):
		return "expired"
	case errors.Is(err, structs.ErrPermissionDenied):
		return "denied"
	case err != nil:
		return err.Error()
	}
	kind := map[CallerKind]string{CallerAnonymous: "anonymous", CallerServer: "server", CallerNode: "node", CallerIntroduction: "introduction", CallerWorkload: "workload"}[c.caller.Kind]
	if c.caller.Kind == CallerNode {
		var n int
		for n = 1; nodeID(n) != c.caller.NodeID; n++ {
		}
		kind = fmt.Sprintf("node %d by identity", n)
		if c.caller.BySecret {
			kind = fmt.Sprintf("node %d by secret", n)
		}
		if c.caller.BySecret != (c.caller.Claims == nil) {
			kind += " with the wrong claims"
		}
	}
	if c.caller.Err != nil {
		kind += ": " + c.caller.Err.Error()
	}
	return kind
}

// Every request that is made in a node's name is for that node alone, whichever way another proves itself.
func TestSameNode(t *testing.T) {
	inOwnName := []string{"Node.Register", "Node.UpdateStatus", "Node.EmitEvents", "Node.GetClientAllocs", "Node.UpdateDrain"}
	for _, name := range inOwnName {
		for cred, token := range map[string]func(w *world) string{
			"secret":   func(*world) string { return secretOf(2) },
			"identity": func(w *world) string { return w.identity(2, t0, time.Hour) },
		} {
			t.Run(name+" by another node's "+cred, func(t *testing.T) {
				w := newFleet(t)
				before := w.raft.count()
				body, _ := structs.EncodeBytes(requests[name](token(w)))
				_, err := w.srv.ServeRPC(t.Context(), nil, name, body)
				wantError(t, err, structs.ErrPermissionDenied)
				if w.raft.count() != before {
					t.Error("something was written")
				}
			})
		}
	}
	t.Run("one node's events hidden among one's own", func(t *testing.T) {
		w := newFleet(t)
		e := []*structs.NodeEvent{structs.NewNodeEvent("Driver", "x", t0)}
		_, err := call[structs.GenericResponse](w, "Node.EmitEvents", &structs.EmitNodeEventsRequest{
			NodeEvents: map[string][]*structs.NodeEvent{nodeID(1): e, nodeID(2): e}, WriteRequest: write(secretOf(1))})
		wantError(t, err, structs.ErrPermissionDenied)
	})
	t.Run("a node that does not exist any more keeps to itself", func(t *testing.T) {
		w := newFleet(t)
		token := w.identity(1, t0, time.Hour)
		w.purge(1)
		_, err := w.heartbeat(2, token)
		wantError(t, err, structs.ErrPermissionDenied)
	})
}
