package rpc

import (
	"context"
	"fmt"

	"github.com/rollcall-id/rollcall/structs"
)

// KeyCustody tells and changes how root keys are wrapped.
type KeyCustody interface {
	// KeyringStatus is what this server can do with the root keys.
	KeyringStatus(ctx context.Context) *structs.KeyringServerStatus
	// KeyringStatuses is the same of every server of the region.
	KeyringStatuses(ctx context.Context) ([]*structs.KeyringServerStatus, error)
	// RewrapKeys moves the root keys one step towards the active provider; on the leader only.
	RewrapKeys(ctx context.Context, providerID string) (*structs.KeyringRewrapResponse, error)
}

func (s *Server) registerKeyringStatusMethods() {
	handle(s, Spec{Name: "Keyring.Status", Route: RouteRegion}, s.keyringStatus)
	handle(s, Spec{Name: "Keyring.ServerStatus", Route: RouteLocal}, s.keyringServerStatus)
	handle(s, Spec{Name: "Keyring.Rewrap"}, s.keyringRewrap)
}

// keyringStatus says which server can open which wrapped copy of which key. It is no read for nodes: it names files.
func (s *Server) keyringStatus(c *Call, _ *structs.GenericRequest, reply *structs.KeyringStatusResponse) error {
	servers, err := s.deps.Custody.KeyringStatuses(c.ctx)
	if err != nil {
		return fmt.Errorf("ask servers for the state of their keys: %w", err)
	}
	reply.Servers = servers
	c.setContact(&reply.QueryMeta)
	return nil
}

func (s *Server) keyringServerStatus(c *Call, _ *structs.GenericRequest, reply *structs.KeyringServerStatusResponse) error {
	reply.Server = s.deps.Custody.KeyringStatus(c.ctx)
	c.setContact(&reply.QueryMeta)
	return nil
}

// keyringRewrap takes one step. The caller's going away does not cut it off: each change of it stands for itself, but what
// was wrapped at a provider would be wrapped again.
func (s *Server) keyringRewrap(c *Call, req *structs.KeyringRewrapRequest, reply *structs.KeyringRewrapResponse) error {
	if err := s.deps.Leader.VerifyLease(c.ctx); err != nil {
		return err
	}
	out, err := s.deps.Custody.RewrapKeys(context.WithoutCancel(c.ctx), req.ProviderID)
	if err != nil {
		return fmt.Errorf("wrap root keys again: %w", err)
	}
	*reply = *out
	return nil
}
