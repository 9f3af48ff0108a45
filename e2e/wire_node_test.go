//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/e2e/wire"
)

// An agent from before identities works with its secret ID, and gets none; its secret is good after a restore, too.
func TestAnOlderClientAgentWorksAndGetsNoIdentity(t *testing.T) {
	ctx, dir := scenario(t)
	c := newPlainCluster(t, ctx, dir, 1, "")
	a := newActor(t, c)
	must(t, a.connect(ctx, c.Servers[0].RPC))
	nothing := registered(nil)
	nothing["Servers"] = servers(1)
	still := steady(nil)
	still["Servers"] = servers(1)
	life := []step{
		{say: "it registers again with its secret", method: "Node.Register", args: registration(oldNode(), "$secret"), want: nothing},
		{say: "it becomes ready", method: "Node.UpdateStatus", args: oldHeartbeat("$secret"), want: wire.Map{"HeartbeatTTL": some, "SignedIdentity": nil}},
		{say: "it stays ready", method: "Node.UpdateStatus", args: oldHeartbeat("$secret"), want: still},
		{
			say: "it has no allocations", method: "Node.GetClientAllocs", args: query("$secret", wire.Map{"NodeID": "$node", "SecretID": "$secret", "AllowStale": true}),
			want: wire.Map{"Index": some, "Allocs": check(empty)},
		},
		{
			say: "it tells of what its drivers do", method: "Node.EmitEvents", args: change("$secret", wire.Map{"NodeEvents": wire.Map{"$node": []any{wire.Map{
				"Message": "Driver is healthy", "Subsystem": "Driver", "Details": nil, "Timestamp": seen, "CreateIndex": uint64(0),
			}}}}),
			want: wire.Map{"Index": some},
		},
		{say: "another secret is refused", method: "Node.UpdateStatus", args: oldHeartbeat("99999999-6f5e-4d3c-8b2a-190817263544"), err: "Permission denied"},
	}
	a.play(ctx, []step{{say: "it registers", method: "Node.Register", args: registration(oldNode(), ""), want: nothing}})
	a.play(ctx, life)
	checkRoundTrip(t, ctx, a, oldNode())
	archive := saved(t, ctx, c.Servers[0], false)
	a.play(ctx, []step{
		{say: "an operator removes it", put: "/v1/node/$node/purge"},
		{say: "nobody knows its secret any more", method: "Node.UpdateStatus", args: oldHeartbeat("$secret"), err: "Permission denied"},
	})
	restored(t, ctx, c.Servers[0], archive)
	checkRoundTrip(t, ctx, a, oldNode())
	a.play(ctx, life)
}

// What nothing here reads of a node comes back as it was sent, over RPC and as JSON, before a snapshot and after its restore.
func TestNodesOfEveryVersionComeBackAsTheyWereSent(t *testing.T) {
	for _, version := range []string{"1.11.0", "2.0.5"} {
		t.Run(version, func(t *testing.T) {
			ctx, dir := scenario(t)
			c := newPlainCluster(t, ctx, dir, 1, "")
			a := newActor(t, c)
			must(t, a.connect(ctx, c.Servers[0].RPC))
			want := registered(some)
			want["Servers"] = servers(1)
			sent := newNode(version)
			a.play(ctx, []step{{say: "it registers", method: "Node.Register", args: registration(sent, ""), want: want}})
			checkRoundTrip(t, ctx, a, sent)
			archive := saved(t, ctx, c.Servers[0], false)
			a.play(ctx, []step{{say: "an operator removes it", put: "/v1/node/$node/purge"}})
			restored(t, ctx, c.Servers[0], archive)
			checkRoundTrip(t, ctx, a, sent)
		})
	}
}

// ofServers are the keys of a node that servers write, whatever is sent.
var ofServers = []string{
	"SecretID", "Status", "StatusUpdatedAt", "ComputedClass", "Events", "CreateIndex", "ModifyIndex", "IdentitySigningKeyID", "SchedulingEligibility",
	"DrainStrategy", "LastDrain", "LastMissedHeartbeatIndex", "LastAllocUpdateIndex",
}

// The round trips are of every field that the facts list, or a field could get lost unseen.
func TestTheScriptedNodeHasEveryFieldOfTheFacts(t *testing.T) {
	facts, err := os.ReadFile("../docs/wire.md")
	must(t, err)
	_, table, _ := strings.Cut(string(facts), "\n### 2.6 ")
	table, _, _ = strings.Cut(table, "\n\n1.10.5 additionally")
	node := newNode("2.0.5")
	var listed []string
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.Contains(line, "| Key |") || strings.HasPrefix(line, "|--") {
			continue
		}
		for key := range strings.SplitSeq(cells[1], ",") {
			key = strings.TrimSpace(key)
			listed = append(listed, key)
			value, sent := node[key]
			if !sent {
				t.Errorf("wire.md lists %s, and the scripted node does not send it", key)
			} else if !slices.Contains(ofServers, key) && some(value) != nil {
				t.Errorf("%s is sent as %v, which can't be told from a field that is lost", key, value)
			}
		}
	}
	if len(listed) < 34 {
		t.Errorf("found %d fields in wire.md: %v", len(listed), listed)
	}
	for key := range node {
		if !slices.Contains(listed, key) {
			t.Errorf("the scripted node sends %s, which wire.md does not list", key)
		}
	}
}

func checkRoundTrip(t *testing.T, ctx context.Context, a *actor, sent wire.Map) {
	t.Helper()
	want := a.fill(sent).(wire.Map)
	for _, key := range ofServers {
		delete(want, key)
	}
	var got wire.Map
	a.play(ctx, []step{{
		say: "an operator looks at it", method: "Node.GetNode", args: query("", wire.Map{"NodeID": "$node", "SecretID": ""}), want: wire.Map{"Node": some},
		after: func(_ *testing.T, reply any) { got = reply.(wire.Map)["Node"].(wire.Map) },
	}})
	if secret := got["SecretID"]; secret != "" {
		t.Errorf("over RPC the secret is %v", secret)
	}
	read, err := wire.Read(bufio.NewReader(bytes.NewReader(wire.Append(nil, want)))) // what was sent, as one reads it
	must(t, err)
	if diff := cmp.Diff(read, any(only(got, want))); diff != "" {
		t.Errorf("over RPC (-sent +got):\n%s", diff)
	}

	shown := map[string]any{}
	must(t, GetJSON(ctx, a.http+"/v1/node/"+scriptedNode, &shown))
	if secret := shown["SecretID"]; secret != "" {
		t.Errorf("in JSON the secret is %v", secret)
	}
	if diff := cmp.Diff(asJSON(want), any(only(shown, want))); diff != "" {
		t.Errorf("as JSON (-sent +got):\n%s", diff)
	}
}

// only is what m has of the keys of other.
func only[M ~map[string]any](m M, other wire.Map) M {
	out := M{}
	for k, v := range m {
		if _, ok := other[k]; ok {
			out[k] = v
		}
	}
	return out
}

// asJSON is what the API shows of a value that was sent: times as text, bytes as numbers (docs/wire.md §2.6).
func asJSON(v any) any {
	switch t := v.(type) {
	case wire.Map:
		out := map[string]any{}
		for k, e := range t {
			out[k] = asJSON(e)
		}
		return out
	case []any:
		out := make([]any, len(t))
		for i, e := range t {
			out[i] = asJSON(e)
		}
		return out
	case []byte:
		out := make([]any, len(t))
		for i, b := range t {
			out[i] = float64(b)
		}
		return out
	case time.Time:
		return t.Format(time.RFC3339Nano)
	}
	if r := reflect.ValueOf(v); r.CanInt() || r.CanUint() {
		return r.Convert(reflect.TypeFor[float64]()).Interface()
	}
	return v
}

// A node without allocations has nothing to wait for: its drain is over as soon as the leader has seen it, and stays so.
func TestADrainOfANodeWithoutAllocationsCompletes(t *testing.T) {
	ctx, dir := scenario(t)
	c := newPlainCluster(t, ctx, dir, 1, "")
	s := c.Servers[0]
	a := newActor(t, c)
	must(t, a.connect(ctx, s.RPC))
	a.play(ctx, []step{
		{say: "it registers", method: "Node.Register", args: registration(newNode("2.0.5"), ""), keep: map[string]string{"identity": "SignedIdentity"}},
		{say: "it becomes ready", method: "Node.UpdateStatus", args: heartbeat("$identity", false), want: wire.Map{"Index": some}},
	})
	commandOK(t, ctx, c, nil, "node", "drain", "-enable", "-yes", "-detach", "-deadline", "1h", "-m", "new disk", "-address", s.HTTP, scriptedNode)
	look := step{say: "it looks at itself", method: "Node.GetNode", args: query("$identity", wire.Map{"NodeID": "$node", "SecretID": "$secret"})}
	var messages []string
	look.after = func(_ *testing.T, reply any) {
		messages = nil
		for _, e := range reply.(wire.Map)["Node"].(wire.Map)["Events"].([]any) {
			messages = append(messages, fmt.Sprintf("%s: %s", e.(wire.Map)["Subsystem"], e.(wire.Map)["Message"]))
		}
	}
	over := wire.Map{
		"DrainStrategy": nil, "SchedulingEligibility": "ineligible", "Status": "ready",
		"LastDrain": wire.Map{"Status": "complete", "StartedAt": some, "UpdatedAt": some, "Meta": wire.Map{"message": "new disk"}, "AccessorID": ""},
	}
	look.want = wire.Map{"Node": over}
	eventually(t, ctx, "the drain is over", formTime, func(ctx context.Context) error { return a.do(ctx, look) })
	want := []string{"Cluster: Node registered", "Drain: Node drain strategy set", "Drain: Node drain complete"}
	if diff := cmp.Diff(want, messages); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}

	again := registered(nil)
	again["Servers"], again["SchedulingEligibility"] = servers(1), "ineligible"
	a.play(ctx, []step{
		{say: "it registers again, and is told that it is not eligible", method: "Node.Register", args: registration(newNode("2.0.5"), "$identity"), want: again},
		{say: "it goes on", method: "Node.UpdateStatus", args: heartbeat("$identity", false), want: wire.Map{"SignedIdentity": nil, "SchedulingEligibility": "ineligible"}},
		look,
	})
	commandOK(t, ctx, c, nil, "node", "eligibility", "-enable", "-address", s.HTTP, scriptedNode)
	over["SchedulingEligibility"] = "eligible"
	a.play(ctx, []step{look})
	if diff := cmp.Diff(append(want, "Cluster: Node marked as eligible for scheduling"), messages); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}

	commandOK(t, ctx, c, nil, "node", "drain", "-disable", "-address", s.HTTP, scriptedNode)
	if err := a.do(ctx, look); err != nil {
		t.Errorf("an end to no drain: %v", err)
	}
}
