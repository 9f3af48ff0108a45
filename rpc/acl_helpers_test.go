package rpc

import (
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// testPolicies are those of the cluster that newACLFleet makes.
var testPolicies = map[string]string{
	"read": `node { policy = "read" }
node_pool "*" { policy = "read" }
agent { policy = "read" }
operator { policy = "read" }`,
	"ops": `node { policy = "write" }
node_pool "*" { policy = "write" }
agent { policy = "write" }
operator { policy = "write" }`,
	"edge":  `node_pool "edge-*" { policy = "write" }`,
	"keys":  `operator { capabilities = ["keyring-read", "keyring-rotate"] }`,
	"saver": `operator { capabilities = ["snapshot-save"] }`,
}

// testTokens are the tokens of that cluster, with their policies. The one without is a management token.
var testTokens = map[string][]string{
	"reader": {"read"}, "operator": {"ops"}, "edge": {"edge"}, "keys": {"keys"}, "saver": {"saver"}, "nothing": {"missing"}, "ended": {"ops"}, "management": nil,
}

var tokenNumbers = map[string]int{"reader": 1, "operator": 2, "edge": 3, "keys": 4, "saver": 5, "nothing": 6, "ended": 7, "management": 8, "by role": 9}

func accessorOf(name string) string { return uuid(0xacc000 + tokenNumbers[name]) }

// tokenOf is the secret of a token.
func tokenOf(name string) string { return uuid(0x70e000 + tokenNumbers[name]) }

var viewerRole = uuid(0x401e)

func withACLs(c *Config) { c.ACL.Enabled = true }

// addACLs gives the world policies, tokens and a role.
func (w *world) addACLs() {
	w.t.Helper()
	for name, rules := range testPolicies {
		w.mustApply(structs.ACLPolicyUpsertMsg, &structs.ACLPolicyUpsertRequest{Policies: []*structs.ACLPolicy{{Name: name, Rules: rules}}})
	}
	role := &structs.ACLRole{ID: viewerRole, Name: "viewer", Policies: []*structs.ACLRolePolicyLink{{Name: "read"}, {Name: "gone"}}}
	w.mustApply(structs.ACLRolesUpsertMsg, &structs.ACLRolesUpsertRequest{ACLRoles: []*structs.ACLRole{role}, AllowMissingPolicies: true})
	for name, policies := range testTokens {
		w.addToken(name, policies)
	}
	w.mustApply(structs.ACLTokenUpsertMsg, &structs.ACLTokenUpsertRequest{Tokens: []*structs.ACLToken{{
		AccessorID: accessorOf("by role"), SecretID: tokenOf("by role"), Name: "by role", Type: structs.ACLTokenClient,
		Roles: []*structs.ACLTokenRoleLink{{ID: viewerRole}, {ID: uuid(0x404)}},
	}}})
}

func (w *world) addToken(name string, policies []string) {
	w.t.Helper()
	token := &structs.ACLToken{
		AccessorID: accessorOf(name), SecretID: tokenOf(name), Name: name, Type: structs.ACLTokenClient, Policies: policies, CreateTime: w.clock.Now().UTC(),
	}
	if policies == nil {
		token.Type = structs.ACLTokenManagement
	}
	if name == "ended" {
		at := w.clock.Now().Add(-time.Second).UTC()
		token.ExpirationTime = &at
	}
	w.mustApply(structs.ACLTokenUpsertMsg, &structs.ACLTokenUpsertRequest{Tokens: []*structs.ACLToken{token}})
}

// newACLFleet is newFleet with ACLs on.
func newACLFleet(t testing.TB, change ...func(*Config)) *world {
	w := newFleet(t, append(change, withACLs)...)
	w.addACLs()
	return w
}

// endsOfRights are the ways in which a caller that may read of nodes loses that, within 10 seconds, by its token; "short" is one
// that ends by then.
var endsOfRights = map[string]struct {
	token string // empty: the caller shows none
	then  func(w *world)
}{
	"the token ends": {"short", func(*world) {}},
	"the token is deleted": {"reader", func(w *world) {
		w.mustApply(structs.ACLTokenDeleteMsg, &structs.ACLTokenDeleteRequest{AccessorIDs: []string{accessorOf("reader")}})
	}},
	"its policy is deleted": {"reader", func(w *world) {
		w.mustApply(structs.ACLPolicyDeleteMsg, &structs.ACLPolicyDeleteRequest{Names: []string{"read"}})
	}},
	"its policy gets stricter": {"reader", func(w *world) {
		w.mustApply(structs.ACLPolicyUpsertMsg, &structs.ACLPolicyUpsertRequest{Policies: []*structs.ACLPolicy{{Name: "read", Rules: `node { policy = "deny" }`}}})
	}},
	"its role is deleted": {"by role", func(w *world) {
		w.mustApply(structs.ACLRolesDeleteMsg, &structs.ACLRolesDeleteByIDRequest{ACLRoleIDs: []string{viewerRole}})
	}},
	"its role loses the policy": {"by role", func(w *world) {
		w.mustApply(structs.ACLRolesUpsertMsg, &structs.ACLRolesUpsertRequest{ACLRoles: []*structs.ACLRole{{ID: viewerRole, Name: "viewer"}}})
	}},
	"the policy of who shows nothing is deleted": {"", func(w *world) {
		w.mustApply(structs.ACLPolicyDeleteMsg, &structs.ACLPolicyDeleteRequest{Names: []string{"anonymous"}})
	}},
}

// newWorldOfRights is a world with ACLs in a bubble in which those are the caller's rights until they end, and the caller's secret.
func newWorldOfRights(t testing.TB, token string) (w *world, secret string) {
	t.Helper()
	w = newBubbleWorld(t, withACLs)
	w.addACLs()
	w.mustApply(structs.ACLPolicyUpsertMsg, &structs.ACLPolicyUpsertRequest{Policies: []*structs.ACLPolicy{{Name: "anonymous", Rules: testPolicies["read"]}}})
	end := w.clock.Now().Add(10 * time.Second)
	w.mustApply(structs.ACLTokenUpsertMsg, &structs.ACLTokenUpsertRequest{Tokens: []*structs.ACLToken{{
		AccessorID: accessorOf("short"), SecretID: tokenOf("short"), Type: structs.ACLTokenClient, Policies: []string{"read"}, ExpirationTime: &end,
	}}})
	if token != "" {
		secret = tokenOf(token)
	}
	return w, secret
}
