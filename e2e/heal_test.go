//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// quickHeartbeats are every one to two seconds, and who misses one by two seconds is down.
const quickHeartbeats = "min_heartbeat_ttl = \"1s\"\nheartbeat_grace = \"2s\""

// One agent is halted, another one killed, until servers refuse their identities. Neither needs help when it comes back.
func TestAnAgentWhoseIdentityExpiredRecoversByItself(t *testing.T) {
	t.Parallel()
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 1, quickHeartbeats)
	server := c.Servers[0]
	newPool(t, ctx, server.API, "brief", 5*time.Second)
	agents := newAgents(t, c, AgentConfig{Name: "halted", Pool: "brief"}, AgentConfig{Name: "killed", Pool: "brief"})
	halted, killed := agents[0], agents[1]
	ids := map[*Agent]string{}
	for _, a := range agents {
		n, err := a.WaitReady(ctx, 30*time.Second, server.API)
		must(t, err)
		ids[a] = n.ID
	}
	must(t, halted.Suspend())
	must(t, killed.Kill())
	old := map[*Agent]string{}
	for _, a := range agents {
		var err error
		old[a], err = a.Identity()
		must(t, err)
	}
	eventually(t, ctx, "mark the nodes down", 30*time.Second, func(ctx context.Context) error {
		list, err := nodes(ctx, server.API)
		if err != nil {
			return err
		}
		for _, a := range agents {
			if n := list[ids[a]]; n == nil || n.Status != structs.NodeStatusDown {
				return fmt.Errorf("node of %s is not down", a.Name)
			}
		}
		return nil
	})
	for _, a := range agents {
		refused, err := api.New(api.Config{Address: server.HTTP, Token: old[a]})
		must(t, err)
		t.Cleanup(refused.Close)
		eventually(t, ctx, "let the identity of "+a.Name+" expire", 5*time.Second+structs.IdentityLeeway+10*time.Second, func(ctx context.Context) error {
			switch _, err := refused.Node(ctx, ids[a], nil); {
			case err == nil:
				return errors.New("servers still take it")
			case errors.Is(err, structs.ErrTokenExpired), errors.Is(err, structs.ErrPermissionDenied):
				return nil
			default:
				return err
			}
		})
	}

	must(t, halted.Resume())
	must(t, killed.Start())
	verifier, err := NewVerifier(ctx, c.Issuer)
	must(t, err)
	for _, a := range agents {
		eventually(t, ctx, "recover "+a.Name, 30*time.Second, func(ctx context.Context) error {
			n, err := a.WaitReady(ctx, 30*time.Second, server.API)
			if err != nil {
				return err
			}
			if n.ID != ids[a] {
				return Final(fmt.Errorf("%s is another node now: %s, was %s", a.Name, n.ID, ids[a]))
			}
			token, err := a.Identity()
			if err != nil {
				return err
			}
			if token == old[a] {
				return errors.New("it still holds the expired identity")
			}
			_, err = verifier.Verify(ctx, token)
			return err
		})
	}
}

// A node that is removed while its agent lives is back soon, as the same node.
func TestAPurgedNodeComesBackByItself(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, quickHeartbeats)
	a := newAgents(t, c, AgentConfig{Name: "node-1"})[0]
	before, err := a.WaitReady(ctx, 30*time.Second, c.Servers[0].API)
	must(t, err)
	if _, err := c.Servers[1].API.PurgeNode(ctx, before.ID, nil); err != nil {
		t.Fatal(err)
	}
	var after *structs.Node
	eventually(t, ctx, "see the node come back", 30*time.Second, func(ctx context.Context) error {
		n, err := c.Servers[2].API.Node(ctx, before.ID, nil)
		if err != nil {
			return err
		}
		if n.Value.CreateIndex == before.CreateIndex {
			return errors.New("the node has not been removed yet")
		}
		if n.Value.Status != structs.NodeStatusReady {
			return fmt.Errorf("the node is %s", n.Value.Status)
		}
		after = n.Value
		return nil
	})
	if after.Name != before.Name || after.NodePool != before.NodePool {
		t.Errorf("node came back as %s in %s, was %s in %s", after.Name, after.NodePool, before.Name, before.NodePool)
	}
	verifier, err := NewVerifier(ctx, c.Issuer)
	must(t, err)
	token, err := a.Identity()
	must(t, err)
	if _, err := verifier.Verify(ctx, token); err != nil {
		t.Error(err)
	}
}
