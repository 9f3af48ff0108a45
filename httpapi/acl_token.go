package httpapi

import (
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

func bootstrapACL(c *call) (any, error) {
	var in struct{ BootstrapSecret string }
	if err := c.decodeOptional(&in); err != nil {
		return nil, err
	}
	var out structs.ACLTokenUpsertResponse
	args := &structs.ACLBootstrapRequest{BootstrapSecret: in.BootstrapSecret, WriteRequest: c.writeRequest()}
	if err := c.call("ACL.Bootstrap", args, &out); err != nil {
		return nil, err
	}
	return c.oneToken(&out)
}

// oneToken answers with the one token that was written.
func (c *call) oneToken(out *structs.ACLTokenUpsertResponse) (any, error) {
	c.setIndex(out.Index)
	if len(out.Tokens) == 0 {
		return nil, fail(http.StatusNotFound, "%s", structs.ErrTokenNotFound)
	}
	return out.Tokens[0], nil
}

func listACLTokens(c *call) (any, error) {
	global, err := c.flag("global")
	if err != nil {
		return nil, err
	}
	var out structs.ACLTokenListResponse
	if err := c.read("ACL.ListTokens", &structs.ACLTokenListRequest{GlobalOnly: global}, &out); err != nil {
		return nil, err
	}
	return list(out.Tokens), nil
}

func getACLToken(c *call) (any, error) {
	var out structs.SingleACLTokenResponse
	if err := c.read("ACL.GetToken", &structs.ACLTokenSpecificRequest{AccessorID: c.params["accessor"]}, &out); err != nil {
		return nil, err
	}
	if out.Token == nil {
		return nil, fail(http.StatusNotFound, "%s", structs.ErrTokenNotFound)
	}
	return out.Token, nil
}

// getOwnACLToken shows the caller's token, with the secret that the caller has shown.
func getOwnACLToken(c *call) (any, error) {
	var out structs.ACLWhoAmIResponse
	if err := c.read("ACL.WhoAmI", &structs.GenericRequest{}, &out); err != nil {
		return nil, err
	}
	if out.Identity == nil || out.Identity.ACLToken == nil || c.token() == "" {
		return nil, fail(http.StatusForbidden, "%s", structs.ErrTokenNotFound)
	}
	token := out.Identity.ACLToken
	token.SecretID = c.token()
	return token, nil
}

func createACLToken(c *call) (any, error) {
	token := new(structs.ACLToken)
	if err := c.decode(token); err != nil {
		return nil, err
	}
	if token.AccessorID != "" {
		return nil, badRequest("Accessor ID must be empty to create a token")
	}
	return c.writeACLToken(token)
}

func updateACLToken(c *call) (any, error) {
	token := new(structs.ACLToken)
	if err := c.decode(token); err != nil {
		return nil, err
	}
	if token.AccessorID != c.params["accessor"] {
		return nil, badRequest("ACL token accessor does not match request path")
	}
	return c.writeACLToken(token)
}

func (c *call) writeACLToken(token *structs.ACLToken) (any, error) {
	var out structs.ACLTokenUpsertResponse
	args := &structs.ACLTokenUpsertRequest{Tokens: []*structs.ACLToken{token}, WriteRequest: c.writeRequest()}
	if err := c.call("ACL.UpsertTokens", args, &out); err != nil {
		return nil, err
	}
	return c.oneToken(&out)
}

func deleteACLToken(c *call) (any, error) {
	return c.writeNothing("ACL.DeleteTokens", &structs.ACLTokenDeleteRequest{
		AccessorIDs: []string{c.params["accessor"]}, WriteRequest: c.writeRequest(),
	})
}

func createOneTimeToken(c *call) (any, error) {
	var out structs.OneTimeTokenUpsertResponse
	if err := c.call("ACL.UpsertOneTimeToken", &structs.OneTimeTokenUpsertRequest{WriteRequest: c.writeRequest()}, &out); err != nil {
		return nil, err
	}
	c.setIndex(out.Index)
	return &out, nil
}

func exchangeOneTimeToken(c *call) (any, error) {
	var in struct{ OneTimeSecretID string }
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var out structs.OneTimeTokenExchangeResponse
	args := &structs.OneTimeTokenExchangeRequest{OneTimeSecretID: in.OneTimeSecretID, WriteRequest: c.writeRequest()}
	if err := c.call("ACL.ExchangeOneTimeToken", args, &out); err != nil {
		return nil, err
	}
	c.setIndex(out.Index)
	return &out, nil
}

// listNoACLs answers as a cluster does that nobody logs in to: there are no ways to, and no rules.
func listNoACLs(c *call) (any, error) {
	if !c.cfg.ACL.Enabled {
		return nil, badRequest("%s", structs.ErrACLDisabled)
	}
	return []struct{}{}, nil
}

// refuseLogins is for what is outside of the identities of nodes.
func refuseLogins(*call) (any, error) {
	return nil, fail(http.StatusNotImplemented, "Logins by way of other systems are not part of Rollcall; make a token for who needs one")
}
