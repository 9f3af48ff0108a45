package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// commandCase runs one command line against a fresh cluster. What it prints, exits with and asks of the cluster is in the
// golden file of its name.
type commandCase struct {
	name    string
	args    string // split at spaces; words in quotes stay together
	stdin   string
	replies map[string]any
}

var commandCases = []commandCase{
	{name: "node-status", args: "node status"},
	{name: "node-status-verbose", args: "node status -verbose -os"},
	{name: "node-status-quiet", args: "node status -quiet"},
	{name: "node-status-page", args: `node status -per-page 1 -page-token abc -filter 'Name == "x"'`},
	{name: "node-status-empty", args: "node status", replies: map[string]any{"Node.List": structs.NodeListResponse{}}},
	{name: "node-status-json", args: "node status -json -per-page 1"},
	{name: "node-status-template", args: "node status --t='{{range .}}{{.Name}} {{end}}'"},
	{name: "node-status-one", args: "node status 4d0111"},
	{name: "node-status-one-odd", args: "node status 4D011"},
	{name: "node-status-one-verbose", args: "node status " + node1 + " -verbose"},
	{name: "node-status-one-short", args: "node status -short " + node2},
	{name: "node-status-one-json", args: "node status -json " + node3},
	{name: "node-status-self", args: "node status -self -short"},
	{name: "node-status-allocs", args: "node status -allocs"},
	{name: "node-status-one-stats", args: "node status -stats 4d0111"},
	{name: "node-status-one-unconnected", args: "node status -stats 5072", replies: map[string]any{"NodeIdentity.Get": structs.ErrNoNodeConn}},
	{name: "node-status-one-down", args: "node status -stats " + node2},
	{name: "node-meta-read", args: "node meta read -node-id 5072"},
	{name: "node-meta-read-json", args: "node meta read -json -node-id 5072"},
	{name: "node-meta-read-nobody", args: "node meta read"},
	{name: "node-meta-apply", args: "node meta apply -node-id 5072 -unset a,b -unset c rack=r2 empty="},
	{name: "node-meta-apply-template", args: "node meta apply -t {{.Meta.rack}} -node-id 5072 rack=r2"},
	{name: "node-meta-apply-nothing", args: "node meta apply -node-id 5072"},
	{name: "node-meta-apply-no-value", args: "node meta apply -node-id 5072 rack"},
	{name: "node-meta-apply-both", args: "node meta apply -node-id 5072 -unset rack rack=r2"},
	{name: "node-meta-apply-denied", args: "node meta apply -node-id 5072 rack=r2", replies: map[string]any{"NodeMeta.Apply": structs.ErrPermissionDenied}},
	{name: "node-config-neither", args: "node config"},
	{name: "node-config-server", args: "node config -servers"},
	{name: "node-config-no-address", args: "node config -update-servers"},
	{name: "node-pool-jobs", args: "node pool jobs edge"},
	{name: "node-pool-jobs-json", args: "node pool jobs -json edge"},
	{name: "acl-bootstrap", args: "acl bootstrap"},
	{name: "acl-bootstrap-secret", args: "acl bootstrap -t {{.AccessorID}} -", stdin: " " + node3 + "\n"},
	{name: "acl-bootstrap-again", args: "acl bootstrap", replies: map[string]any{"ACL.Bootstrap": structs.Coded(400, "ACL bootstrap already done (reset index: 7)")}},
	{name: "acl-token-create", args: "acl token create -name ci -policy read -policy keys -role-name viewer -ttl 8h"},
	{name: "acl-token-create-bad-ttl", args: "acl token create -ttl soon"},
	{name: "acl-token-update", args: "acl token update -policy ops " + node1},
	{name: "acl-token-delete", args: "acl token delete " + node1},
	{name: "acl-token-delete-unknown", args: "acl token delete " + node1, replies: map[string]any{"ACL.DeleteTokens": structs.Coded(404, "ACL token not found")}},
	{name: "acl-token-info", args: "acl token info " + node1},
	{name: "acl-token-info-prefix", args: "acl token info " + node1[:5]},
	{name: "acl-token-info-ambiguous", args: "acl token info " + node1[:5], replies: map[string]any{"ACL.ListTokens": structs.ACLTokenListResponse{
		Tokens: []*structs.ACLTokenListStub{{AccessorID: node1, Name: "ci", Type: "client"}, {AccessorID: node1[:35] + "f", Type: "client"}},
	}}},
	{name: "acl-token-delete-no-such-prefix", args: "acl token delete ffff"},
	{name: "acl-token-update-a-secret", args: "acl token update -policy ops a.secret.of.no.use"},
	{name: "acl-token-list", args: "acl token list"},
	{name: "acl-token-list-disabled", args: "acl token list", replies: map[string]any{"ACL.ListTokens": structs.Coded(400, "ACL support disabled")}},
	{name: "acl-token-self", args: "acl token self -token " + node3},
	{name: "acl-policy-apply", args: "acl policy apply -description text read -", stdin: "node { policy = \"read\" }\n"},
	{name: "acl-policy-delete", args: "acl policy delete read"},
	{name: "acl-policy-info", args: "acl policy info read"},
	{name: "acl-policy-list", args: "acl policy list"},
	{name: "acl-policy-self", args: "acl policy self -json"},
	{name: "acl-role-create", args: "acl role create -name viewer -policy read"},
	{name: "acl-role-update", args: "acl role update -policy keys " + node2},
	{name: "acl-role-update-no-merge", args: "acl role update -no-merge -policy keys " + node2},
	{name: "acl-role-delete", args: "acl role delete " + node2},
	{name: "acl-role-info", args: "acl role info " + node2},
	{name: "acl-role-info-prefix", args: "acl role info " + node2[:7]},
	{name: "acl-role-delete-no-such-prefix", args: "acl role delete ffff"},
	{name: "acl-role-list", args: "acl role list"},
	{name: "status", args: "status"},
	{name: "status-node", args: "status 5072"},
	{name: "status-pool", args: "status ed"},
	{name: "status-several", args: "status 4d0"},
	{name: "status-several-json", args: "status -json 4d0"},
	{name: "status-nothing", args: "status zzz"},
	{name: "agent-info", args: "agent-info"},
	{name: "agent-info-template", args: "agent-info -t '{{.Stats.client.node_id}}'"},
	{name: "scheduler-get-config", args: "operator scheduler get-config"},
	{name: "scheduler-get-config-json", args: "operator scheduler get-config -json"},
	{name: "scheduler-set-config", args: "operator scheduler set-config -scheduler-algorithm spread -preempt-batch-scheduler"},
	{name: "scheduler-set-config-raced", args: "operator scheduler set-config -pause-eval-broker -check-index 9", replies: map[string]any{
		"Operator.SchedulerSetConfiguration": structs.SchedulerSetConfigResponse{},
	}},
	{name: "scheduler-set-config-nothing", args: "operator scheduler set-config"},
	{name: "scheduler-set-config-bad", args: "operator scheduler set-config -scheduler-algorithm random"},
	{name: "operator-utilization", args: "operator utilization -today-only"},
	{name: "operator-metrics-bad", args: "operator metrics -format xml"},
	{name: "operator-metrics-both", args: "operator metrics -format prometheus -json"},
	{name: "operator-metrics-prometheus-off", args: "operator metrics -format prometheus"},
	{name: "operator-api", args: "operator api /v1/status/leader"},
	{name: "operator-api-short-path", args: `operator api -filter 'Name == "x"' 'nodes?per_page=1'`},
	{name: "operator-api-body", args: "operator api /v1/client/metadata", stdin: `{"NodeID":"` + node1 + `","Meta":{"a":"b"}}`},
	{name: "operator-api-method", args: "operator api -X put /v1/system/gc"},
	{name: "operator-api-url", args: "operator api http://example.com/v1/nodes"},
	{name: "operator-api-bad-header", args: "operator api -H nonsense /v1/nodes"},
	{name: "operator-api-refused", args: "operator api /v1/nodes?index=x"},
	{name: "operator-api-missing", args: "operator api /v1/none"},
	{name: "node-status-several", args: "node status 4d01"},
	{name: "node-status-several-json", args: "node status -json 4d01"},
	{name: "node-status-missing", args: "node status ffff"},
	{name: "node-status-unknown", args: "node status ffffffff-04b4-cc83-7aae-e179f24a5b2a"},
	{name: "node-status-not-an-id", args: "node status web-1"},
	{name: "node-status-short-prefix", args: "node status 4"},
	{name: "node-status-self-and-id", args: "node status -self 4d01"},
	{name: "node-status-bad-page", args: "node status -per-page -1"},
	{name: "node-status-denied", args: "node status", replies: map[string]any{"Node.List": structs.ErrPermissionDenied}},
	{name: "node-status-no-leader", args: "node status", replies: map[string]any{"Node.List": structs.ErrNoLeader}},
	{name: "node-status-bad-template", args: "node status -t '{{range'"},
	{name: "node-status-wrong-template", args: "node status -t '{{.Nothing}}'"},
	{name: "node-status-json-and-template", args: "node status -json -t '{{.}}'"},
	{name: "node-identity-get", args: "node identity get 5072"},
	{name: "node-identity-get-json", args: "node identity get --json 5072"},
	{name: "node-identity-get-several", args: "node identity get 4d01"},
	{name: "node-identity-get-unconnected", args: "node identity get 5072", replies: map[string]any{"NodeIdentity.Get": structs.ErrNoNodeConn}},
	{name: "node-identity-get-none", args: "node identity get"},
	{name: "node-identity-renew", args: "node identity renew 5072"},
	{name: "node-identity-renew-json", args: "node identity renew -json 5072"},
	{name: "node-intro-create", args: "node intro create"},
	{name: "node-intro-create-full", args: "node intro create -ttl 10m -node-name web-1 -node-pool edge -node-class small -node-dc dc2 -t '{{.JWT}}'"},
	{name: "node-intro-create-json", args: "node intro create -json"},
	{name: "node-intro-create-bad-ttl", args: "node intro create -ttl soon"},
	{name: "node-intro-create-denied", args: "node intro create", replies: map[string]any{
		"ACL.CreateClientIntroductionToken": structs.ErrPermissionDenied,
	}},
	{name: "node-eligibility-disable", args: "node eligibility -disable 5072"},
	{name: "node-eligibility-enable-self", args: "node eligibility -enable -self"},
	{name: "node-eligibility-neither", args: "node eligibility 5072"},
	{name: "node-eligibility-no-node", args: "node eligibility -enable"},
	{name: "node-drain-enable", args: "node drain -enable -deadline 30m -ignore-system -m disk -meta a=b -yes " + node2},
	{name: "node-drain-force-detach", args: "node drain -enable -force -detach " + node2},
	{name: "node-drain-disable", args: "node drain -disable " + node1},
	{name: "node-drain-disable-keep", args: "node drain -disable -keep-ineligible -detach -json " + node1},
	{name: "node-drain-monitor", args: "node drain -monitor " + node1},
	{name: "node-drain-nothing", args: "node drain " + node1},
	{name: "node-drain-both", args: "node drain -enable -disable " + node1},
	{name: "node-drain-two-deadlines", args: "node drain -enable -force -deadline 1m " + node1},
	{name: "node-drain-bad-deadline", args: "node drain -enable -deadline soon " + node1},
	{name: "node-drain-negative-deadline", args: "node drain -enable -deadline -1m " + node1},
	{name: "node-drain-disable-force", args: "node drain -disable -force " + node1},
	{name: "node-drain-enable-keep", args: "node drain -enable -keep-ineligible " + node1},
	{name: "node-drain-monitor-detach", args: "node drain -enable -monitor -detach " + node1},
	{name: "node-drain-bad-meta", args: "node drain -enable -meta novalue " + node1},
	{name: "node-pool-list", args: "node pool list"},
	{name: "node-pool-list-json", args: "node pool list -json"},
	{name: "node-pool-info", args: "node pool info edge"},
	{name: "node-pool-info-plain", args: "node pool info default"},
	{name: "node-pool-info-missing", args: "node pool info none"},
	{name: "node-pool-nodes", args: "node pool nodes edge"},
	{name: "node-pool-nodes-empty", args: "node pool nodes none"},
	{name: "node-pool-apply", args: "node pool apply testdata/pool.hcl"},
	{name: "node-pool-apply-template", args: "node pool apply -t '{{.NodeIdentityTTL}}' testdata/pool.hcl"},
	{name: "node-pool-apply-json", args: "node pool apply testdata/pool.json"},
	{name: "node-pool-apply-stdin", args: "node pool apply -json -", stdin: `{"Name":"edge","NodeIdentityTTL":3600000000000,"Hash":"AQ==","ModifyIndex":3}`},
	{name: "node-pool-apply-short", args: "node pool apply -", stdin: `node_pool "edge" { node_identity_ttl = "5s" }`},
	{name: "node-pool-apply-refused", args: "node pool apply testdata/pool.hcl", replies: map[string]any{
		"NodePool.UpsertNodePools": structs.Coded(400, "modifying node pool %q is not allowed", "all"),
	}},
	{name: "node-pool-delete", args: "node pool delete edge"},
	{name: "node-pool-delete-missing", args: "node pool delete edge", replies: map[string]any{"NodePool.DeleteNodePools": structs.ErrNodePoolNotFound}},
	{name: "keyring-list", args: "operator root keyring list"},
	{name: "keyring-list-verbose", args: "operator root keyring list -verbose"},
	{name: "keyring-status", args: "operator root keyring status"},
	{name: "keyring-rewrap", args: "operator root keyring rewrap -to aead.kek1", replies: map[string]any{
		"Keyring.Rewrap": structs.KeyringRewrapResponse{ProviderID: "aead.kek1", Done: true, Keys: []*structs.RewrapKey{
			{KeyID: key1, State: "active", Phase: structs.RewrapDone, Copies: []string{"aead.kek1"}}}},
	}},
	{name: "keyring-rewrap-refused", args: "operator root keyring rewrap -to aead.kek2", replies: map[string]any{
		"Keyring.Rewrap": structs.Coded(409, "the leader's active keyring provider is aead.kek1, not aead.kek2; restart all servers with the new configuration first"),
	}},
	{name: "keyring-rotate-now", args: "operator root keyring rotate -now -full"},
	{name: "keyring-rotate-neither", args: "operator root keyring rotate"},
	{name: "keyring-rotate-both", args: "operator root keyring rotate -now -prepublish 1h"},
	{name: "keyring-rotate-past", args: "operator root keyring rotate -prepublish -1h"},
	{name: "keyring-rotate-full-ahead", args: "operator root keyring rotate -full -prepublish 1h"},
	{name: "keyring-remove", args: "operator root keyring remove -force 562"},
	{name: "keyring-remove-several", args: "operator root keyring remove 56"},
	{name: "keyring-remove-missing", args: "operator root keyring remove ffff"},
	{name: "keyring-remove-in-use", args: "operator root keyring remove " + key1, replies: map[string]any{"Keyring.Delete": structs.ErrRootKeyInUse}},
	{name: "keyring-remove-unknown", args: "operator root keyring remove " + key1, replies: map[string]any{"Keyring.Delete": structs.ErrRootKeyNotFound}},
	{name: "raft-list-peers", args: "operator raft list-peers -stale"},
	{name: "raft-list-peers-json", args: "operator raft list-peers -json"},
	{name: "raft-remove-peer", args: "operator raft remove-peer -peer-id bbbb"},
	{name: "raft-remove-peer-none", args: "operator raft remove-peer"},
	{name: "raft-transfer", args: "operator raft transfer-leadership -peer-id bbbb"},
	{name: "raft-transfer-noop", args: "operator raft transfer-leadership -peer-address 10.0.0.1:4647", replies: map[string]any{
		"Operator.TransferLeadershipToPeer": structs.LeadershipTransferResponse{To: structs.RaftIDAddress{ID: "aaaa", Address: "10.0.0.1:4647"}, Noop: true},
	}},
	{name: "raft-transfer-none", args: "operator raft transfer-leadership"},
	{name: "raft-transfer-no-leader", args: "operator raft transfer-leadership -peer-id bbbb", replies: map[string]any{
		"Operator.TransferLeadershipToPeer": structs.ErrNoLeader,
	}},
	{name: "autopilot-get-config", args: "operator autopilot get-config"},
	{name: "autopilot-get-config-json", args: "operator autopilot get-config -json"},
	{name: "autopilot-set-config", args: "operator autopilot set-config -cleanup-dead-servers=false -min-quorum 3 -last-contact-threshold 1s"},
	{name: "autopilot-set-config-raced", args: "operator autopilot set-config -max-trailing-logs 9", replies: map[string]any{
		"Operator.AutopilotSetConfiguration": false,
	}},
	{name: "autopilot-set-config-nothing", args: "operator autopilot set-config"},
	{name: "autopilot-set-config-bad", args: "operator autopilot set-config -last-contact-threshold 0s"},
	{name: "autopilot-health", args: "operator autopilot health"},
	{name: "autopilot-health-bad", args: "operator autopilot health -json", replies: map[string]any{"Operator.ServerHealth": structs.OperatorHealthReply{}}},
	{name: "server-members", args: "server members"},
	{name: "server-members-verbose", args: "server members -detailed"},
	{name: "server-members-json", args: "server members -t '{{range .}}{{.Name}} {{end}}'"},
	{name: "server-join", args: "server join 10.0.0.2 10.0.0.3:4648"},
	{name: "server-join-failed", args: "server join nobody"},
	{name: "server-join-none", args: "server join"},
	{name: "server-force-leave", args: "server force-leave -prune s2"},
	{name: "server-force-leave-missing", args: "server force-leave s7"},
	{name: "system-gc", args: "system gc"},
	{name: "gossip-keyring-list", args: "operator gossip keyring list"},
	{name: "gossip-keyring-install", args: "operator gossip keyring install -", stdin: gossipKey + "\n"},
	{name: "gossip-keyring-install-bad", args: "operator gossip keyring install AAAA"},
	{name: "gossip-keyring-use", args: "operator gossip keyring use " + gossipKey},
	{name: "gossip-keyring-remove-in-use", args: "operator gossip keyring remove -json " + gossipKey},
	{name: "config-validate", args: "config validate testdata/agent.hcl"},
	{name: "config-validate-bad", args: "config validate testdata/bad.hcl"},
	{name: "config-validate-bad-json", args: "config validate -json testdata/bad.hcl"},
	{name: "config-validate-none", args: "config validate"},
	{name: "unknown-command", args: "nod"},
	{name: "unknown-subcommand", args: "node statu"},
	{name: "unknown-flag", args: "node status -jsn"},
	{name: "missing-value", args: "node status -filter"},
	{name: "too-many-arguments", args: "node status a b"},
	{name: "no-arguments-wanted", args: "system gc now"},
	{name: "bad-address", args: "node status -address ftp://x"},
	{name: "agent-nothing-to-run", args: "agent"},
	{name: "agent-bad-flag", args: "agent -dev -bootstrap-expect -3"},
	{name: "agent-bad-level", args: "agent -dev -log-level loud"},
	{name: "help", args: "-help"},
	{name: "help-group", args: "node pool"},
	{name: "help-command", args: "node drain -help"},
}

var quoted = regexp.MustCompile(`'[^']*'|[^ ']+`)

// words splits a command line as a shell would, as far as the cases need it.
func words(line string) []string {
	var out []string
	end := -1
	for _, at := range quoted.FindAllStringIndex(line, -1) {
		word := strings.Trim(line[at[0]:at[1]], "'")
		if at[0] == end {
			out[len(out)-1] += word
		} else {
			out = append(out, word)
		}
		end = at[1]
	}
	return out
}

func TestCommands(t *testing.T) {
	used := map[string]bool{}
	for _, tc := range commandCases {
		used[tc.name] = true
		t.Run(tc.name, func(t *testing.T) {
			c := newCluster()
			for method, v := range tc.replies {
				c.reply[method] = v
			}
			c.serve(t)
			got := rollcall(t, tc.stdin, words(tc.args)...)
			text := fmt.Sprintf("$ rollcall %s\nexit %d\n", tc.args, got.code)
			for _, part := range []struct{ name, content string }{
				{"stdout", got.out}, {"stderr", got.err}, {"calls", strings.Join(c.calls, "\n")},
			} {
				if part.content != "" {
					text += "--- " + part.name + "\n" + strings.TrimSuffix(part.content, "\n") + "\n"
				}
			}
			golden(t, tc.name, text)
		})
	}
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".golden"); !used[name] {
			t.Errorf("%s belongs to no case", file)
		}
	}
}

func TestEveryCommandHasAnExampleAndExitCodes(t *testing.T) {
	for _, line := range []string{
		"agent", "node status", "node identity get", "node identity renew", "node intro create", "node drain", "node eligibility", "node pool list",
		"node pool info", "node pool nodes", "node pool apply", "node pool delete", "node pool init", "operator root keyring list",
		"operator root keyring rotate", "operator root keyring remove", "operator raft list-peers", "operator raft remove-peer",
		"operator raft transfer-leadership", "operator autopilot get-config", "operator autopilot set-config", "operator autopilot health",
		"node meta read", "node meta apply", "node config", "node pool jobs", "status", "agent-info", "operator scheduler get-config",
		"operator scheduler set-config", "operator metrics", "operator utilization", "server members", "server join", "server force-leave", "system gc",
		"acl bootstrap", "acl token create", "acl token update", "acl token delete", "acl token info", "acl token list", "acl token self",
		"acl policy apply", "acl policy delete", "acl policy info", "acl policy list", "acl policy self",
		"acl role create", "acl role update", "acl role delete", "acl role info", "acl role list",
		"config validate", "version", "event stream", "operator debug", "monitor",
	} {
		got := rollcall(t, "", append(strings.Fields(line), "-h")...)
		if got.code != 0 || !strings.Contains(got.out, "\n     rollcall "+line) || !strings.Contains(got.out, exitCodeHelp) ||
			!strings.Contains(got.out, "-t TEMPLATE") && line != "agent" && line != "event stream" && line != "monitor" {
			t.Errorf("%s: exit %d, no example, exit codes or -t in:\n%s", line, got.code, got.out)
		}
	}
}

func TestPrepublishIsCountedFromNow(t *testing.T) {
	c := newCluster()
	var at time.Time
	c.reply["Keyring.Rotate"] = func(args any) any {
		at = time.Unix(0, args.(*structs.KeyringRotateRequest).PublishTime)
		return structs.KeyringRotateResponse{Key: &structs.RootKeyMeta{KeyID: key1, State: "prepublished"}}
	}
	c.serve(t)
	before := time.Now()
	if got := rollcall(t, "", "operator", "root", "keyring", "rotate", "-prepublish", "1h", "-t", "{{.State}}"); got.code != 0 || got.out != "prepublished\n" {
		t.Fatalf("%+v", got)
	}
	if at.Before(before.Add(time.Hour)) || at.After(time.Now().Add(time.Hour)) {
		t.Errorf("published at %s, one hour after %s is meant", at, before)
	}
}

func TestMonitorFollowsADrainToItsEnd(t *testing.T) {
	c := newCluster()
	reads := 0
	c.reply["Node.GetNode"] = func(args any) any {
		reads++
		n := &structs.Node{ID: node1, SchedulingEligibility: "ineligible", DrainStrategy: &structs.DrainStrategy{}}
		if reads > 2 {
			n.LastDrain = &structs.DrainMetadata{Status: structs.DrainStatusComplete}
		}
		if got, want := args.(*structs.NodeSpecificRequest).MinQueryIndex, uint64(10*(reads-1)); got != want {
			t.Errorf("read %d waits for index %d, want %d", reads, got, want)
		}
		return structs.SingleNodeResponse{Node: n, QueryMeta: structs.QueryMeta{Index: uint64(10 * reads)}}
	}
	c.serve(t)
	got := rollcall(t, "", "node", "drain", "-enable", "-no-deadline", "-monitor", node1)
	if got.code != 0 || got.out != `Node "`+node1+`" drain complete; it is ineligible`+"\n" || strings.Count(got.err, "without a deadline") != 1 {
		t.Errorf("%+v", got)
	}
}

func TestDrainAsksFirst(t *testing.T) {
	for answer, code := range map[string]int{"y\n": 0, "Yes\n": 0, "n\n": 1, "\n": 1, "": 1} {
		c := newCluster()
		c.serve(t)
		var out, errs strings.Builder
		a := &app{in: strings.NewReader(answer), out: &out, err: &errs, interactive: true}
		got := a.run(t.Context(), []string{"rollcall", "node", "drain", "-enable", "-detach", node1})
		if got != code || strings.Contains(strings.Join(c.calls, " "), "UpdateDrain") != (code == 0) || !strings.Contains(errs.String(), "Drain node "+node1+"? [y/N]") {
			t.Errorf("answer %q: exit %d, calls %v, stderr %s", answer, got, c.calls, errs.String())
		}
	}
}

func TestPoolFiles(t *testing.T) {
	dir := t.TempDir()
	for name, tc := range map[string]struct{ ext, src, text string }{
		"no block":             {"hcl", ``, "has 0 node_pool blocks; want exactly one"},
		"two blocks":           {"hcl", "node_pool \"a\" {}\nnode_pool \"b\" {}", "has 2 node_pool blocks; want exactly one"},
		"no name":              {"hcl", `node_pool {}`, "Missing name for node_pool"},
		"another block":        {"hcl", `job "a" {}`, "Unsupported block type"},
		"an unknown setting":   {"hcl", `node_pool "a" { ttl = "1h" }`, "Unsupported argument"},
		"half a file":          {"hcl", `node_pool "a" {`, "Unclosed configuration block"},
		"a bad TTL":            {"hcl", `node_pool "a" { node_identity_ttl = "soon" }`, `node_identity_ttl: time: invalid duration "soon"`},
		"a negative TTL":       {"hcl", `node_pool "a" { node_identity_ttl = "-1h" }`, "is negative"},
		"a TTL under a second": {"hcl", `node_pool "a" { node_identity_ttl = "1ms" }`, "under one second"},
		"a bad name":           {"hcl", `node_pool "a b" {}`, `invalid node pool name "a b"`},
		"bad metadata":         {"hcl", `node_pool "a" { meta = ["x"] }`, "map of string required"},
		"metadata of lists":    {"hcl", "node_pool \"a\" {\n meta {\n a = [1]\n }\n}", "string required"},
		"nested metadata":      {"hcl", "node_pool \"a\" {\n meta {\n b {}\n }\n}", "Unexpected \"b\" block"},
		"deep nesting":         {"hcl", "node_pool \"a\" {\n description = " + strings.Repeat("[", 1<<16), "deep-nesting.hcl:2: nested more than 16 levels deep"},
		"endless brackets":     {"hcl", "a = " + strings.Repeat("(", 1<<16), `"(" is not supported`},
		"endless negation":     {"hcl", "a = " + strings.Repeat("!", 1<<16), `"!" is not supported`},
		"endless minus":        {"hcl", "a = " + strings.Repeat("-", 1<<16), "arithmetic is not supported"},
		"endless choice":       {"hcl", "a = " + strings.Repeat("1?1:", 1<<14), `"?" is not supported`},
		"endless templates":    {"hcl", "a = " + strings.Repeat(`"${`, 1<<14), `"${" is not supported`},
		"endless blocks":       {"hcl", strings.Repeat("a {\n", 1<<14), "nested more than 16 levels deep"},
		"deep JSON":            {"json", strings.Repeat("[", 1<<16), "exceeded max depth"},
		"a variable":           {"hcl", `node_pool "a" { description = var.x }`, `values are literals; "." is not supported`},
		"JSON of another kind": {"json", `[]`, "cannot unmarshal array"},
		"an unknown key":       {"json", `{"Name":"a","TTL":1}`, `unknown field "TTL"`},
		"two values":           {"json", `{"Name":"a"}{}`, "more than one JSON value"},
		"a bad JSON TTL":       {"json", `{"Name":"a","NodeIdentityTTL":[]}`, "neither a duration string nor whole nanoseconds"},
		"a scheduler":          {"json", `{"Name":"a","SchedulerConfiguration":{}}`, "scheduler configuration can't be set here"},
		"a huge file":          {"json", strings.Repeat(" ", maxSpecFile+1), "has more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster()
			c.serve(t)
			file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+"."+tc.ext)
			if err := os.WriteFile(file, []byte(tc.src), 0o600); err != nil {
				t.Fatal(err)
			}
			got := rollcall(t, "", "node", "pool", "apply", file)
			if got.code != 1 || !strings.Contains(got.err, tc.text) || len(c.calls) > 0 {
				t.Errorf("exit %d, calls %v, stderr %s\nwant %q", got.code, c.calls, got.err, tc.text)
			}
		})
	}
	if got := rollcall(t, "", "node", "pool", "apply", filepath.Join(dir, "none.hcl")); got.code != 1 || !strings.Contains(got.err, "no such file") {
		t.Errorf("%+v", got)
	}
}

func TestPoolInitWritesWhatApplyReads(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tc := range []struct{ args, file string }{
		{"node pool init", "pool.nomad.hcl"}, {"node pool init -out json -quiet", "pool.nomad.json"}, {"node pool init mine.hcl", "mine.hcl"},
	} {
		c := newCluster()
		c.serve(t)
		got := rollcall(t, "", strings.Fields(tc.args)...)
		if got.code != 0 || strings.Contains(got.out, tc.file) == strings.Contains(tc.args, "-quiet") {
			t.Fatalf("%s: %+v", tc.args, got)
		}
		if got := rollcall(t, "", "node", "pool", "apply", tc.file); got.code != 0 {
			t.Errorf("apply %s: %+v", tc.file, got)
		}
		if call := strings.Join(c.calls, ""); !strings.Contains(call, `"Name":"example"`) || !strings.Contains(call, `"Meta":{"owner":"platform"}`) ||
			!strings.Contains(call, `"NodeIdentityTTL":86400000000000`) {
			t.Errorf("%s applies %s", tc.file, call)
		}
		if got := rollcall(t, "", strings.Fields(tc.args)...); got.code != 1 || !strings.Contains(got.err, "exists already") {
			t.Errorf("%s again: %+v", tc.args, got)
		}
	}
	if got := rollcall(t, "", "node", "pool", "init", "-out", "xml"); got.code != 2 {
		t.Errorf("%+v", got)
	}
}

func FuzzPoolFile(f *testing.F) {
	f.Add([]byte(poolExampleHCL))
	f.Add([]byte(poolExampleJSON))
	f.Add([]byte(`node_pool "a" { meta = { a = 1 } }`))
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > maxSpecFile {
			t.Skip()
		}
		for _, parse := range []func(string, []byte) (*structs.NodePool, error){parsePoolHCL, parsePoolJSON} {
			pool, err := parse("pool", src)
			if (pool == nil) == (err == nil) {
				t.Errorf("pool %+v with error %v", pool, err)
			}
		}
	})
}
