package rpc

import (
	"fmt"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/acl"
	"github.com/rollcall-id/rollcall/structs"
)

// anonymous is who shows no credential: the policy of that name says what such a caller may, and without one nothing.
func (c *Call) anonymous() (*Caller, error) {
	may, err := c.compile([]string{structs.ACLAnonymousPolicy})
	if err != nil {
		return nil, err
	}
	return &Caller{Kind: CallerAnonymous, ACL: may}, nil
}

// byACLToken returns the operator whose token it is, nil if it is nobody's.
func (c *Call) byACLToken() (*Caller, error) {
	token, err := c.aclToken(c.token)
	switch {
	case err != nil || token == nil:
		return nil, err
	case token.Expired(c.now):
		return nil, fmt.Errorf("%w: %w", structs.ErrTokenExpired, structs.ErrPermissionDenied)
	case token.IsManagement():
		return &Caller{Kind: CallerToken, Token: token, ACL: acl.Everything}, nil
	}
	names, err := policyNames(nil, c.state(), token)
	if err != nil {
		return nil, err
	}
	may, err := c.compile(names)
	if err != nil {
		return nil, err
	}
	return &Caller{Kind: CallerToken, Token: token, ACL: may}, nil
}

// aclToken looks up a token by its secret, nil if it is nobody's.
func (c *Call) aclToken(secret string) (*structs.ACLToken, error) {
	token, err := c.state().ACLTokenBySecretHash(nil, structs.HashSecret(secret))
	if err != nil {
		return nil, fmt.Errorf("look up ACL token by secret: %w", err)
	}
	if token == nil || !token.SecretMatches(secret) {
		return nil, nil
	}
	return token, nil
}

// policyNames are the policies that a token has, by itself and by its roles, sorted. A role that is gone gives nothing.
func policyNames(ws memdb.WatchSet, st State, token *structs.ACLToken) ([]string, error) {
	names := slices.Clone(token.Policies)
	for _, link := range token.Roles {
		if link == nil {
			continue
		}
		role, err := st.ACLRoleByID(ws, link.ID)
		if err != nil {
			return nil, fmt.Errorf("look up ACL role %s: %w", link.ID, err)
		}
		if role == nil {
			continue
		}
		for _, p := range role.Policies {
			if p != nil {
				names = append(names, p.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// compile makes an ACL of the policies of those names. One that does not exist gives nothing; one that can't be read
// takes everything, since it may be there to refuse something.
func (c *Call) compile(names []string) (*acl.ACL, error) {
	st := c.state()
	sources := make([]acl.Source, 0, len(names))
	for _, name := range names {
		p, err := st.ACLPolicyByName(nil, name)
		if err != nil {
			return nil, fmt.Errorf("look up ACL policy %s: %w", name, err)
		}
		if p != nil {
			sources = append(sources, acl.Source{Name: name, Rules: p.Rules})
		}
	}
	may, err := c.srv.acls.Compile(sources)
	if err != nil {
		c.srv.log.Warn("an ACL policy can't be read, so that tokens which have it may nothing; apply it again", "error", err)
		return nil, structs.ErrPermissionDenied
	}
	return may, nil
}
