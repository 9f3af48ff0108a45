package rpc

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func TestRegistrationReply(t *testing.T) {
	w := newWorld(t)
	reply := must(w.register(testNode(1), ""))(t)
	index := w.raft.index
	token := reply.SignedIdentity
	reply.SignedIdentity = nil
	want := &structs.NodeUpdateResponse{
		HeartbeatTTL: beatTTL, NodeModifyIndex: index, LeaderRPCAddr: "10.0.0.1:4647", NumNodes: 1, Servers: testServers,
		SchedulingEligibility: structs.NodeEligible, QueryMeta: structs.QueryMeta{Index: index, KnownLeader: true},
	}
	if diff := cmp.Diff(want, reply); diff != "" || token == nil {
		t.Errorf("token %v, reply (-want +got):\n%s", token, diff)
	}
	if diff := cmp.Diff([]string{nodeID(1)}, w.beats.reset); diff != "" {
		t.Error("timers reset:", diff)
	}
}

func TestRegistrationFillsInAndIgnores(t *testing.T) {
	w := newWorld(t)
	n := testNode(1)
	n.Status, n.NodePool, n.SchedulingEligibility = "", "", "whatever"
	n.ComputedClass, n.StatusUpdatedAt = "mine", 1
	n.IdentitySigningKeyID, n.IdentityTTL = uuid(66), time.Hour
	n.Events = []*structs.NodeEvent{{Message: "forged"}}
	n.DrainStrategy, n.LastDrain = &structs.DrainStrategy{}, &structs.DrainMetadata{}
	n.LastMissedHeartbeatIndex, n.LastAllocUpdateIndex, n.CreateIndex, n.ModifyIndex = 9e9, 9e9, 9e9, 9e9
	n.SecretHash = structs.HashSecret(secretOf(2))
	w.cluster.cannotMint = true
	must(w.register(n, ""))(t)

	got := w.node(1)
	if got.Status != structs.NodeStatusInit || got.NodePool != structs.NodePoolDefault || got.SchedulingEligibility != structs.NodeEligible ||
		got.StatusUpdatedAt != t0.Unix() || !strings.HasPrefix(got.ComputedClass, "v1:") {
		t.Errorf("not filled in: %+v", got)
	}
	if got.IdentitySigningKeyID != "" || got.IdentityTTL != 0 || got.DrainStrategy != nil || got.LastDrain != nil ||
		got.LastMissedHeartbeatIndex != 0 || got.LastAllocUpdateIndex != 0 || got.CreateIndex != w.raft.index || got.ModifyIndex != w.raft.index {
		t.Errorf("taken from the node: %+v", got)
	}
	if len(got.Events) != 1 || got.Events[0].Message != structs.NodeRegisteredEvent {
		t.Errorf("events %+v", got.Events)
	}
	if !got.SecretMatches(secretOf(1)) || got.SecretID != "" {
		t.Error("the stored secret is not the hash of the one presented")
	}
}

func TestRegistrationAgainKeepsWhatIsTheClusters(t *testing.T) {
	w := newWorld(t)
	token := w.join(1)
	before := w.node(1)
	must(call[structs.NodeChangeResponse](w, "Node.UpdateEligibility", &structs.NodeUpdateEligibilityRequest{
		NodeID: nodeID(1), Eligibility: structs.NodeIneligible, WriteRequest: write("")}))(t)
	n := testNode(1)
	n.Attributes = n.Attributes.With("kernel.name", "linux")
	reply := must(w.register(n, token))(t)
	got := w.node(1)
	if reply.SignedIdentity != nil || got.IdentitySigningKeyID != before.IdentitySigningKeyID || got.IdentitySigningKeyID == "" || got.IdentityTTL != defaultTTL {
		t.Errorf("the signing key was not carried over: %q for %s, was %q", got.IdentitySigningKeyID, got.IdentityTTL, before.IdentitySigningKeyID)
	}
	if got.Status != structs.NodeStatusReady || got.SchedulingEligibility != structs.NodeIneligible || got.CreateIndex != before.CreateIndex || len(got.Events) != 2 {
		t.Errorf("node is now %+v", got)
	}
	if got.Attributes.Get("kernel.name") != "linux" || reply.SchedulingEligibility != structs.NodeIneligible {
		t.Error("the registration had no effect")
	}
}

func TestDownNodeRegistersWithoutATimer(t *testing.T) {
	w := newWorld(t)
	w.join(1)
	w.setStatus(1, structs.NodeStatusDown)
	w.beats.reset = nil
	reply := must(w.register(testNode(1), secretOf(1)))(t)
	if reply.HeartbeatTTL != 0 || len(w.beats.reset) != 0 || w.node(1).Status != structs.NodeStatusDown {
		t.Errorf("TTL %s, timers %v, status %s", reply.HeartbeatTTL, w.beats.reset, w.node(1).Status)
	}
	must(w.heartbeat(1, secretOf(1)))(t)
	got := w.node(1)
	if e := got.Events[len(got.Events)-1]; got.Status != structs.NodeStatusReady || e.Message != structs.NodeHeartbeatBackEvent || e.Subsystem != structs.NodeEventSubsystemCluster {
		t.Errorf("status %s, event %+v", got.Status, e)
	}
}

func TestRegistrationIsValidated(t *testing.T) {
	cases := []struct {
		name   string
		change func(n *structs.Node)
		text   string
	}{
		{"no ID", func(n *structs.Node) { n.ID = "" }, "missing node ID for client registration"},
		{"an ID that is no UUID", func(n *structs.Node) { n.ID = "web-1" }, "is not a UUID"},
		{"no secret", func(n *structs.Node) { n.SecretID = "" }, "missing node secret ID"},
		{"a secret that is no UUID", func(n *structs.Node) { n.SecretID = "hunter2" }, "node secret ID is not a UUID"},
		{"no datacenter", func(n *structs.Node) { n.Datacenter = "" }, "missing datacenter"},
		{"no name", func(n *structs.Node) { n.Name = "" }, "missing node name"},
		{"no attributes", func(n *structs.Node) { n.Attributes = structs.StringMap{} }, "missing attributes"},
		{"a status that there is not", func(n *structs.Node) { n.Status = "fine" }, `invalid status for node: "fine"`},
		{"a pool with a slash", func(n *structs.Node) { n.NodePool = "a/b" }, `invalid node pool name "a/b"`},
		{"an ID that looks like another's", func(n *structs.Node) { n.ID = "ABCDEF00" + n.ID[8:] }, "is not in lower case"},
		{"a name that moves the cursor", func(n *structs.Node) { n.Name = "web\x1b[2J" }, "node name contains a control character"},
		{"a name on two lines", func(n *structs.Node) { n.Name = "web\nvm" }, "node name contains a control character"},
		{"a datacenter with a zero byte", func(n *structs.Node) { n.Datacenter = "dc\x00" }, "node datacenter contains a control character"},
		{"a class that is not UTF-8", func(n *structs.Node) { n.NodeClass = "\xff" }, "node class is not UTF-8"},
		{"the pool of all", func(n *structs.Node) { n.NodePool = "all" }, `not allowed to register in node pool "all"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			n := testNode(1)
			c.change(n)
			before := w.raft.count()
			_, err := w.register(n, "")
			wantError(t, err, nil, c.text)
			wantCode(t, err, 400)
			if w.raft.count() != before {
				t.Error("something was written")
			}
			if strings.Contains(err.Error(), secretOf(1)) || strings.Contains(err.Error(), "hunter2") {
				t.Error("the error shows the secret")
			}
		})
	}
	t.Run("no node", func(t *testing.T) {
		_, err := newWorld(t).register(nil, "")
		wantError(t, err, nil, "missing node for client registration")
	})
}

func TestSecretsIdentifyOneNode(t *testing.T) {
	w := newWorld(t)
	token := w.join(1)
	t.Run("another secret for a known node", func(t *testing.T) {
		n := testNode(1)
		n.SecretID = secretOf(2)
		for _, tok := range []string{"", token, w.introduction("default", ""), w.expiredIdentity(1)} {
			_, err := w.register(n, tok)
			wantError(t, err, structs.ErrSecretMismatch, "node secret ID does not match. Not registering node.")
		}
	})
	t.Run("the secret of a known node for another", func(t *testing.T) {
		n := testNode(2)
		n.SecretID = secretOf(1)
		_, err := w.register(n, "")
		wantError(t, err, nil, "belongs to another node")
		wantCode(t, err, 400)
		if strings.Contains(err.Error(), secretOf(1)) || strings.Contains(err.Error(), nodeID(1)) {
			t.Errorf("error tells too much: %v", err)
		}
	})
	t.Run("a record that never had a secret takes the first", func(t *testing.T) {
		old := testNode(3)
		old.SecretID = ""
		w.mustApply(structs.NodeRegisterMsg, &structs.NodeRegisterRequest{Node: old})
		must(w.register(testNode(3), ""))(t)
		if !w.node(3).SecretMatches(secretOf(3)) {
			t.Error("secret not taken")
		}
	})
}

// wire.md §3.5, for a node that is not known.
func TestIntroductions(t *testing.T) {
	match := func(w *world) string { return w.introduction("gpu", "") }
	cases := []struct {
		name               string
		token              func(w *world) string
		none, warn, strict bool // who lets it in
		violation          bool
	}{
		{"nothing to show", none, true, true, false, true},
		{"an introduction to its pool", match, true, true, true, false},
		{"an introduction to its pool and name", func(w *world) string { return w.introduction("gpu", "node-1") }, true, true, true, false},
		{"an introduction of another name", func(w *world) string { return w.introduction("gpu", "node-2") }, true, false, false, true},
		{"an introduction to another pool", func(w *world) string { return w.introduction("default", "") }, true, false, false, true},
		{"an expired introduction", func(w *world) string {
			return w.sign(structs.NewIntroductionClaims(region, "gpu", "", w.lifetime(t0.Add(-time.Hour), time.Minute)))
		}, true, false, false, true},
		{"its own identity from before it was collected", func(w *world) string { return w.identity(1, t0, time.Hour) }, true, true, true, false},
		{"its own identity, expired", func(w *world) string { return w.expiredIdentity(1) }, true, false, false, true},
		{"its secret", bySecret, false, false, false, false},
		{"another node's identity", func(w *world) string { return w.identity(2, t0, time.Hour) }, false, false, false, false},
		{"a workload's identity", (*world).workload, false, false, false, false},
	}
	for _, c := range cases {
		for level, allowed := range map[string]bool{EnforceNone: c.none, EnforceWarn: c.warn, EnforceStrict: c.strict} {
			t.Run(c.name+", "+level, func(t *testing.T) {
				w := newWorld(t, func(cfg *Config) { cfg.Introduction.Enforcement = level })
				n := testNode(1)
				n.NodePool = "gpu"
				before := w.raft.count()
				_, err := w.register(n, c.token(w))
				if allowed != (err == nil) {
					t.Errorf("error %v", err)
				}
				if err != nil {
					wantError(t, err, structs.ErrPermissionDenied)
					if w.raft.count() != before {
						t.Error("something was written")
					}
				}
				want := 0
				if c.violation && level != EnforceNone {
					want = 1
				}
				if got := w.metrics.count("client.introduction_violation_num"); got != want {
					t.Errorf("%d violations counted, want %d", got, want)
				}
			})
		}
	}
	t.Run("a known node needs none", func(t *testing.T) {
		w := newWorld(t, func(cfg *Config) { cfg.Introduction.Enforcement = EnforceStrict })
		must(w.register(testNode(1), w.introduction("default", "node-1")))(t)
		for _, token := range []string{"", w.introduction("gpu", "other"), w.expiredIdentity(1), secretOf(1)} {
			must(w.register(testNode(1), token))(t)
		}
	})
	t.Run("the default pool by no name", func(t *testing.T) {
		w := newWorld(t, func(cfg *Config) { cfg.Introduction.Enforcement = EnforceStrict })
		n := testNode(1)
		n.NodePool = ""
		must(w.register(n, w.introduction("default", "")))(t)
	})
}

// The table of corner cases in wire.md §3.4.
func TestLifeOfANode(t *testing.T) {
	strict := func(cfg *Config) { cfg.Introduction.Enforcement = EnforceStrict }
	t.Run("an expired identity can't heartbeat but can register", func(t *testing.T) {
		w := newWorld(t)
		token := w.join(1)
		w.clock.advance(25 * time.Hour)
		_, err := w.heartbeat(1, token)
		wantError(t, err, structs.ErrPermissionDenied)
		checkMint(t, w, must(w.register(testNode(1), token))(t), true)
	})
	t.Run("the leeway of a minute holds to the end", func(t *testing.T) {
		w := newWorld(t)
		token := w.join(1)
		w.clock.advance(24*time.Hour + time.Minute)
		if must(w.heartbeat(1, token))(t).SignedIdentity == nil {
			t.Error("not renewed in the last moment")
		}
		w.clock.advance(time.Nanosecond)
		_, err := w.heartbeat(1, token)
		wantError(t, err, structs.ErrPermissionDenied)
	})
	t.Run("a collected node with an identity comes back, also where introductions are required", func(t *testing.T) {
		w := newWorld(t)
		token := w.join(1)
		w.purge(1)
		w.srv.cfg.Introduction.Enforcement = EnforceStrict
		_, err := w.heartbeat(1, token)
		wantError(t, err, structs.ErrNodeNotFound, "node not found")
		must(w.register(testNode(1), token))(t)
		w.node(1)
	})
	t.Run("a collected node with its secret is refused, and comes back with nothing", func(t *testing.T) {
		w := newWorld(t)
		w.join(1)
		w.purge(1)
		_, err := w.heartbeat(1, secretOf(1))
		wantError(t, err, structs.ErrPermissionDenied)
		_, err = w.register(testNode(1), secretOf(1))
		wantError(t, err, structs.ErrPermissionDenied)
		must(w.register(testNode(1), ""))(t)
	})
	t.Run("a node whose key is gone comes back with nothing but its secret in the record", func(t *testing.T) {
		w := newWorld(t, strict)
		must(w.register(testNode(1), w.introduction("default", "")))(t)
		old := w.node(1).IdentitySigningKeyID
		token := w.identity(1, t0, time.Hour)
		w.addKey(structs.KeyStateActive)
		w.mustApply(structs.RootKeyDeleteMsg, &structs.KeyringDeleteRequest{KeyID: old})
		_, err := w.heartbeat(1, token)
		wantError(t, err, structs.ErrPermissionDenied)
		_, err = w.register(testNode(1), token)
		wantError(t, err, structs.ErrPermissionDenied)
		if errors.Is(err, structs.ErrTokenExpired) {
			t.Error("a token without a key counts as expired")
		}
		checkMint(t, w, must(w.register(testNode(1), ""))(t), true)
	})
}

func TestSteadyHeartbeatWritesNothing(t *testing.T) {
	w := newWorld(t)
	token := w.join(1)
	before := w.raft.count()
	for range 3 {
		reply := must(w.heartbeat(1, token))(t)
		want := &structs.NodeUpdateResponse{HeartbeatTTL: beatTTL, LeaderRPCAddr: "10.0.0.1:4647", NumNodes: 1, Servers: testServers,
			SchedulingEligibility: structs.NodeEligible, QueryMeta: structs.QueryMeta{KnownLeader: true}}
		if diff := cmp.Diff(want, reply); diff != "" {
			t.Error("reply (-want +got):", diff)
		}
	}
	if n := w.raft.count() - before; n != 0 {
		t.Errorf("%d commands", n)
	}
	if n := len(w.beats.reset); n != 5 {
		t.Errorf("timer reset %d times", n)
	}
}

func TestRenewalWithTheSameKeyWritesNothing(t *testing.T) {
	w := newWorld(t)
	token := w.join(1)
	before := w.raft.count()
	for range 3 {
		reply := must(w.heartbeat(1, token, renewal))(t)
		if reply.SignedIdentity == nil || *reply.SignedIdentity == token || reply.Index != 0 || reply.NodeModifyIndex != 0 {
			t.Fatalf("reply %+v", reply)
		}
		token = *reply.SignedIdentity
	}
	if n := w.raft.count() - before; n != 0 {
		t.Errorf("%d commands", n)
	}
	id := w.addKey(structs.KeyStateActive)
	before = w.raft.count()
	reply := must(w.heartbeat(1, token, renewal))(t)
	if n := w.raft.count() - before; n != 1 || w.node(1).IdentitySigningKeyID != id || reply.Index != w.raft.index {
		t.Errorf("under a new key: %d commands, key %s of %s, index %d", n, w.node(1).IdentitySigningKeyID, id, reply.Index)
	}
}

func TestRenewalOfAnImportedNodeWritesNothing(t *testing.T) {
	w := newWorld(t)
	imported := testNode(1)
	imported.SecretHash, imported.SecretID = structs.HashSecret(secretOf(1)), ""
	imported.Status, imported.IdentitySigningKeyID = structs.NodeStatusReady, w.addKey(structs.KeyStateActive) // whoever wrote it kept no TTL
	w.mustApply(structs.NodeRegisterMsg, &structs.NodeRegisterRequest{Node: imported})
	before := w.raft.count()
	reply := must(w.heartbeat(1, secretOf(1)))(t)
	if reply.SignedIdentity == nil || w.raft.count() != before || w.node(1).IdentityTTL != 0 {
		t.Errorf("%d commands, TTL %s, reply %+v", w.raft.count()-before, w.node(1).IdentityTTL, reply)
	}
}

func TestRenewalUnderALongerTTLIsWritten(t *testing.T) {
	w := newWorld(t)
	w.setPool("gpu", time.Hour)
	n := testNode(1)
	n.NodePool = "gpu"
	token := *must(w.register(n, ""))(t).SignedIdentity
	must(w.heartbeat(1, token))(t)
	w.setPool("gpu", 30*time.Hour)
	before := w.raft.count()
	reply := must(w.heartbeat(1, token, renewal))(t)
	if w.raft.count() != before+1 || w.node(1).IdentityTTL != 30*time.Hour {
		t.Fatalf("%d commands, TTL %s", w.raft.count()-before, w.node(1).IdentityTTL)
	}
	w.setPool("gpu", time.Hour)
	before = w.raft.count()
	must(w.heartbeat(1, *reply.SignedIdentity, renewal))(t)
	if w.raft.count() != before || w.node(1).IdentityTTL != 30*time.Hour {
		t.Errorf("after a shorter one: %d commands, TTL %s", w.raft.count()-before, w.node(1).IdentityTTL)
	}
	must(w.register(n, secretOf(1)))(t)
	if got := w.node(1).IdentityTTL; got != 30*time.Hour {
		t.Errorf("registering has shortened it to %s", got)
	}
}

func TestHeartbeatIgnoresWhatOnlyServersSay(t *testing.T) {
	w := newWorld(t)
	token := w.join(1)
	key := w.node(1).IdentitySigningKeyID
	other := uuid(3)
	w.mustApply(structs.RootKeyUpsertMsg, &structs.RootKeyUpsertRequest{WrappedRootKeys: &structs.RootKey{KeyID: other, State: structs.KeyStateInactive}})
	before := w.raft.count()
	must(w.heartbeat(1, token, func(r *structs.NodeUpdateStatusRequest) {
		r.IdentitySigningKeyID, r.IdentityTTL, r.UpdatedAt = other, 9*time.Hour, 12
	}))(t)
	if w.raft.count() != before {
		t.Error("it was written")
	}
	must(w.heartbeat(1, token, func(r *structs.NodeUpdateStatusRequest) {
		r.Status, r.IdentitySigningKeyID, r.IdentityTTL, r.UpdatedAt = structs.NodeStatusInit, other, 99*time.Hour, 12
	}))(t)
	if n := w.node(1); n.IdentitySigningKeyID != key || n.IdentityTTL != defaultTTL || n.StatusUpdatedAt != t0.Unix() {
		t.Errorf("key %s, TTL %s, updated %d", n.IdentitySigningKeyID, n.IdentityTTL, n.StatusUpdatedAt)
	}
}

func TestStatusThatANodeGets(t *testing.T) {
	cases := []struct {
		name, has, asks, gets string
		writes                int
	}{
		{"ready stays ready", "ready", "ready", "ready", 0},
		{"initializing becomes ready", "initializing", "ready", "ready", 1},
		{"down becomes ready at once", "down", "ready", "ready", 1},
		{"disconnected starts anew", "disconnected", "ready", "initializing", 1},
		{"a node may say that it goes down", "ready", "down", "down", 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			token := w.join(1)
			w.setStatus(1, c.has)
			w.clock.advance(time.Minute)
			before, timers := w.raft.count(), len(w.beats.reset)
			reply := must(w.heartbeat(1, token, func(r *structs.NodeUpdateStatusRequest) { r.Status = c.asks }))(t)
			if got := w.node(1).Status; got != c.gets || w.raft.count()-before != c.writes {
				t.Errorf("status %s after %d commands", got, w.raft.count()-before)
			}
			if c.writes > 0 && w.node(1).StatusUpdatedAt != t0.Add(time.Minute).Unix() {
				t.Error("not at the present time")
			}
			if down := c.asks == "down"; down != (reply.HeartbeatTTL == 0) || down != (len(w.beats.reset) == timers) {
				t.Errorf("TTL %s, timers %v", reply.HeartbeatTTL, w.beats.reset)
			}
		})
	}
	for _, bad := range []string{"", "fine", "READY"} {
		w := newWorld(t)
		token := w.join(1)
		_, err := w.heartbeat(1, token, func(r *structs.NodeUpdateStatusRequest) { r.Status = bad })
		wantError(t, err, nil, fmt.Sprintf("invalid status for node: %q", bad))
		wantCode(t, err, 400)
	}
	w := newWorld(t)
	token := w.join(1)
	_, err := w.heartbeat(1, token, func(r *structs.NodeUpdateStatusRequest) { r.NodeID = "" })
	wantError(t, err, nil, "missing node ID for client status update")
}

func TestNodeWaitsForItsPoolAndSaysSoOnce(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AuthoritativeRegion = "eu" })
	n := testNode(1)
	n.NodePool = "gpu"
	token := *must(w.register(n, ""))(t).SignedIdentity
	before := w.raft.count()
	for range 3 {
		must(w.heartbeat(1, token))(t)
	}
	got := w.node(1)
	if got.Status != structs.NodeStatusInit || w.raft.count() != before+1 || len(got.Events) != 2 {
		t.Fatalf("status %s, %d commands, events %+v", got.Status, w.raft.count()-before, got.Events)
	}
	if e := got.Events[1]; e.Message != structs.NodeWaitingForPoolEvent || e.Details["node_pool"] != "gpu" || e.Subsystem != structs.NodeEventSubsystemCluster {
		t.Errorf("event %+v", e)
	}
	// A record from elsewhere may have gaps in its history.
	gap := got.Copy()
	gap.Events[0] = nil
	if hasEvent(gap, structs.NodeEligibleEvent) || !hasEvent(gap, structs.NodeWaitingForPoolEvent) {
		t.Error("an event is not found behind a gap")
	}
	w.setPool("gpu", 0)
	must(w.heartbeat(1, token))(t)
	if got := w.node(1).Status; got != structs.NodeStatusReady {
		t.Errorf("status %s with its pool there", got)
	}
}

func TestEverySecretStaysOutOfTheLog(t *testing.T) {
	w := newFleet(t)
	w.srv.cfg.Introduction.MaxTTL = time.Hour
	identity := w.identity(1, t0.Add(-20*time.Hour), defaultTTL)
	var minted []string
	for name, request := range requests {
		if strings.HasPrefix(name, "Node.") && strings.Contains(name, "eregister") {
			continue // the node has to stay
		}
		for _, token := range []string{"", secretOf(1), identity} {
			body, err := structs.EncodeBytes(request(token))
			if err != nil {
				t.Fatal(err)
			}
			out, _ := w.srv.ServeRPC(t.Context(), nil, name, body)
			if r, ok := out.(*structs.NodeUpdateResponse); ok && r.SignedIdentity != nil {
				minted = append(minted, *r.SignedIdentity)
			}
			if r, ok := out.(*structs.ClientIntroductionResponse); ok {
				minted = append(minted, r.JWT)
			}
		}
	}
	if len(minted) < 4 {
		t.Fatalf("only %d tokens were minted", len(minted))
	}
	must(w.heartbeat(1, secretOf(1), func(r *structs.NodeUpdateStatusRequest) { r.Status = structs.NodeStatusInit }))(t)
	must(call[structs.NodeUpdateResponse](w, "Node.Deregister", &structs.NodeDeregisterRequest{NodeID: nodeID(1), WriteRequest: write("")}))(t)
	_, _ = call[structs.NodeUpdateResponse](w, "Node.BatchDeregister", &structs.NodeBatchDeregisterRequest{NodeIDs: []string{nodeID(2)}, WriteRequest: write(identity)})
	secrets := append(minted, secretOf(1), secretOf(2), identity)
	for _, p := range w.raft.log {
		for _, s := range secrets {
			if bytes.Contains(p.data, []byte(s)) || bytes.Contains(p.data, []byte(s[max(0, len(s)-40):])) {
				t.Errorf("a %s carries a secret", p.msg)
			}
		}
	}
	for _, s := range secrets {
		if strings.Contains(w.logs.String(), s) {
			t.Error("a secret is in the server's log")
		}
	}
}

func TestFailureToSign(t *testing.T) {
	broken := errors.New("HSM unplugged")
	t.Run("ends a registration", func(t *testing.T) {
		w := newWorld(t)
		w.signError = broken
		before := w.raft.count()
		_, err := w.register(testNode(1), "")
		wantError(t, err, broken, "failed to sign node identity claims: ")
		if w.raft.count() != before {
			t.Error("the node was registered")
		}
	})
	t.Run("so does a lease that is not verified", func(t *testing.T) {
		w := newWorld(t)
		w.leader.leaseErr = fmt.Errorf("%w: lease", structs.ErrNoLeader)
		_, err := w.register(testNode(1), "")
		wantError(t, err, structs.ErrNoLeader, "failed to sign node identity claims: ")
	})
	cases := []struct {
		name string
		left time.Duration
		ok   bool
	}{
		{"a heartbeat succeeds while the identity is good for long", 7 * time.Hour, true},
		{"a heartbeat succeeds with exactly ten minutes left", 10 * time.Minute, true},
		{"a heartbeat fails with less than ten minutes left", 10*time.Minute - time.Second, false},
		{"a heartbeat fails with an identity that lives on its leeway", -30 * time.Second, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			token := w.join(1)
			w.clock.advance(defaultTTL - c.left)
			w.signError = broken
			reply, err := w.heartbeat(1, token)
			if c.ok {
				if got := must(reply, err)(t); got.SignedIdentity != nil || got.HeartbeatTTL != beatTTL {
					t.Errorf("reply %+v", got)
				}
				return
			}
			wantError(t, err, broken, "failed to sign node identity claims: ")
		})
	}
	t.Run("a heartbeat by secret succeeds", func(t *testing.T) {
		w := newWorld(t)
		w.join(1)
		w.signError = broken
		if got := must(w.heartbeat(1, secretOf(1)))(t); got.SignedIdentity != nil {
			t.Error("there is an identity")
		}
	})
}

// dropSigningKey deletes the key that is active now when the next command of the type is about to be applied.
func dropSigningKey(w *world, on structs.MessageType) {
	w.raft.before = func(msg structs.MessageType) error {
		if msg != on {
			return nil
		}
		w.raft.before = nil
		seq, err := w.fsm.State().RootKeys(nil)
		if err != nil {
			return err
		}
		var active string
		for k := range seq {
			if k.IsActive() {
				active = k.KeyID
			}
		}
		w.addKey(structs.KeyStateActive)
		w.mustApply(structs.RootKeyDeleteMsg, &structs.KeyringDeleteRequest{KeyID: active, At: w.clock.Now().Unix()})
		return nil
	}
}

func TestKeyThatVanishesBetweenSigningAndApplying(t *testing.T) {
	t.Run("registration", func(t *testing.T) {
		w := newWorld(t)
		dropSigningKey(w, structs.NodeRegisterMsg)
		checkMint(t, w, must(w.register(testNode(1), ""))(t), true)
	})
	t.Run("heartbeat", func(t *testing.T) {
		w := newWorld(t)
		token := w.join(1)
		w.addKey(structs.KeyStateActive)
		dropSigningKey(w, structs.NodeUpdateStatusMsg)
		checkMint(t, w, must(w.heartbeat(1, token, renewal))(t), true)
	})
	t.Run("registration of a node that comes back", func(t *testing.T) {
		w := newWorld(t)
		w.join(1)
		w.setStatus(1, structs.NodeStatusDown)
		w.clock.advance(48 * time.Hour)
		dropSigningKey(w, structs.NodeRegisterMsg)
		checkMint(t, w, must(w.register(testNode(1), secretOf(1)))(t), true)
	})
	t.Run("registration that carries over a key which is gone", func(t *testing.T) {
		w := newWorld(t)
		w.join(1)
		w.setStatus(1, structs.NodeStatusDown)
		w.clock.advance(48 * time.Hour)
		gone := w.node(1).IdentitySigningKeyID
		w.addKey(structs.KeyStateActive)
		w.mustApply(structs.RootKeyDeleteMsg, &structs.KeyringDeleteRequest{KeyID: gone, At: w.clock.Now().Unix()})
		n := testNode(1)
		n.Attributes = structs.NewStringMap(map[string]string{"os.name": "linux"}) // of an agent that takes no identities
		if reply := must(w.register(n, secretOf(1)))(t); reply.SignedIdentity != nil || w.node(1).IdentitySigningKeyID != "" {
			t.Errorf("reply %+v, node names key %q", reply, w.node(1).IdentitySigningKeyID)
		}
	})
	t.Run("heartbeat of a node that comes back", func(t *testing.T) {
		w := newWorld(t)
		w.join(1)
		w.setStatus(1, structs.NodeStatusDown)
		w.clock.advance(48 * time.Hour) // the key that it names is not in use any more, and signs still
		dropSigningKey(w, structs.NodeUpdateStatusMsg)
		checkMint(t, w, must(w.heartbeat(1, secretOf(1)))(t), true)
	})
}

func TestRenewalDuringARegistrationIsNotUndone(t *testing.T) {
	w := newWorld(t)
	token := w.join(1)
	id := w.addKey(structs.KeyStateActive)
	renewed := make(chan error, 1)
	w.raft.before = func(msg structs.MessageType) error {
		if msg != structs.NodeRegisterMsg {
			return nil
		}
		w.raft.mu.Lock()
		w.raft.before = nil
		w.raft.mu.Unlock()
		go func() { // comes while the registration, which carries the old key over, is on its way
			_, err := w.heartbeat(1, token, renewal)
			renewed <- err
		}()
		select {
		case err := <-renewed:
			renewed <- err // it did not wait for the registration, which now undoes it
		case <-time.After(50 * time.Millisecond):
		}
		return nil
	}
	must(w.register(testNode(1), token))(t)
	if err := <-renewed; err != nil {
		t.Fatal(err)
	}
	if got := w.node(1).IdentitySigningKeyID; got != id {
		t.Errorf("the record names key %s, the node has an identity of key %s", got, id)
	}
}

func TestUnconfirmedWriteIsAnError(t *testing.T) {
	lost := fmt.Errorf("%w: not confirmed", structs.ErrNoLeader)
	w := newWorld(t)
	token := w.join(1)
	w.raft.before = func(structs.MessageType) error { return lost }
	_, err := w.register(testNode(2), "")
	wantError(t, err, structs.ErrNoLeader)
	_, err = w.heartbeat(1, token, func(r *structs.NodeUpdateStatusRequest) { r.Status = structs.NodeStatusInit })
	wantError(t, err, structs.ErrNoLeader)
	w.raft.before = nil
	w.beats.err = errors.New("failed to reset heartbeat since server is not leader")
	_, err = w.heartbeat(1, token)
	wantError(t, err, w.beats.err)
	_, err = w.register(testNode(2), "")
	wantError(t, err, w.beats.err)
}

func TestCallsInThisProcessLeaveTheirArgumentsAlone(t *testing.T) {
	w := newFleet(t)
	for name, request := range requests {
		args, same := request(""), request("")
		m := w.srv.methods[name]
		if m == nil {
			continue // a streaming one, whose arguments come over its stream
		}
		_ = w.srv.RPC(t.Context(), name, args, m.newReply())
		if diff := cmp.Diff(same, args); diff != "" {
			t.Errorf("%s changed its argument:\n%s", name, diff)
		}
	}
}
