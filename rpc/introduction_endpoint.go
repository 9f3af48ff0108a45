package rpc

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerIntroductionMethods() {
	handle(s, Spec{Name: "ACL.CreateClientIntroductionToken"}, s.createIntroduction)
}

// createIntroduction signs an identity by which a machine that is not registered yet may join a pool. Nothing
// is stored.
func (s *Server) createIntroduction(c *Call, req *structs.ClientIntroductionRequest, reply *structs.ClientIntroductionResponse) error {
	if !s.deps.Cluster.CanMint() {
		return structs.Coded(http.StatusBadRequest, "all servers must run version 1.11.0 or later to create introduction tokens")
	}
	if req.NodePool == "" {
		req.NodePool = structs.NodePoolDefault
	}
	if err := validateIntroduction(req); err != nil {
		return structs.Coded(http.StatusBadRequest, "%w", err)
	}
	ttl := req.TTL
	switch in := s.cfg.Introduction; {
	case ttl < 0:
		return structs.Coded(http.StatusBadRequest, "introduction TTL %s is negative", ttl)
	case ttl > 0 && ttl < time.Second:
		return structs.Coded(http.StatusBadRequest, "introduction TTL %s is under one second, the resolution of a token's times", ttl)
	case ttl == 0:
		ttl = in.DefaultTTL
	case ttl > in.MaxTTL:
		ttl = in.MaxTTL
	}
	if err := s.deps.Leader.VerifyLease(c.ctx); err != nil {
		return err
	}
	claims := structs.NewIntroductionClaims(s.cfg.Region, req.NodePool, req.NodeName, structs.Lifetime{
		ID: s.deps.NewUUID(), Now: c.now, TTL: ttl, Issuer: s.cfg.Issuer,
	})
	claims.Introduction.Class, claims.Introduction.Datacenter = req.NodeClass, req.NodeDatacenter
	token, _, err := s.deps.Keyring.Sign(claims)
	if err != nil {
		return fmt.Errorf("sign introduction identity: %w", err)
	}
	reply.JWT = token
	return nil
}

// validateIntroduction reports everything that no node could be introduced with.
func validateIntroduction(req *structs.ClientIntroductionRequest) error {
	errs := []error{
		structs.ValidateNodePoolName(req.NodePool),
		structs.ValidateNodeText("name", req.NodeName),
		structs.ValidateNodeText("class", req.NodeClass),
		structs.ValidateNodeText("datacenter", req.NodeDatacenter),
	}
	if req.NodePool == structs.NodePoolAll {
		errs = append(errs, fmt.Errorf("no node can be introduced to node pool %q, which holds every node", structs.NodePoolAll))
	}
	return errors.Join(errs...)
}
