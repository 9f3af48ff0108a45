package rpc

import (
	"errors"
	"fmt"

	"github.com/rollcall-id/rollcall/acl"
	"github.com/rollcall-id/rollcall/structs"
)

// Auth is the way a method's callers are authenticated (wire.md §3.4).
type Auth int

const (
	// AuthAny takes any credential, and none.
	AuthAny Auth = iota
	// AuthMint is for the methods that may mint an identity: none, a node's secret or a node or introduction
	// identity, which may have expired.
	AuthMint
	// AuthNode takes a node's secret or identity only.
	AuthNode
	// AuthServer takes servers only: the role in the certificate where TLS enforces it.
	AuthServer
	// AuthPublic does not look at the credential: what is public is so for whoever shows a bad one, too, as an
	// agent whose identity has expired and that looks for a server to register with.
	AuthPublic
)

// CallerKind says what a caller has shown itself to be.
type CallerKind int

const (
	CallerAnonymous CallerKind = iota
	CallerServer               // a server, or this process itself
	CallerNode
	CallerIntroduction
	CallerWorkload
	CallerToken // who shows an ACL token
)

// Caller is the result of authentication.
type Caller struct {
	Kind     CallerKind
	Token    *structs.ACLToken       // of an operator, with ACLs on
	ACL      *acl.ACL                // what an operator may, or with ACLs on whoever shows nothing; nil with ACLs off
	NodeID   string                  // of a node
	BySecret bool                    // the node showed its secret, not an identity
	Claims   *structs.IdentityClaims // of a verified identity, also of an expired one
	// Err is why the credential of a call that may mint was not accepted. Only an expired identity is let on
	// with it, since registering is how a node gets a new one.
	Err error
}

// Expired reports whether the caller showed an identity that was good and has expired.
func (c *Caller) Expired() bool { return errors.Is(c.Err, structs.ErrTokenExpired) }

// authenticate finds out who calls. It returns an error if the method can't be called with this credential.
func (c *Call) authenticate() error {
	var err error
	switch c.method.access.auth() {
	case AuthMint:
		c.caller, err = c.authenticateMint()
	case AuthNode:
		c.caller, err = c.authenticateNode()
	case AuthServer:
		c.caller, err = &Caller{Kind: CallerServer}, c.requireTLSName("server")
	case AuthPublic:
		c.caller = &Caller{Kind: CallerAnonymous}
	default:
		c.caller, err = c.authenticateAny()
	}
	return err
}

// authenticateMint is the authentication of the methods that may mint.
func (c *Call) authenticateMint() (*Caller, error) {
	if err := c.requireTLSName("client", "server"); err != nil {
		return nil, err
	}
	switch {
	case c.token == "":
		return &Caller{Kind: CallerAnonymous}, nil
	case structs.IsUUID(c.token):
		caller, err := c.nodeBySecret()
		if errors.Is(err, structs.ErrPermissionDenied) {
			return &Caller{Kind: CallerAnonymous, Err: err}, nil
		}
		return caller, err
	}
	caller, err := c.byIdentity()
	switch {
	case errors.Is(err, structs.ErrTokenExpired):
		return &Caller{Kind: CallerAnonymous, Err: err}, nil
	case err != nil:
		return nil, err
	case caller.Kind == CallerWorkload:
		return nil, structs.ErrPermissionDenied
	}
	return caller, nil
}

// authenticateNode is the authentication of what only a node may call.
func (c *Call) authenticateNode() (*Caller, error) {
	if err := c.requireTLSName("client", "server"); err != nil {
		return nil, err
	}
	switch {
	case c.token == "":
		return nil, structs.ErrPermissionDenied
	case structs.IsUUID(c.token):
		return c.nodeBySecret()
	}
	caller, err := c.byIdentity()
	if err != nil {
		return nil, err
	}
	if caller.Kind != CallerNode {
		return nil, structs.ErrPermissionDenied
	}
	return caller, nil
}

// authenticateAny is the authentication of everything else.
func (c *Call) authenticateAny() (*Caller, error) {
	switch {
	case c.token == "" && c.srv.cfg.ACL.Enabled:
		return c.anonymous()
	case c.token == "":
		return &Caller{Kind: CallerAnonymous}, nil
	case structs.IsUUID(c.token):
		if c.srv.cfg.ACL.Enabled {
			if caller, err := c.byACLToken(); caller != nil || err != nil {
				return caller, err
			}
		}
		return c.nodeBySecret()
	}
	return c.byIdentity()
}

func (c *Call) nodeBySecret() (*Caller, error) {
	n, err := c.state().NodeBySecretHash(structs.HashSecret(c.token))
	if err != nil {
		return nil, fmt.Errorf("look up node by secret: %w", err)
	}
	if n == nil || !n.SecretMatches(c.token) {
		return nil, structs.ErrPermissionDenied
	}
	return &Caller{Kind: CallerNode, NodeID: n.ID, BySecret: true}, nil
}

// byIdentity verifies a signed identity. An expired one is told apart from one that was never good: the caller
// of a forged one learns nothing but that it was refused.
func (c *Call) byIdentity() (*Caller, error) {
	claims, err := c.srv.deps.Keyring.Verify(c.ctx, c.token, c.now)
	if errors.Is(err, structs.ErrTokenExpired) {
		return nil, fmt.Errorf("%w: %w", structs.ErrTokenExpired, structs.ErrPermissionDenied)
	}
	if err != nil {
		c.srv.log.Debug("refused an identity", "method", c.method.Name, "reason", err)
		return nil, structs.ErrPermissionDenied
	}
	switch claims.Kind() {
	case structs.IdentityNode:
		return &Caller{Kind: CallerNode, NodeID: claims.Node.NodeID, Claims: claims}, nil
	case structs.IdentityIntroduction:
		return &Caller{Kind: CallerIntroduction, Claims: claims}, nil
	case structs.IdentityWorkload:
		return &Caller{Kind: CallerWorkload, Claims: claims}, nil
	}
	return nil, structs.ErrPermissionDenied
}
