package httpapi

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/acl"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	viewRules = "node { policy = \"read\" }\nagent { policy = \"read\" }"
	denyRules = "node { policy = \"deny\" }"
)

// aclServer answers what a resolver asks of servers.
type aclServer struct {
	fakeRPC
	asked    map[string]int
	tokens   map[string]*structs.ACLToken // by secret
	policies map[string]string
	roles    map[string][]string
	down     error
}

func newACLServer() *aclServer {
	s := &aclServer{asked: map[string]int{}}
	ended := time.Unix(1000, 0)
	client := func(policies ...string) *structs.ACLToken {
		return &structs.ACLToken{Type: structs.ACLTokenClient, Policies: policies}
	}
	s.tokens = map[string]*structs.ACLToken{
		"management": {Type: structs.ACLTokenManagement}, "view": client("view"), "both": client("view", "deny"), "missing": client("gone"),
		"broken": client("view", "broken"), "role": {Type: structs.ACLTokenClient, Roles: []*structs.ACLTokenRoleLink{{ID: "r1"}, {ID: "gone"}}},
		"ended": {Type: structs.ACLTokenManagement, ExpirationTime: &ended}, "": client("anonymous"),
	}
	s.policies = map[string]string{"view": viewRules, "deny": denyRules, "broken": "node {"}
	s.roles = map[string][]string{"r1": {"view"}}
	return s
}

func (s *aclServer) RPC(_ context.Context, method string, args, reply any) error {
	s.asked[method]++
	if s.down != nil {
		return s.down
	}
	switch req := args.(type) {
	case *structs.GenericRequest:
		if req.AuthToken == "node" {
			return nil // a credential that is no ACL token
		}
		token := s.tokens[req.AuthToken]
		if token == nil {
			return structs.ErrPermissionDenied
		}
		reply.(*structs.ACLWhoAmIResponse).Identity = &structs.AuthenticatedIdentity{ACLToken: token}
	case *structs.ACLRolesByIDRequest:
		out := map[string]*structs.ACLRole{}
		for _, id := range req.ACLRoleIDs {
			for _, p := range s.roles[id] {
				out[id] = &structs.ACLRole{ID: id, Policies: []*structs.ACLRolePolicyLink{{Name: p}, nil}}
			}
		}
		reply.(*structs.ACLRolesByIDResponse).ACLRoles = out
	case *structs.ACLPolicySetRequest:
		out := map[string]*structs.ACLPolicy{}
		for _, name := range req.Names {
			if rules, ok := s.policies[name]; ok {
				out[name] = &structs.ACLPolicy{Name: name, Rules: rules}
			}
		}
		reply.(*structs.ACLPolicySetResponse).Policies = out
	default:
		return fmt.Errorf("%s is not known here", method)
	}
	return nil
}

// may tells which of three capabilities a token is good for, as an agent that asks servers sees it.
func may(t *testing.T, r *resolver, secret string) (out []acl.Capability) {
	t.Helper()
	a, err := r.resolve(t.Context(), secret)
	if errors.Is(err, structs.ErrPermissionDenied) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []acl.Capability{acl.NodeRead, acl.AgentRead, acl.AgentWrite} {
		if a.Allows(c) {
			out = append(out, c)
		}
	}
	return out
}

func TestAnAgentAsksServersWhatATokenMay(t *testing.T) {
	for name, tc := range map[string]struct {
		secret string
		want   []acl.Capability
	}{
		"a management token may everything":                     {"management", []acl.Capability{acl.NodeRead, acl.AgentRead, acl.AgentWrite}},
		"a token what its policy says":                          {"view", []acl.Capability{acl.NodeRead, acl.AgentRead}},
		"a token what the policy of its role says":              {"role", []acl.Capability{acl.NodeRead, acl.AgentRead}},
		"of two policies the one that denies wins":              {"both", []acl.Capability{acl.AgentRead}},
		"a policy that is not there gives nothing":              {"missing", nil},
		"a policy that can't be read takes everything":          {"broken", nil},
		"a token that has ended may nothing, whatever it could": {"ended", nil},
		"a node's credential may nothing here":                  {"node", nil},
		"a token that nobody has may nothing":                   {"forged", nil},
		"who shows nothing may nothing without a policy for it": {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newResolver(ACLConfig{}, newACLServer(), "global", func() time.Time { return time.Unix(2000, 0) })
			if diff := cmp.Diff(tc.want, may(t, r, tc.secret)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnAgentThatReachesNoServerLetsNobodyIn(t *testing.T) {
	s := newACLServer()
	s.down = errors.New("no servers")
	r := newResolver(ACLConfig{}, s, "global", time.Now)
	if _, err := r.resolve(t.Context(), "management"); !errors.Is(err, s.down) {
		t.Errorf("answered %v", err)
	}
}

// What an agent remembers is forgotten when it is told to, a token at its end whatever was remembered.
func TestAnAgentRemembersForAsLongAsItIsTold(t *testing.T) {
	s, now := newACLServer(), time.Unix(2000, 0)
	end := now.Add(20 * time.Second)
	s.tokens["short"] = &structs.ACLToken{Type: structs.ACLTokenClient, Policies: []string{"view"}, ExpirationTime: &end}
	r := newResolver(ACLConfig{TokenTTL: time.Minute, PolicyTTL: time.Hour, RoleTTL: time.Hour}, s, "global", func() time.Time { return now })
	view := []acl.Capability{acl.NodeRead, acl.AgentRead}
	steps := []struct {
		name   string
		after  time.Duration
		secret string
		want   []acl.Capability
		asked  map[string]int // since the step before
	}{
		{"the first time", 0, "view", view, map[string]int{"ACL.WhoAmI": 1, "ACL.GetPolicies": 1}},
		{"again", time.Second, "view", view, map[string]int{}},
		{"another token with the same policy, by a role", 0, "role", view, map[string]int{"ACL.WhoAmI": 1, "ACL.GetRolesByID": 1}},
		{"a token that ends", 0, "short", view, map[string]int{"ACL.WhoAmI": 1}},
		{"after its end", 20 * time.Second, "short", nil, map[string]int{}},
		{"after the token's time", time.Minute, "view", view, map[string]int{"ACL.WhoAmI": 1}},
		{"after all times", 2 * time.Hour, "view", view, map[string]int{"ACL.WhoAmI": 1, "ACL.GetPolicies": 1}},
	}
	for _, st := range steps {
		now = now.Add(st.after)
		clear(s.asked)
		if diff := cmp.Diff(st.want, may(t, r, st.secret)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", st.name, diff)
		}
		if diff := cmp.Diff(st.asked, s.asked, cmp.Transformer("asked", askedOnce)); diff != "" {
			t.Errorf("%s: what was asked (-want +got):\n%s", st.name, diff)
		}
	}
}

// askedOnce leaves out that a role which is not there is asked for each time.
func askedOnce(m map[string]int) []string {
	var out []string
	for _, name := range []string{"ACL.WhoAmI", "ACL.GetRolesByID", "ACL.GetPolicies"} {
		if m[name] > 0 {
			out = append(out, fmt.Sprint(name, m[name]))
		}
	}
	return out
}

func TestWhatAnAgentRemembersIsBounded(t *testing.T) {
	r := remembered[int, int]{ttl: time.Hour}
	now := time.Unix(0, 0)
	for i := range 3 * maxRemembered {
		r.put(i, i, now)
		if v, ok := r.get(i, now); !ok || v != i {
			t.Fatalf("%d is not remembered: %d, %v", i, v, ok)
		}
		if len(r.values) > maxRemembered {
			t.Fatalf("%d values are kept, more than %d", len(r.values), maxRemembered)
		}
	}
}
