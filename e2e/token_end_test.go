//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// tokenTTL leaves time to begin to use the token.
const tokenTTL = 20 * time.Second

// An ACL token ends while it is in use: by requests, blocking queries and event streams, at the leader and at a follower that
// passes them on or answers by itself. All of it ends with the token.
func TestATokenThatEndsTakesEverythingBegunByItAlong(t *testing.T) {
	t.Parallel()
	ctx, dir := scenario(t)
	c := prepareCluster(t, dir, 3, "")
	for _, s := range c.Servers {
		shortTokens(t, s.Config)
	}
	must(t, c.Start(ctx))
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	must(t, leader.API.ApplyACLPolicy(ctx, &structs.ACLPolicy{Name: "reader", Rules: `node { policy = "read" }`}, nil))
	made := func(name string, ttl time.Duration) *structs.ACLToken {
		token, err := leader.API.CreateACLToken(ctx, &structs.ACLToken{
			Name: name, Type: structs.ACLTokenClient, Policies: []string{"reader"}, ExpirationTTL: ttl,
		}, nil)
		must(t, err)
		return token
	}
	lasting := made("lasting", time.Hour)
	_, err = c.WaitSameState(ctx, true)
	must(t, err)
	brief := made("brief", tokenTTL)
	_, err = c.WaitSameState(ctx, true)
	must(t, err)

	uses := &tokenUses{open: map[string]bool{}, ended: make(chan endOfUse)}
	for _, s := range []*Server{leader, c.Followers(leader)[0]} {
		uses.begin(t, ctx, s, brief.SecretID)
	}
	inTime, cancel := context.WithDeadline(ctx, brief.ExpirationTime.Add(30*time.Second))
	defer cancel()
	for len(uses.open) > 0 {
		select {
		case end := <-uses.ended:
			delete(uses.open, end.what)
			refusedAtEnd(t, end.what, end.err)
			if early := time.Until(*brief.ExpirationTime); early > 0 {
				t.Errorf("%s ended %s before the token", end.what, early)
			}
		case <-inTime.Done():
			t.Fatalf("goes on though the token has ended: %v", slices.Sorted(maps.Keys(uses.open)))
		}
	}
	for _, s := range c.Servers {
		for _, stale := range []bool{false, true} {
			_, err := nodesWith(ctx, clientOf(t, s, brief.SecretID), &api.QueryOptions{AllowStale: stale})
			refusedAtEnd(t, fmt.Sprintf("a request at %s (stale: %t)", s.Name, stale), err)
			if _, err := nodesWith(ctx, clientOf(t, s, lasting.SecretID), &api.QueryOptions{AllowStale: stale}); err != nil {
				t.Errorf("by a token that has not ended, at %s (stale: %t): %v", s.Name, stale, err)
			}
		}
	}
	collected(t, ctx, c, brief, lasting)
}

// shortTokens lets tokens of the cluster end sooner than the default allows.
func shortTokens(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	const block = "acl {\n  enabled = true\n"
	if strings.Count(string(text), block) != 1 {
		t.Fatalf("the configuration has no acl block to extend:\n%s", text)
	}
	must(t, os.WriteFile(path, []byte(strings.Replace(string(text), block, block+"  token_min_expiration_ttl = \"1s\"\n", 1)), 0o600))
}

func clientOf(t *testing.T, s *Server, token string) *api.Client {
	t.Helper()
	a, err := api.New(api.Config{Address: s.HTTP, Token: token})
	must(t, err)
	t.Cleanup(a.Close)
	return a
}

// tokenUses are what was begun by a token and lasts. It is for one goroutine.
type tokenUses struct {
	open  map[string]bool
	ended chan endOfUse
}

type endOfUse struct {
	what string
	err  error
}

func (u *tokenUses) add(ctx context.Context, what string, run func() error) {
	u.open[what] = true
	go func() {
		select {
		case u.ended <- endOfUse{what, run()}:
		case <-ctx.Done():
		}
	}()
}

// begin begins everything that lasts, by the token at the server.
func (u *tokenUses) begin(t *testing.T, ctx context.Context, s *Server, token string) {
	t.Helper()
	a := clientOf(t, s, token)
	for _, stale := range []bool{false, true} {
		now, err := a.Nodes(ctx, &api.QueryOptions{AllowStale: stale})
		must(t, err)
		u.add(ctx, fmt.Sprintf("a blocking query at %s (stale: %t)", s.Name, stale), func() error {
			_, err := a.Nodes(ctx, &api.QueryOptions{AllowStale: stale, WaitIndex: now.Meta.Index, WaitTime: 2 * time.Minute})
			return err
		})
	}
	stream, err := a.StreamEvents(ctx, &api.EventOptions{Topics: []string{structs.TopicNode}})
	must(t, err)
	t.Cleanup(func() { stream.Close() })
	u.add(ctx, "an event stream at "+s.Name, func() error {
		for {
			if _, err := stream.Next(); err != nil {
				return err
			}
		}
	})
}

func refusedAtEnd(t *testing.T, what string, err error) {
	t.Helper()
	var status *api.StatusError
	if !errors.Is(err, structs.ErrPermissionDenied) || !errors.As(err, &status) || status.Code != http.StatusForbidden {
		t.Errorf("%s ended with %v, want: 403 Permission denied", what, err)
	}
}

// collected sees the token that has ended go from every server's state when garbage is collected, and the other stay.
func collected(t *testing.T, ctx context.Context, c *Cluster, ended, lasting *structs.ACLToken) {
	t.Helper()
	_, err := c.Servers[0].API.ACLToken(ctx, ended.AccessorID, nil)
	must(t, err)
	must(t, c.Servers[0].API.CollectGarbage(ctx, nil))
	_, err = c.WaitSameState(ctx, true)
	must(t, err)
	for _, s := range c.Servers {
		list, err := s.API.ACLTokens(ctx, &api.QueryOptions{AllowStale: true})
		must(t, err)
		there := map[string]bool{}
		for _, token := range list.Value {
			there[token.AccessorID] = true
		}
		if there[ended.AccessorID] || !there[lasting.AccessorID] {
			t.Errorf("%s has the token that ended: %t, and the other one: %t", s.Name, there[ended.AccessorID], there[lasting.AccessorID])
		}
	}
}
