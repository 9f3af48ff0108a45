package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/rollcall-id/rollcall/api"
)

// tokenHeader is where a request shows its token (docs/wire.md §5.2).
const tokenHeader = "X-Nomad-Token"

// aclBlock is the acl block of an agent's configuration; empty without access control.
func (c *Cluster) aclBlock() string {
	if c.Token == "" {
		return ""
	}
	return "acl {\n  enabled = true\n}\n"
}

// readable reads through the server, from the leader's state and from its own, which is what it knows tokens from when it is
// asked about itself. Where the leader does not know the management token, which is so in a new state only, it is bootstrapped;
// that works once, so a cluster that has lost it is reported.
func (s *Server) readable(ctx context.Context) error {
	_, err := s.API.NodePools(ctx, nil)
	var status *api.StatusError
	if s.cluster.Token != "" && errors.As(err, &status) && status.Code == http.StatusForbidden {
		err = s.bootstrap(ctx)
	}
	if err != nil {
		return err
	}
	_, err = s.API.NodePools(ctx, &api.QueryOptions{AllowStale: true})
	return err
}

// bootstrap makes the management token.
func (s *Server) bootstrap(ctx context.Context) error {
	anonymous, err := api.New(api.Config{Address: s.HTTP})
	if err != nil {
		return fmt.Errorf("make API client of %s: %w", s.Name, err)
	}
	defer anonymous.Close()
	if _, err := anonymous.BootstrapACL(ctx, s.cluster.Token, nil); err != nil {
		return fmt.Errorf("bootstrap access control: %w", err)
	}
	return nil
}

// Env makes commands talk to the server, with the management token.
func (s *Server) Env() []string {
	return append([]string{"ROLLCALL_ADDR=" + s.HTTP}, s.cluster.tokenEnv()...)
}

// tokenEnv gives commands the management token.
func (c *Cluster) tokenEnv() []string {
	if c.Token == "" {
		return nil
	}
	return []string{"ROLLCALL_TOKEN=" + c.Token}
}

// authorize shows the management token.
func (c *Cluster) authorize(req *http.Request) {
	if c.Token != "" {
		req.Header.Set(tokenHeader, c.Token)
	}
}
