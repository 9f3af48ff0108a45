//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// Three servers find each other, and a node may begin with any of them.
func TestThreeServersFormAClusterThatRegistersNodesOverEveryServer(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, "")
	must(t, c.WaitVoters(ctx))
	for _, s := range c.Servers {
		members, err := s.API.Members(ctx, nil)
		must(t, err)
		if len(members.Members) != 3 {
			t.Errorf("%s knows %d members, want 3", s.Name, len(members.Members))
		}
		peers, err := s.API.Peers(ctx)
		must(t, err)
		if len(peers) != 3 {
			t.Errorf("%s knows the peers %v, want 3", s.Name, peers)
		}
	}

	var confs []AgentConfig
	for i, s := range c.Servers {
		confs = append(confs, AgentConfig{Name: fmt.Sprintf("node-%d", i+1), Class: "small", Servers: []string{s.RPC}})
	}
	agents := newAgents(t, c, confs...)
	verifier, err := NewVerifier(ctx, c.Issuer)
	must(t, err)
	want := map[string]string{}
	for i, a := range agents {
		n, err := a.WaitReady(ctx, 30*time.Second, c.Servers[i].API)
		must(t, err)
		want[n.ID] = a.Name
		if n.NodeClass != "small" || n.NodePool != structs.NodePoolDefault {
			t.Errorf("%s is of class %q in pool %q, want small in default", a.Name, n.NodeClass, n.NodePool)
		}
		token, err := a.Identity()
		must(t, err)
		claims, err := verifier.Verify(ctx, token)
		must(t, err)
		if claims["nomad_node_id"] != n.ID {
			t.Errorf("identity of %s names node %v, want %s", a.Name, claims["nomad_node_id"], n.ID)
		}
	}

	// Every server shows the same nodes, from its own state too.
	for _, s := range c.Servers {
		for _, q := range []*api.QueryOptions{{}, {AllowStale: true}} {
			eventually(t, ctx, "list nodes through "+s.Name, 10*time.Second, func(ctx context.Context) error {
				list, err := nodesWith(ctx, s.API, q)
				if err != nil {
					return err
				}
				got := map[string]string{}
				for id, n := range list {
					got[id] = n.Name
				}
				if diff := cmp.Diff(want, got); diff != "" {
					return fmt.Errorf("nodes (-want +got):\n%s", diff)
				}
				return nil
			})
		}
	}
}

// A server asked for a node that is connected to another one passes the question on.
func TestNodeIdentityIsReadAndRenewedThroughEveryServer(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, "min_heartbeat_ttl = \"1s\"")
	a := newAgents(t, c, AgentConfig{Name: "node-1", Servers: []string{c.Servers[1].RPC}})[0]
	n, err := a.WaitReady(ctx, 30*time.Second, c.Servers[0].API)
	must(t, err)
	for _, s := range c.Servers {
		before, err := s.API.NodeIdentity(ctx, n.ID, nil)
		if err != nil {
			t.Fatalf("read identity through %s: %v", s.Name, err)
		}
		if before["nomad_node_id"] != n.ID {
			t.Errorf("through %s: identity of node %v, want %s", s.Name, before["nomad_node_id"], n.ID)
		}
		if err := s.API.RenewNodeIdentity(ctx, n.ID, nil); err != nil {
			t.Fatalf("renew identity through %s: %v", s.Name, err)
		}
		eventually(t, ctx, "renew identity through "+s.Name, 20*time.Second, func(ctx context.Context) error {
			after, err := s.API.NodeIdentity(ctx, n.ID, nil)
			if err != nil {
				return err
			}
			if after["jti"] == before["jti"] {
				return fmt.Errorf("identity is still %v", after["jti"])
			}
			return nil
		})
	}
}
