package rpc

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

func TestACLsAreBootstrappedOnceAndByTheResetFile(t *testing.T) {
	var reset uint64
	var resetErr error
	w := newFleet(t, withACLs, func(c *Config) { c.ACL.BootstrapReset = func() (uint64, error) { return reset, resetErr } })
	boot := func(secret string) (*structs.ACLTokenUpsertResponse, error) {
		return call[structs.ACLTokenUpsertResponse](w, "ACL.Bootstrap", &structs.ACLBootstrapRequest{BootstrapSecret: secret, WriteRequest: write("")})
	}
	_, err := boot("no uuid")
	wantCode(t, err, 400)
	first := must(boot(""))(t).Tokens[0]
	if first.Type != structs.ACLTokenManagement || !structs.IsUUID(first.SecretID) || first.SecretHash != nil || !first.Global || first.CreateIndex == 0 {
		t.Errorf("token %+v", first)
	}
	if bytes.Contains(w.raft.log[len(w.raft.log)-1].data, []byte(first.SecretID)) {
		t.Error("the secret is in the log")
	}
	must(call[structs.NodeListResponse](w, "Node.List", &structs.NodeListRequest{QueryOptions: query(first.SecretID)}))(t)
	_, err = boot("")
	wantCode(t, err, 400)
	wantError(t, err, nil, "ACL bootstrap already done (reset index: ")
	reset = 1
	_, err = boot("")
	wantError(t, err, nil, "Invalid bootstrap reset index (specified 1, reset index: ")
	resetErr = errors.New("unreadable")
	_, err = boot("")
	wantError(t, err, nil, "read the bootstrap reset file: unreadable")
	reset, resetErr = first.CreateIndex, nil
	_, err = boot(first.SecretID)
	wantError(t, err, nil, "the bootstrap secret is that of another token")
	own := uuid(0xb007)
	if again := must(boot(own))(t).Tokens[0]; again.SecretID != own || again.AccessorID == first.AccessorID {
		t.Errorf("after the reset: %+v", again)
	}
	must(call[structs.NodeListResponse](w, "Node.List", &structs.NodeListRequest{QueryOptions: query(own)}))(t)
	_, err = boot("")
	wantError(t, err, nil, "Invalid bootstrap reset index") // the file is good for one time
}

func TestTokensAreMadeChangedAndEnd(t *testing.T) {
	w := newACLFleet(t)
	manage := tokenOf("management")
	put := func(token *structs.ACLToken) (*structs.ACLToken, error) {
		reply, err := call[structs.ACLTokenUpsertResponse](w, "ACL.UpsertTokens", &structs.ACLTokenUpsertRequest{Tokens: []*structs.ACLToken{token}, WriteRequest: write(manage)})
		if err != nil {
			return nil, err
		}
		return reply.Tokens[0], nil
	}
	list := func(secret string) error {
		_, err := call[structs.NodeListResponse](w, "Node.List", &structs.NodeListRequest{QueryOptions: query(secret)})
		return err
	}
	made := must(put(&structs.ACLToken{Name: "ci", Type: "client", Roles: []*structs.ACLTokenRoleLink{{Name: "viewer"}, {ID: viewerRole}}, ExpirationTTL: time.Hour}))(t)
	if len(made.Roles) != 1 || made.Roles[0].ID != viewerRole || made.ExpirationTime == nil || !made.ExpirationTime.Equal(t0.Add(time.Hour)) || len(made.Hash) != 32 {
		t.Errorf("made %+v", made)
	}
	if err := list(made.SecretID); err != nil {
		t.Errorf("the new token: %v", err)
	}
	changed := made.Copy()
	changed.Roles, changed.Policies = nil, []string{"edge"}
	if again := must(put(changed))(t); again.SecretID != "" || again.CreateIndex != made.CreateIndex || again.ExpirationTime == nil {
		t.Errorf("changed %+v", again)
	}
	wantError(t, list(made.SecretID), structs.ErrPermissionDenied)
	changed.Policies = []string{"read"}
	must(put(changed))(t)
	w.clock.advance(time.Hour - time.Second)
	if err := list(made.SecretID); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	w.clock.advance(time.Second)
	wantError(t, list(made.SecretID), structs.ErrTokenExpired)
	wantError(t, list(made.SecretID), structs.ErrPermissionDenied)

	for name, tc := range map[string]struct {
		token *structs.ACLToken
		want  string
	}{
		"nothing":                      {nil, "it is missing"},
		"a type that is none":          {&structs.ACLToken{Type: "root"}, `token type "root" is not known`},
		"a client that may nothing":    {&structs.ACLToken{Type: "client"}, "client token missing policies or roles"},
		"a role that is none":          {&structs.ACLToken{Type: "client", Roles: []*structs.ACLTokenRoleLink{{Name: "nobody"}}}, "cannot find role nobody"},
		"an accessor that is none":     {&structs.ACLToken{Type: "management", AccessorID: uuid(0x404)}, "ACL token not found"},
		"too short a life":             {&structs.ACLToken{Type: "management", ExpirationTTL: time.Second}, "the least is 1m0s"},
		"too long a life":              {&structs.ACLToken{Type: "management", ExpirationTTL: 25 * time.Hour}, "the most is 24h0m0s"},
		"a life before now":            {&structs.ACLToken{Type: "management", ExpirationTTL: -time.Hour}, "the least is 1m0s"},
		"an end in two ways":           {&structs.ACLToken{Type: "management", ExpirationTTL: time.Hour, ExpirationTime: &t0}, "not both"},
		"another end":                  {&structs.ACLToken{Type: "client", Policies: []string{"p"}, AccessorID: made.AccessorID, ExpirationTTL: 2 * time.Hour}, "the end of a token can't be changed"},
		"global where it was local":    {&structs.ACLToken{Type: "client", Policies: []string{"p"}, AccessorID: made.AccessorID, Global: true}, "cannot toggle global mode"},
		"management that has policies": {&structs.ACLToken{Type: "management", Policies: []string{"p"}}, "cannot be associated"},
	} {
		before := w.raft.count()
		if _, err := put(tc.token); err == nil || !strings.Contains(err.Error(), tc.want) || w.raft.count() != before {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	del := func(id string) error {
		_, err := call[structs.GenericResponse](w, "ACL.DeleteTokens", &structs.ACLTokenDeleteRequest{AccessorIDs: []string{id}, WriteRequest: write(manage)})
		return err
	}
	if err := del(accessorOf("operator")); err != nil {
		t.Fatal(err)
	}
	wantError(t, list(tokenOf("operator")), structs.ErrPermissionDenied)
	wantError(t, del(accessorOf("operator")), structs.ErrTokenNotFound)
	if strings.Contains(w.logs.String(), made.SecretID) || strings.Contains(w.logs.String(), manage) {
		t.Error("a secret is in the log")
	}
}

func TestPoliciesTakeEffectAtOnce(t *testing.T) {
	w := newACLFleet(t)
	manage := tokenOf("management")
	apply := func(name, rules string) error {
		_, err := call[structs.GenericResponse](w, "ACL.UpsertPolicies", &structs.ACLPolicyUpsertRequest{Policies: []*structs.ACLPolicy{{Name: name, Rules: rules}}, WriteRequest: write(manage)})
		return err
	}
	list := func(secret string) error {
		_, err := call[structs.NodeListResponse](w, "Node.List", &structs.NodeListRequest{QueryOptions: query(secret)})
		return err
	}
	pools := func(secret string) []string {
		reply := must(call[structs.NodePoolListResponse](w, "NodePool.List", &structs.NodePoolListRequest{QueryOptions: query(secret)}))(t)
		var names []string
		for _, p := range reply.NodePools {
			names = append(names, p.Name)
		}
		return names
	}
	wantError(t, list(""), structs.ErrPermissionDenied)
	if err := apply("anonymous", `node { policy = "read" }`); err != nil {
		t.Fatal(err)
	}
	if err := list(""); err != nil {
		t.Errorf("anonymous with a policy: %v", err)
	}
	if err := apply("read", `node { policy = "deny" }`); err != nil {
		t.Fatal(err)
	}
	wantError(t, list(tokenOf("reader")), structs.ErrPermissionDenied)
	wantError(t, list(tokenOf("by role")), structs.ErrPermissionDenied)

	w.setPool("edge-1", time.Hour)
	if got := pools(tokenOf("edge")); !slices.Equal(got, []string{"edge-1"}) {
		t.Errorf("a token for some pools sees %v", got)
	}
	if got := pools(manage); len(got) != 4 {
		t.Errorf("management sees %v", got)
	}
	if err := apply("edge", `node { policy = "read" }`+"\n"+testPolicies["edge"]); err != nil {
		t.Fatal(err)
	}
	found := must(call[structs.SearchResponse](w, "Search.PrefixSearch", &structs.SearchRequest{Context: structs.SearchNodePools, QueryOptions: query(tokenOf("edge"))}))(t)
	if got := found.Matches[structs.SearchNodePools]; !slices.Equal(got, []string{"edge-1"}) {
		t.Errorf("a search finds %v", got)
	}
	up := func(names ...string) error {
		req := &structs.NodePoolUpsertRequest{WriteRequest: write(tokenOf("edge"))}
		for _, n := range names {
			req.NodePools = append(req.NodePools, &structs.NodePool{Name: n})
		}
		_, err := call[structs.GenericResponse](w, "NodePool.UpsertNodePools", req)
		return err
	}
	if err := up("edge-2", "edge-3"); err != nil {
		t.Errorf("its own pools: %v", err)
	}
	wantError(t, up("edge-2", "empty"), structs.ErrPermissionDenied) // one among others

	err := apply("broken", "node {\n  policy = \"admin\"\n}")
	wantCode(t, err, 400)
	wantError(t, err, nil, `policy "broken" is invalid: line 2: node.policy: "admin" is not known; want one of "read", "write", "deny"`)
	// What an import brought and can't be read gives nothing, rather than what it does not refuse.
	w.mustApply(structs.ACLPolicyUpsertMsg, &structs.ACLPolicyUpsertRequest{Policies: []*structs.ACLPolicy{{Name: "ops", Rules: "node {"}}})
	wantError(t, list(tokenOf("operator")), structs.ErrPermissionDenied)
	if !strings.Contains(w.logs.String(), `read policy \"ops\"`) && !strings.Contains(w.logs.String(), `read policy "ops"`) {
		t.Error("nothing is said about the policy that can't be read")
	}
}

func TestAOneTimeTokenIsExchangedOnce(t *testing.T) {
	w := newACLFleet(t)
	secret := tokenOf("reader")
	make := func() *structs.OneTimeToken {
		return must(call[structs.OneTimeTokenUpsertResponse](w, "ACL.UpsertOneTimeToken", &structs.OneTimeTokenUpsertRequest{WriteRequest: write(secret)}))(t).OneTimeToken
	}
	exchange := func(once string) (*structs.OneTimeTokenExchangeResponse, error) {
		return call[structs.OneTimeTokenExchangeResponse](w, "ACL.ExchangeOneTimeToken", &structs.OneTimeTokenExchangeRequest{OneTimeSecretID: once, WriteRequest: write("")})
	}
	once := make()
	if data := w.raft.log[len(w.raft.log)-1].data; bytes.Contains(data, []byte(secret)) || bytes.Contains(data, []byte(once.OneTimeSecretID)) {
		t.Error("a secret is in the log")
	}
	if got := must(exchange(once.OneTimeSecretID))(t).Token; got.SecretID != secret || got.AccessorID != accessorOf("reader") {
		t.Errorf("exchanged for %+v", got)
	}
	_, err := exchange(once.OneTimeSecretID)
	wantError(t, err, structs.ErrPermissionDenied)
	_, err = exchange("no uuid")
	wantError(t, err, structs.ErrPermissionDenied)
	late := make()
	w.clock.advance(oneTimeTTL)
	_, err = exchange(late.OneTimeSecretID)
	wantError(t, err, structs.ErrPermissionDenied)
	// One that another system made has nothing sealed in it.
	w.mustApply(structs.OneTimeTokenUpsertMsg, &structs.OneTimeToken{OneTimeSecretID: uuid(0x0e), AccessorID: accessorOf("reader"), ExpiresAt: w.clock.Now().Add(time.Minute)})
	_, err = exchange(uuid(0x0e))
	wantCode(t, err, 400)
}

func TestAnUploadedTokenKeepsItsAccessorAndSecret(t *testing.T) {
	w := newACLFleet(t)
	manage := tokenOf("management")
	upload := func(token structs.ACLToken) (*structs.ACLToken, error) {
		reply, err := call[structs.ACLTokenUpsertResponse](w, "ACL.UpsertTokens",
			&structs.ACLTokenUpsertRequest{Tokens: []*structs.ACLToken{&token}, WriteRequest: write(manage)})
		if err != nil {
			return nil, err
		}
		return reply.Tokens[0], nil
	}
	good := structs.ACLToken{AccessorID: uuid(0xabc1), SecretID: uuid(0xabc2), Name: "moved", Type: structs.ACLTokenClient, Policies: []string{"read"}}
	for _, c := range []struct {
		name   string
		change func(*structs.ACLToken)
		want   string
	}{
		{"a management token", func(t *structs.ACLToken) { t.Type, t.Policies = structs.ACLTokenManagement, nil }, "cannot upload management tokens"},
		{"a secret that is no UUID", func(t *structs.ACLToken) { t.SecretID = "hunter2" }, "must be UUIDs"},
		{"an accessor that is no UUID", func(t *structs.ACLToken) { t.AccessorID = "me" }, "must be UUIDs"},
		{"another token's secret", func(t *structs.ACLToken) { t.SecretID = tokenOf("reader") }, "another's"},
		{"no secret for an unknown accessor", func(t *structs.ACLToken) { t.SecretID = "" }, "ACL token not found"},
	} {
		token := good
		c.change(&token)
		if _, err := upload(token); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	got, err := upload(good)
	if err != nil || got.AccessorID != good.AccessorID || got.SecretID != good.SecretID {
		t.Fatalf("uploaded as %+v: %v", got, err)
	}
	who, err := call[structs.ACLWhoAmIResponse](w, "ACL.WhoAmI", &structs.GenericRequest{QueryOptions: query(good.SecretID)})
	if err != nil || who.Identity.ACLToken.AccessorID != good.AccessorID || who.Index == 0 {
		t.Errorf("the token is %+v at index %d: %v", who.Identity, who.Index, err)
	}
}
