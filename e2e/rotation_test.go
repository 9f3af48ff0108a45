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

const rotations = 3

// Keys are replaced, and old ones removed as soon as that is allowed, while a fleet renews. Somebody who knows only the
// issuer's address can verify every identity that any node holds, all the time.
func TestEveryIdentityVerifiesWhileKeysAreRotated(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, "min_heartbeat_ttl = \"1s\"\nmax_heartbeats_per_second = 1000")
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	newPool(t, ctx, leader.API, "short", 15*time.Second) // renewed when 5 s are left
	fleet := newFleet(t, ctx, c, dir+"/fleet", FleetAdd{Count: 60, Pool: "short", Servers: c.RPCAddrs()})

	stop := verifyAlways(ctx, c.Issuer, fleet)
	for range rotations {
		old, err := activeKey(ctx, leader.API)
		must(t, err)
		if err := leader.API.DeleteKey(ctx, old.KeyID, api.WithForce, nil); !errors.Is(err, structs.ErrRootKeyActive) {
			t.Errorf("delete the active key: got %v, want a refusal that says it is active", err)
		}
		made, err := c.Servers[0].API.RotateKey(ctx, api.RotateOptions{}, nil)
		must(t, err)
		eventually(t, ctx, "remove key "+old.KeyID, 30*time.Second, func(ctx context.Context) error {
			return removeWhenUnused(ctx, leader.API, old.KeyID)
		})
		for _, s := range c.Servers {
			eventually(t, ctx, "publish the keys of "+s.Name, 10*time.Second, func(ctx context.Context) error {
				keys, err := s.PublishedKeys(ctx)
				if err != nil {
					return err
				}
				if len(keys) != 1 || keys[made.KeyID] != "ES256" {
					return fmt.Errorf("it publishes %v, want %s alone", keys, made.KeyID)
				}
				return nil
			})
		}
		// Somebody who sees the keys for the first time.
		fresh, err := NewVerifier(ctx, c.Issuer)
		must(t, err)
		eventually(t, ctx, "verify what is held under the new key", 5*time.Second, func(ctx context.Context) error {
			for _, token := range fleet.Held() {
				if _, err := fresh.Verify(ctx, token.Raw); err != nil {
					return err
				}
			}
			return nil
		})
	}
	verified, err := stop()
	must(t, err)
	if verified < rotations*60 {
		t.Errorf("%d identities were verified, want more than %d", verified, rotations*60)
	}
	t.Logf("%d identities of %d rotations verified", verified, rotations)
}

// removeWhenUnused tries to remove a key. It must be refused while a node's identity is signed with it, and not longer.
func removeWhenUnused(ctx context.Context, a *api.Client, keyID string) error {
	before, err := usersOf(ctx, a, keyID)
	if err != nil {
		return err
	}
	err = a.DeleteKey(ctx, keyID, api.WithForce, nil)
	switch {
	case err == nil:
		if after, err := usersOf(ctx, a, keyID); err != nil || after > 0 {
			return Final(fmt.Errorf("the key was removed while %d nodes hold identities signed with it: %v", after, err))
		}
		return nil
	case !errors.Is(err, structs.ErrRootKeyInUse):
		return Final(err)
	case before == 0:
		return Final(fmt.Errorf("no node holds an identity signed with the key, but it can't be removed: %w", err))
	}
	return fmt.Errorf("%d nodes hold identities signed with it: %w", before, err)
}

// usersOf counts the nodes whose newest identity is signed with the key.
func usersOf(ctx context.Context, a *api.Client, keyID string) (int, error) {
	list, err := nodes(ctx, a)
	if err != nil {
		return 0, err
	}
	users := 0
	for id := range list {
		n, err := a.Node(ctx, id, nil)
		if err != nil {
			return 0, err
		}
		if n.Value.IdentitySigningKeyID == keyID {
			users++
		}
	}
	return users, nil
}

// verifyAlways verifies every identity that the fleet is given, when it is new and again as long as it is held, until the
// returned function is called.
func verifyAlways(ctx context.Context, issuer string, fleet *Fleet) (stop func() (verified int, err error)) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	seen := map[string]bool{}
	v, err := NewVerifier(ctx, issuer)
	for _, token := range fleet.Held() {
		if err == nil {
			_, err = v.Verify(ctx, token.Raw) // it has the keys now, whatever happens to the issuer next
		}
		break
	}
	go func() {
		if err != nil {
			done <- err
			return
		}
		going := errors.New("verifying")
		err := Eventually(ctx, "verify identities", testLimit, func(ctx context.Context) error {
			for _, token := range fleet.Held() {
				if _, err := v.Verify(ctx, token.Raw); err != nil && ctx.Err() == nil {
					return Final(fmt.Errorf("identity of node %s under key %s, issued at %s: %w", token.NodeID, token.KeyID, token.IssuedAt, err))
				}
				seen[token.Raw] = true
			}
			return going
		})
		if errors.Is(err, going) {
			err = nil
		}
		done <- err
	}()
	return func() (int, error) {
		cancel()
		err := <-done
		return len(seen), err
	}
}

// A node is gone for good. The key that signed its last identity stays until nobody takes that identity any more.
func TestAKeyStaysUntilTheLastIdentityUnderItHasExpired(t *testing.T) {
	t.Parallel()
	const ttl = 10 * time.Second
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 1, quickHeartbeats)
	server := c.Servers[0]
	newPool(t, ctx, server.API, "brief", ttl)
	a := newAgents(t, c, AgentConfig{Name: "node-1", Pool: "brief"})[0]
	n, err := a.WaitReady(ctx, 30*time.Second, server.API)
	must(t, err)
	must(t, a.Kill())
	raw, err := a.Identity()
	must(t, err)
	last, err := ParseToken(raw)
	must(t, err)
	if _, err := server.API.RotateKey(ctx, api.RotateOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	holder, err := api.New(api.Config{Address: server.HTTP, Token: raw})
	must(t, err)
	t.Cleanup(holder.Close)

	var removed time.Time
	eventually(t, ctx, "remove key "+last.KeyID, ttl+structs.IdentityLeeway+30*time.Second, func(ctx context.Context) error {
		_, taken := holder.Node(ctx, n.ID, nil)
		err := server.API.DeleteKey(ctx, last.KeyID, api.WithForce, nil)
		switch {
		case err == nil:
			removed = time.Now()
			if taken == nil && removed.Before(last.Expiry.Add(structs.IdentityLeeway)) {
				return Final(errors.New("the key was removed while servers took the identity"))
			}
			return nil
		case !errors.Is(err, structs.ErrRootKeyInUse):
			return Final(err)
		}
		return err
	})
	if last.Expiry.Add(structs.IdentityLeeway).After(removed) {
		t.Errorf("the key was removed at %s, but its last identity was good until %s and a minute of leeway", removed, last.Expiry)
	}
	node, err := server.API.Node(ctx, n.ID, nil)
	must(t, err)
	latest := time.Unix(node.Value.StatusUpdatedAt, 0).Add(ttl + structs.IdentityLeeway + 3*time.Second)
	if removed.After(latest) {
		t.Errorf("the key was removable only at %s, want %s at the latest", removed, latest)
	}
}
