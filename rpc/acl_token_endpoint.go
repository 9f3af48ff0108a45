package rpc

import (
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerACLTokenMethods() {
	handle(s, Spec{Name: "ACL.Bootstrap"}, s.aclBootstrap)
	handle(s, Spec{Name: "ACL.UpsertTokens"}, s.aclUpsertTokens)
	handle(s, Spec{Name: "ACL.DeleteTokens"}, s.aclDeleteTokens)
	handle(s, Spec{Name: "ACL.ListTokens", Blocking: true}, s.aclListTokens)
	handle(s, Spec{Name: "ACL.GetToken", Blocking: true}, s.aclGetToken)
	handle(s, Spec{Name: "ACL.GetTokens", Blocking: true}, s.aclGetTokens)
	handle(s, Spec{Name: "ACL.ResolveToken"}, s.aclResolveToken)
	handle(s, Spec{Name: "ACL.WhoAmI"}, s.aclWhoAmI)
}

// aclBootstrap makes the first management token. It works once, and once more for each time that an operator has put
// the index of the last into the leader's reset file.
func (s *Server) aclBootstrap(c *Call, req *structs.ACLBootstrapRequest, reply *structs.ACLTokenUpsertResponse) error {
	secret := req.BootstrapSecret
	if secret != "" && !structs.IsUUID(secret) {
		return structs.Coded(http.StatusBadRequest, "invalid acl token")
	}
	if secret == "" {
		secret = s.deps.NewUUID()
	}
	var reset uint64
	if s.cfg.ACL.BootstrapReset != nil {
		var err error
		if reset, err = s.cfg.ACL.BootstrapReset(); err != nil {
			return fmt.Errorf("read the bootstrap reset file: %w", err)
		}
	}
	// The state machine decides; asking first saves a command that would be refused.
	done, err := c.state().Index("acl_token_bootstrap")
	switch {
	case err != nil:
		return fmt.Errorf("read index of acl_token_bootstrap: %w", err)
	case done != 0 && reset == 0:
		return structs.Coded(http.StatusBadRequest, "ACL bootstrap already done (reset index: %d)", done)
	case done != 0 && reset != done:
		return structs.Coded(http.StatusBadRequest, "Invalid bootstrap reset index (specified %d, reset index: %d)", reset, done)
	}
	if taken, err := c.aclToken(secret); err != nil {
		return err
	} else if taken != nil {
		return structs.Coded(http.StatusBadRequest, "the bootstrap secret is that of another token")
	}
	token := &structs.ACLToken{
		AccessorID: s.deps.NewUUID(), SecretHash: structs.HashSecret(secret), Name: "Bootstrap Token", Type: structs.ACLTokenManagement,
		Global: true, CreateTime: c.now.UTC(),
	}
	command := &structs.ACLTokenBootstrapCommand{Token: token, ResetIndex: reset, WriteRequest: req.WriteRequest}
	if _, err := s.deps.Raft.Apply(structs.ACLTokenBootstrapMsg, command); err != nil {
		return err // which says what is wrong
	}
	s.log.Info("ACLs bootstrapped", "accessor_id", token.AccessorID, "reset", reset != 0)
	return c.replyTokens(reply, []string{token.AccessorID}, map[string]string{token.AccessorID: secret})
}

// replyTokens answers with the tokens as they are stored, and tells the secrets of those that were made: nobody can
// find them out later.
func (c *Call) replyTokens(reply *structs.ACLTokenUpsertResponse, ids []string, secrets map[string]string) error {
	for _, id := range ids {
		token, err := c.state().ACLTokenByAccessorID(nil, id)
		if err != nil {
			return fmt.Errorf("look up ACL token %s: %w", id, err)
		}
		if token == nil {
			continue // deleted in the meantime
		}
		shown := c.shown(token)
		shown.SecretID = secrets[id]
		reply.Tokens = append(reply.Tokens, shown)
		reply.Index = max(reply.Index, token.ModifyIndex)
	}
	return nil
}

// shown is a token as answers have it: without its secret, its roles with the names that they have now.
func (c *Call) shown(token *structs.ACLToken) *structs.ACLToken {
	t := token.Copy()
	t.SecretID, t.SecretHash = "", nil
	roles := t.Roles[:0]
	for _, link := range t.Roles {
		if link == nil {
			continue
		}
		if role, err := c.state().ACLRoleByID(nil, link.ID); err == nil && role != nil {
			roles = append(roles, &structs.ACLTokenRoleLink{ID: role.ID, Name: role.Name})
		}
	}
	t.Roles = roles
	return t
}

// aclUpsertTokens makes tokens, those without an accessor ID, and changes others.
func (s *Server) aclUpsertTokens(c *Call, req *structs.ACLTokenUpsertRequest, reply *structs.ACLTokenUpsertResponse) error {
	if len(req.Tokens) == 0 {
		return structs.Coded(http.StatusBadRequest, "must specify as least one token")
	}
	if len(req.Tokens) > maxACLBatch {
		return structs.Coded(http.StatusBadRequest, "%d tokens are more than the %d that one request may have", len(req.Tokens), maxACLBatch)
	}
	secrets := map[string]string{}
	ids := make([]string, len(req.Tokens))
	stored := make([]*structs.ACLToken, len(req.Tokens))
	for i, given := range req.Tokens {
		token, err := c.prepareToken(given, secrets)
		if err != nil {
			return fmt.Errorf("token %d: %w", i+1, err)
		}
		ids[i], stored[i] = token.AccessorID, token
	}
	req.Tokens = stored
	if _, err := s.deps.Raft.Apply(structs.ACLTokenUpsertMsg, req); err != nil {
		return fmt.Errorf("store ACL tokens: %w", err)
	}
	return c.replyTokens(reply, ids, secrets)
}

// maxACLBatch bounds how many tokens, policies or roles one request changes.
const maxACLBatch = 1000

// prepareToken returns the token that is to be stored, and notes the secret of one that is made.
func (c *Call) prepareToken(given *structs.ACLToken, secrets map[string]string) (*structs.ACLToken, error) {
	if given == nil {
		return nil, structs.Coded(http.StatusBadRequest, "it is missing")
	}
	t := &structs.ACLToken{
		AccessorID: given.AccessorID, Name: given.Name, Type: given.Type, Policies: given.Policies, Roles: given.Roles, Global: given.Global,
	}
	roles, err := c.resolveRoles(given.Roles)
	if err != nil {
		return nil, err
	}
	t.Roles = roles
	if err := t.Validate(); err != nil {
		return nil, structs.Coded(http.StatusBadRequest, "token is invalid: %w", err)
	}
	if t.AccessorID == "" {
		t.AccessorID, t.CreateTime = c.srv.deps.NewUUID(), c.now.UTC()
		secret := c.srv.deps.NewUUID()
		t.SecretHash = structs.HashSecret(secret)
		secrets[t.AccessorID] = secret
		return t, c.setExpiration(t, given)
	}
	old, err := c.state().ACLTokenByAccessorID(nil, t.AccessorID)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look up ACL token %s: %w", t.AccessorID, err)
	case old == nil && given.SecretID != "":
		secrets[t.AccessorID] = given.SecretID
		return t, c.uploadToken(t, given)
	case old == nil:
		return nil, structs.Coded(http.StatusNotFound, "%w", structs.ErrTokenNotFound)
	case old.Global != t.Global:
		return nil, structs.Coded(http.StatusBadRequest, "cannot toggle global mode of %s", t.AccessorID)
	case given.ExpirationTTL != 0 && given.ExpirationTTL != old.ExpirationTTL,
		given.ExpirationTime != nil && (old.ExpirationTime == nil || !given.ExpirationTime.Equal(*old.ExpirationTime)):
		return nil, structs.Coded(http.StatusBadRequest, "the end of a token can't be changed; make another")
	}
	t.Rest = old.Rest
	return t, nil
}

// uploadToken makes t a new token with the accessor and the secret that the caller has chosen, as one does who moves tokens
// from one cluster to another.
func (c *Call) uploadToken(t, given *structs.ACLToken) error {
	if t.Type != structs.ACLTokenClient {
		return structs.Coded(http.StatusBadRequest, "cannot upload management tokens")
	}
	if !structs.IsUUID(t.AccessorID) || !structs.IsUUID(given.SecretID) {
		return structs.Coded(http.StatusBadRequest, "the accessor ID and the secret ID of an uploaded token must be UUIDs")
	}
	t.CreateTime, t.SecretHash = c.now.UTC(), structs.HashSecret(given.SecretID)
	other, err := c.state().ACLTokenBySecretHash(nil, t.SecretHash)
	if err != nil {
		return fmt.Errorf("look up ACL token by secret: %w", err)
	}
	node, err := c.state().NodeBySecretHash(t.SecretHash)
	if err != nil {
		return fmt.Errorf("look up node by secret: %w", err)
	}
	if other != nil || node != nil {
		return structs.Coded(http.StatusBadRequest, "the secret ID is another's; make a new one")
	}
	return c.setExpiration(t, given)
}

// setExpiration decides when a new token ends. One that no end is given for does not.
func (c *Call) setExpiration(t, given *structs.ACLToken) error {
	ttl := given.ExpirationTTL
	if given.ExpirationTime != nil && !given.ExpirationTime.IsZero() {
		if ttl != 0 {
			return structs.Coded(http.StatusBadRequest, "give ExpirationTTL or ExpirationTime, not both")
		}
		ttl = given.ExpirationTime.Sub(c.now)
	}
	limits := c.srv.cfg.ACL
	switch {
	case ttl == 0 && given.ExpirationTime == nil:
		return nil
	case ttl < limits.MinTTL:
		return structs.Coded(http.StatusBadRequest, "the token would end in %s; the least is %s (acl.token_min_expiration_ttl)", ttl.Round(time.Second), limits.MinTTL)
	case ttl > limits.MaxTTL:
		return structs.Coded(http.StatusBadRequest, "the token would end in %s; the most is %s (acl.token_max_expiration_ttl)", ttl.Round(time.Second), limits.MaxTTL)
	}
	at := c.now.Add(ttl).UTC()
	t.ExpirationTime, t.ExpirationTTL = &at, given.ExpirationTTL
	return nil
}

// resolveRoles finds the roles that were given by ID or name.
func (c *Call) resolveRoles(given []*structs.ACLTokenRoleLink) ([]*structs.ACLTokenRoleLink, error) {
	var out []*structs.ACLTokenRoleLink
	seen := map[string]bool{}
	for _, link := range given {
		if link == nil {
			return nil, structs.Coded(http.StatusBadRequest, "token has a role without ID and name")
		}
		role, err := c.state().ACLRoleByID(nil, link.ID)
		if link.ID == "" && err == nil {
			role, err = c.state().ACLRoleByName(nil, link.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("look up ACL role %s%s: %w", link.ID, link.Name, err)
		}
		if role == nil {
			return nil, structs.Coded(http.StatusBadRequest, "cannot find role %s%s", link.ID, link.Name)
		}
		if !seen[role.ID] {
			seen[role.ID] = true
			out = append(out, &structs.ACLTokenRoleLink{ID: role.ID, Name: role.Name})
		}
	}
	return out, nil
}

func (s *Server) aclDeleteTokens(c *Call, req *structs.ACLTokenDeleteRequest, reply *structs.GenericResponse) error {
	if n := len(req.AccessorIDs); n == 0 || n > maxACLBatch {
		return structs.Coded(http.StatusBadRequest, "must specify 1 to %d tokens", maxACLBatch)
	}
	for _, id := range req.AccessorIDs {
		token, err := c.state().ACLTokenByAccessorID(nil, id)
		if err != nil {
			return fmt.Errorf("look up ACL token %s: %w", id, err)
		}
		if token == nil {
			return structs.Coded(http.StatusNotFound, "%w", structs.ErrTokenNotFound)
		}
	}
	applied, err := s.deps.Raft.Apply(structs.ACLTokenDeleteMsg, req)
	if err != nil {
		return fmt.Errorf("delete ACL tokens: %w", err)
	}
	reply.Index = applied.Index
	return nil
}

func (s *Server) aclListTokens(c *Call, req *structs.ACLTokenListRequest, reply *structs.ACLTokenListResponse) error {
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		tokens, err := st.ACLTokens(ws, req.Prefix)
		if err != nil {
			return 0, fmt.Errorf("list ACL tokens: %w", err)
		}
		listed := func(yield func(*structs.ACLToken) bool) {
			for t := range tokens {
				if (t.Global || !req.GlobalOnly) && !yield(t) {
					return
				}
			}
		}
		reply.QueryMeta.NextToken = ""
		reply.Tokens, err = page(&req.QueryOptions, &reply.QueryMeta, listed,
			func(t *structs.ACLToken) string { return t.AccessorID }, func(t *structs.ACLToken) *structs.ACLTokenListStub { return c.shown(t).Stub() })
		if err != nil {
			return 0, err
		}
		return tableIndex(st, "acl_token")
	})
}

// aclGetToken shows a token: one's own, or with management any.
func (s *Server) aclGetToken(c *Call, req *structs.ACLTokenSpecificRequest, reply *structs.SingleACLTokenResponse) error {
	if !c.caller.ACL.IsManagement() && c.caller.Token.AccessorID != req.AccessorID {
		return structs.ErrPermissionDenied
	}
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		token, err := st.ACLTokenByAccessorID(ws, req.AccessorID)
		if err != nil {
			return 0, fmt.Errorf("look up ACL token %s: %w", req.AccessorID, err)
		}
		reply.Token = nil
		if token == nil {
			return tableIndex(st, "acl_token")
		}
		reply.Token = c.shown(token)
		return token.ModifyIndex, nil
	})
}

func (s *Server) aclGetTokens(c *Call, req *structs.ACLTokenSetRequest, reply *structs.ACLTokenSetResponse) error {
	if len(req.AccessorIDS) > maxACLBatch {
		return structs.Coded(http.StatusBadRequest, "must specify no more than %d tokens", maxACLBatch)
	}
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(ws memdb.WatchSet, st State) (uint64, error) {
		reply.Tokens = map[string]*structs.ACLToken{}
		for _, id := range req.AccessorIDS {
			token, err := st.ACLTokenByAccessorID(ws, id)
			if err != nil {
				return 0, fmt.Errorf("look up ACL token %s: %w", id, err)
			}
			if token != nil {
				reply.Tokens[id] = c.shown(token)
			}
		}
		return tableIndex(st, "acl_token")
	})
}

// aclResolveToken finds the token of a secret, which is all that it takes.
func (s *Server) aclResolveToken(c *Call, req *structs.ResolveACLTokenRequest, reply *structs.ResolveACLTokenResponse) error {
	token, err := c.aclToken(req.SecretID)
	req.SecretID = ""
	if err != nil {
		return err
	}
	if token != nil && !token.Expired(c.now) {
		reply.Token = c.shown(token)
	}
	c.setContact(&reply.QueryMeta)
	reply.Index, err = tableIndex(c.state(), "acl_token")
	return err
}

// aclWhoAmI tells what the credential shown is.
func (s *Server) aclWhoAmI(c *Call, _ *structs.GenericRequest, reply *structs.ACLWhoAmIResponse) error {
	who := &structs.AuthenticatedIdentity{}
	switch {
	case c.caller.Token != nil:
		who.ACLToken = c.shown(c.caller.Token)
	case c.caller.Kind == CallerNode && c.caller.BySecret:
		who.ClientID = c.caller.NodeID
	case c.caller.Kind == CallerNode:
		who.Claims = &structs.WhoAmIClaims{Subject: c.caller.Claims.Subject, NodeIdentity: c.caller.Claims.Node}
	default:
		who.ACLToken = &structs.ACLToken{
			AccessorID: "anonymous", Name: "Anonymous Token", Type: structs.ACLTokenClient, Policies: []string{structs.ACLAnonymousPolicy},
		}
	}
	reply.Identity = who
	c.setContact(&reply.QueryMeta)
	var err error
	reply.Index, err = tableIndex(c.state(), "acl_token")
	return err
}
