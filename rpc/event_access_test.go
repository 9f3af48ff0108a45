package rpc

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

// changeEverything makes an event of each topic but Identity and Node, of which joining nodes make some: pools by these
// names, a root key, and a policy, a role and a token.
func (w *world) changeEverything(pools ...string) {
	w.t.Helper()
	for _, p := range pools {
		w.setPool(p, time.Hour)
	}
	w.addKey(structs.KeyStateInactive)
	w.mustApply(structs.ACLPolicyUpsertMsg, &structs.ACLPolicyUpsertRequest{Policies: []*structs.ACLPolicy{{Name: "new", Rules: testPolicies["read"]}}})
	w.mustApply(structs.ACLRolesUpsertMsg, &structs.ACLRolesUpsertRequest{ACLRoles: []*structs.ACLRole{{ID: uuid(0x401f), Name: "new"}}})
	w.mustApply(structs.ACLTokenUpsertMsg, &structs.ACLTokenUpsertRequest{Tokens: []*structs.ACLToken{{
		AccessorID: uuid(0xaccfff), SecretID: uuid(0x5ec4e7), Name: "new", Type: structs.ACLTokenManagement,
	}}})
}

// seen follows from index on until an event of that key, and returns topics and keys of all events before it.
func seen(t *testing.T, r *EventReader, until string) (out []string) {
	t.Helper()
	for {
		for _, e := range next(t, r).Events {
			if e.Key == until {
				return out
			}
			if s := e.Topic + " " + e.Key; !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
}

var allTopics = []string{"Node", "Identity", "NodePool", "Keyring", "ACLToken", "ACLPolicy", "ACLRole"}

// Which topics a credential may name, and what it is shown when it asks for all of them.
func TestWhoMayFollowWhichTopic(t *testing.T) {
	for _, tc := range []struct {
		token string
		named []string // the topics that it may name
		all   []string // what comes of everything, until the event that ends it
	}{
		{"reader", []string{"Node", "Identity", "NodePool"}, []string{"NodePool core", "NodePool edge-2", "Node 3", "Identity 3"}},
		{"by role", []string{"Node", "Identity", "NodePool"}, []string{"NodePool core", "NodePool edge-2", "Node 3", "Identity 3"}},
		{"operator", []string{"Node", "Identity", "NodePool", "Keyring"}, []string{"NodePool core", "NodePool edge-2", "Keyring", "Node 3", "Identity 3"}},
		{"edge", []string{"NodePool"}, []string{"NodePool edge-2"}},
		{"keys", []string{"Keyring"}, []string{"Keyring"}},
		{"management", allTopics, []string{"NodePool core", "NodePool edge-2", "Keyring", "ACLPolicy new", "ACLRole role", "ACLToken token", "Node 3", "Identity 3"}},
		{"saver", nil, nil},
		{"nothing", nil, nil},
		{"ended", nil, nil},
		{"", nil, nil},
	} {
		t.Run("token "+tc.token, func(t *testing.T) {
			w := newACLFleet(t)
			secret := ""
			if tc.token != "" {
				secret = tokenOf(tc.token)
			}
			var named []string
			for _, topic := range allTopics {
				r := w.follow(t, &structs.EventStreamRequest{Topics: map[string][]string{topic: nil}, QueryOptions: query(secret)})
				if _, err := r.Next(); err == nil {
					named = append(named, topic)
				} else {
					wantCode(t, err, 403)
				}
			}
			if diff := cmp.Diff(tc.named, named); diff != "" {
				t.Errorf("topics that it may name (-want +got):\n%s", diff)
			}
			start := w.raft.index + 1
			r := w.follow(t, &structs.EventStreamRequest{Index: start, QueryOptions: query(secret)})
			if _, err := r.Next(); tc.all == nil {
				wantCode(t, err, 403)
				return
			}
			w.changeEverything("core", "edge-2")
			w.join(3)
			w.setPool("edge-end", time.Hour)
			end := "edge-end"
			if tc.token == "keys" { // which sees no pool
				end = w.addKey(structs.KeyStateInactive)
			}
			names := strings.NewReplacer(nodeID(3), "3", uuid(0x401f), "role", uuid(0xaccfff), "token")
			var got []string
			for _, s := range seen(t, r, end) {
				s = names.Replace(s)
				if strings.HasPrefix(s, "Keyring ") {
					s = "Keyring"
				}
				got = append(got, s)
			}
			if diff := cmp.Diff(tc.all, got); diff != "" {
				t.Errorf("what it is shown of everything (-want +got):\n%s", diff)
			}
		})
	}
}

func TestATopicWithoutEventsIsNoReasonToRefuseOthers(t *testing.T) {
	w := newACLFleet(t)
	for name, tc := range map[string]struct {
		token  string
		topics map[string][]string
		code   int
	}{
		"one that may follow the other":         {"reader", map[string][]string{"Job": nil, "Node": nil}, 0},
		"one that may follow none":              {"saver", map[string][]string{"Job": nil}, 403},
		"a key of all topics":                   {"reader", map[string][]string{"*": {"default"}}, 0},
		"one forbidden topic beside a good one": {"reader", map[string][]string{"Node": nil, "ACLToken": {"x"}}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.follow(t, &structs.EventStreamRequest{Topics: tc.topics, QueryOptions: query(tokenOf(tc.token))}).Next()
			if tc.code != 0 {
				wantCode(t, err, tc.code)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// What ACLs that are off have left in the log is for nobody, and nobody may ask for more by asking for it alone.
func TestWithoutACLsNobodyFollowsTheirTopics(t *testing.T) {
	w := newWorld(t)
	r := w.follow(t, &structs.EventStreamRequest{Index: w.raft.index + 1})
	only := w.follow(t, &structs.EventStreamRequest{Index: w.raft.index + 1, Topics: map[string][]string{"ACLToken": nil, "NodePool": {"end"}}})
	heartbeatLine(t, r)
	heartbeatLine(t, only)
	w.changeEverything()
	w.setPool("end", time.Hour)
	for _, s := range seen(t, r, "end") {
		if strings.HasPrefix(s, "ACL") {
			t.Errorf("%s is shown", s)
		}
	}
	if got := seen(t, only, "end"); got != nil {
		t.Errorf("%q are shown to who asks for tokens", got)
	}
}

func TestEventsOfTokensHaveNoSecret(t *testing.T) {
	w := newACLFleet(t)
	r := w.follow(t, &structs.EventStreamRequest{Index: w.raft.index + 1, Topics: map[string][]string{"ACLToken": nil}, QueryOptions: query(tokenOf("management"))})
	heartbeatLine(t, r)
	w.changeEverything()
	w.mustApply(structs.ACLTokenDeleteMsg, &structs.ACLTokenDeleteRequest{AccessorIDs: []string{uuid(0xaccfff)}})
	var kinds []string
	for range 2 {
		e := next(t, r).Events[0]
		kinds = append(kinds, e.Type)
		token := e.Payload["ACLToken"]
		if token["AccessorID"] != uuid(0xaccfff) || token["SecretID"] != "" || token["SecretHash"] != nil {
			t.Errorf("the token is shown as %v", token)
		}
	}
	if diff := cmp.Diff([]string{"ACLTokenUpserted", "ACLTokenDeleted"}, kinds); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
}

// A stream lasts no longer than the rights that it was opened with, though nothing happens on it.
func TestAnEventStreamEndsWithItsCallersRights(t *testing.T) {
	for name, tc := range endsOfRights {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, secret := newWorldOfRights(t, tc.token)
				r := w.follow(t, &structs.EventStreamRequest{Topics: map[string][]string{"Node": nil}, Index: w.raft.index + 1, QueryOptions: query(secret)})
				heartbeatLine(t, r)
				tc.then(w)
				start := time.Now()
				_, err := r.Next()
				if err == nil {
					t.Fatal("the stream goes on")
				}
				if code, message := structs.HTTPStatus(err); code != 403 || message != structs.ErrPermissionDenied.Error() {
					t.Errorf("the stream ends with %v", err)
				}
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("it took %s, as long as until a heartbeat", took)
				}
				_ = r.Close()
				synctest.Wait()
			})
		})
	}
}

// Rights that grow show more, and those that shrink less, on a stream of all topics that goes on.
func TestAStreamOfAllTopicsFollowsItsCallersRights(t *testing.T) {
	w := newACLFleet(t)
	r := w.follow(t, &structs.EventStreamRequest{Index: w.raft.index + 1, QueryOptions: query(tokenOf("edge"))})
	heartbeatLine(t, r)
	shows := func(pool string) {
		t.Helper()
		if l := next(t, r); len(l.Events) != 1 || l.Events[0].Key != pool {
			t.Fatalf("shown %+v, want pool %s", l, pool)
		}
	}
	w.setPool("core", time.Hour)
	w.setPool("edge-1", time.Hour)
	shows("edge-1")
	w.mustApply(structs.ACLPolicyUpsertMsg, &structs.ACLPolicyUpsertRequest{Policies: []*structs.ACLPolicy{{Name: "edge", Rules: `node_pool "co*" { policy = "read" }`}}})
	w.setPool("edge-2", time.Hour)
	w.setPool("core", 2*time.Hour)
	shows("core")
}
