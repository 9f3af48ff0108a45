package structs

import "time"

// ACLBootstrapRequest is ACL.Bootstrap.
type ACLBootstrapRequest struct {
	BootstrapSecret string // the secret that the token is to have; empty for a random one
	WriteRequest
}

// ACLTokenBootstrapCommand is Raft type 23.
type ACLTokenBootstrapCommand struct {
	Token      *ACLToken
	ResetIndex uint64 // from the reset file; 0 for the first time
	WriteRequest
}

// ACLTokenUpsertRequest is ACL.UpsertTokens and Raft type 21.
type ACLTokenUpsertRequest struct {
	Tokens []*ACLToken
	WriteRequest
}

// ACLTokenUpsertResponse is the reply of ACL.UpsertTokens and ACL.Bootstrap.
type ACLTokenUpsertResponse struct {
	Tokens []*ACLToken
	WriteMeta
}

// ACLTokenDeleteRequest is ACL.DeleteTokens and Raft type 22.
type ACLTokenDeleteRequest struct {
	AccessorIDs []string
	WriteRequest
}

// ACLTokenListRequest is ACL.ListTokens. The prefix is that of accessor IDs.
type ACLTokenListRequest struct {
	GlobalOnly bool
	QueryOptions
}

// ACLTokenListResponse is the reply of ACL.ListTokens, sorted by accessor ID.
type ACLTokenListResponse struct {
	Tokens []*ACLTokenListStub
	QueryMeta
}

// ACLTokenSpecificRequest is ACL.GetToken.
type ACLTokenSpecificRequest struct {
	AccessorID string
	QueryOptions
}

// SingleACLTokenResponse is the reply of ACL.GetToken; Token is nil when there is none.
type SingleACLTokenResponse struct {
	Token *ACLToken
	QueryMeta
}

// ACLTokenSetRequest is ACL.GetTokens.
type ACLTokenSetRequest struct {
	AccessorIDS []string
	QueryOptions
}

// ACLTokenSetResponse is the reply of ACL.GetTokens: those that there are, by accessor ID.
type ACLTokenSetResponse struct {
	Tokens map[string]*ACLToken
	QueryMeta
}

// ResolveACLTokenRequest is ACL.ResolveToken.
type ResolveACLTokenRequest struct {
	SecretID string
	QueryOptions
}

// ResolveACLTokenResponse is the reply of ACL.ResolveToken; Token is nil when the secret is nobody's.
type ResolveACLTokenResponse struct {
	Token *ACLToken
	QueryMeta
}

// ACLWhoAmIResponse is the reply of ACL.WhoAmI.
type ACLWhoAmIResponse struct {
	Identity *AuthenticatedIdentity
	QueryMeta
}

// AuthenticatedIdentity is what a credential was found to be. One of the first three is set.
type AuthenticatedIdentity struct {
	ACLToken *ACLToken // without its secret
	ClientID string    // of a node that showed its secret
	Claims   *WhoAmIClaims
	TLSName  string
}

// WhoAmIClaims are the claims of a signed identity that say whose it is.
type WhoAmIClaims struct {
	Subject      string
	NodeIdentity *NodeClaims
}

// ACLPolicyUpsertRequest is ACL.UpsertPolicies and Raft type 19.
type ACLPolicyUpsertRequest struct {
	Policies []*ACLPolicy
	WriteRequest
}

// ACLPolicyDeleteRequest is ACL.DeletePolicies and Raft type 20.
type ACLPolicyDeleteRequest struct {
	Names []string
	WriteRequest
}

// ACLPolicyListRequest is ACL.ListPolicies.
type ACLPolicyListRequest struct {
	QueryOptions
}

// ACLPolicyListResponse is the reply of ACL.ListPolicies, sorted by name.
type ACLPolicyListResponse struct {
	Policies []*ACLPolicyListStub
	QueryMeta
}

// ACLPolicySpecificRequest is ACL.GetPolicy.
type ACLPolicySpecificRequest struct {
	Name string
	QueryOptions
}

// SingleACLPolicyResponse is the reply of ACL.GetPolicy; Policy is nil when there is none.
type SingleACLPolicyResponse struct {
	Policy *ACLPolicy
	QueryMeta
}

// ACLPolicySetRequest is ACL.GetPolicies.
type ACLPolicySetRequest struct {
	Names []string
	QueryOptions
}

// ACLPolicySetResponse is the reply of ACL.GetPolicies and ACL.GetClaimPolicies: those that there are, by name.
type ACLPolicySetResponse struct {
	Policies map[string]*ACLPolicy
	QueryMeta
}

// ACLRolesUpsertRequest is ACL.UpsertRoles and Raft type 53.
type ACLRolesUpsertRequest struct {
	ACLRoles []*ACLRole
	// AllowMissingPolicies lets a role name policies that don't exist yet.
	AllowMissingPolicies bool
	WriteRequest
}

// ACLRolesUpsertResponse is the reply of ACL.UpsertRoles.
type ACLRolesUpsertResponse struct {
	ACLRoles []*ACLRole
	WriteMeta
}

// ACLRolesDeleteByIDRequest is ACL.DeleteRolesByID and Raft type 54.
type ACLRolesDeleteByIDRequest struct {
	ACLRoleIDs []string
	WriteRequest
}

// ACLRolesListRequest is ACL.ListRoles.
type ACLRolesListRequest struct {
	QueryOptions
}

// ACLRolesListResponse is the reply of ACL.ListRoles, sorted by ID.
type ACLRolesListResponse struct {
	ACLRoles []*ACLRole
	QueryMeta
}

// ACLRolesByIDRequest is ACL.GetRolesByID.
type ACLRolesByIDRequest struct {
	ACLRoleIDs []string
	QueryOptions
}

// ACLRolesByIDResponse is the reply of ACL.GetRolesByID: those that there are, by ID.
type ACLRolesByIDResponse struct {
	ACLRoles map[string]*ACLRole
	QueryMeta
}

// ACLRoleByIDRequest is ACL.GetRoleByID.
type ACLRoleByIDRequest struct {
	RoleID string
	QueryOptions
}

// ACLRoleByNameRequest is ACL.GetRoleByName.
type ACLRoleByNameRequest struct {
	RoleName string
	QueryOptions
}

// SingleACLRoleResponse is the reply of ACL.GetRoleByID and ACL.GetRoleByName; ACLRole is nil when there is none.
type SingleACLRoleResponse struct {
	ACLRole *ACLRole
	QueryMeta
}

// OneTimeTokenUpsertRequest is ACL.UpsertOneTimeToken: one for the caller's own token.
type OneTimeTokenUpsertRequest struct {
	WriteRequest
}

// OneTimeTokenUpsertResponse is its reply.
type OneTimeTokenUpsertResponse struct {
	OneTimeToken *OneTimeToken
	WriteMeta
}

// OneTimeTokenDeleteRequest is Raft type 45.
type OneTimeTokenDeleteRequest struct {
	AccessorIDs []string // of the tokens that they stand for
	WriteRequest
}

// OneTimeTokenExpireRequest is Raft type 46: those that have ended at Timestamp go.
type OneTimeTokenExpireRequest struct {
	Timestamp time.Time
	WriteRequest
}

// OneTimeTokenExchangeRequest is ACL.ExchangeOneTimeToken.
type OneTimeTokenExchangeRequest struct {
	OneTimeSecretID string
	WriteRequest
}

// OneTimeTokenExchangeResponse is its reply: a token.
type OneTimeTokenExchangeResponse struct {
	Token *ACLToken
	WriteMeta
}
