package rpc

import (
	"fmt"

	"github.com/rollcall-id/rollcall/certs"
	"github.com/rollcall-id/rollcall/structs"
)

// peerRoles are the roles of which the certificate of a method's caller has to have one (wire.md §1.6); none for what
// others than agents may ask, too.
func (a Auth) peerRoles() []string {
	switch a {
	case AuthServer:
		return []string{certs.RoleServer}
	case AuthMint, AuthNode:
		return []string{certs.RoleClient, certs.RoleServer}
	}
	return nil
}

// checkPeerName holds the peer of the call's connection to the roles of its method. It comes before forwarding: the
// next server sees the certificate of this one.
func (c *Call) checkPeerName() error {
	if roles := c.method.access.auth().peerRoles(); len(roles) > 0 {
		return c.requireTLSName(roles...)
	}
	return nil
}

// requireTLSName checks that the peer's certificate carries one of the roles for this region. It holds where names are
// verified at all; a call made in this process has no peer, and one without TLS is there only while TLS is being introduced.
func (c *Call) requireTLSName(roles ...string) error {
	if !c.srv.cfg.VerifyServerHostname || c.conn == nil {
		return nil
	}
	state := c.conn.TLSState()
	if state == nil && c.srv.cfg.TLSUpgradeMode {
		return nil
	}
	if err := certs.CheckRole(state, c.srv.cfg.Region, roles...); err != nil {
		return fmt.Errorf("%w: %w", structs.ErrPermissionDenied, err)
	}
	return nil
}
