//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// restored sends an archive that must be taken.
func restored(t *testing.T, ctx context.Context, s *Server, archive []byte) {
	t.Helper()
	status, text, err := s.RestoreSnapshot(ctx, archive)
	must(t, err)
	if status != http.StatusOK {
		t.Fatalf("restore through %s: status %d: %s", s.Name, status, text)
	}
}

func saved(t *testing.T, ctx context.Context, s *Server, stale bool) []byte {
	t.Helper()
	archive, err := s.SaveSnapshot(ctx, stale)
	must(t, err)
	return archive
}

// sameState waits until servers that have not been restarted have the same state at the same index.
func sameState(t *testing.T, ctx context.Context, c *Cluster) structs.StateDigest {
	t.Helper()
	d, err := c.WaitSameState(ctx, true)
	must(t, err)
	return d
}

// verifyAll checks identities as somebody else who knows the issuer.
func verifyAll(t *testing.T, ctx context.Context, issuer string, held map[string]Token) {
	t.Helper()
	verifier, err := NewVerifier(ctx, issuer)
	must(t, err)
	for id, token := range held {
		if _, err := verifier.Verify(ctx, token.Raw); err != nil {
			t.Errorf("identity of node %s: %v", id, err)
		}
	}
}

// absent says whether a server has answered that it does not know what was asked for.
func absent(err error) bool {
	var status *api.StatusError
	return errors.As(err, &status) && status.Code == http.StatusNotFound
}

func sortedIDs[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Snapshots are saved from every server while nodes register and renew. One of them is restored: what came after it is gone,
// and comes back by itself.
func TestASnapshotSavedUnderLoadRestoresItsCluster(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, fastHeartbeats)
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	newPool(t, ctx, leader.API, "hour", time.Hour)
	const early, more = 100, 30
	fleet := newFleet(t, ctx, c, dir+"/fleet", FleetAdd{Count: early, Pool: "hour", Servers: c.RPCAddrs()})
	sameState(t, ctx, c)
	held := fleet.Held()

	must(t, fleet.Add(FleetAdd{Count: more, Pool: "hour", Servers: c.RPCAddrs()}))
	var archive []byte
	for _, s := range c.Servers {
		for _, stale := range []bool{false, true} {
			must(t, fleet.Renew())
			archive = saved(t, ctx, s, stale)
			summary := inspect(t, ctx, c, archive)
			if summary.Nodes.Total < early || summary.Nodes.Total > early+more {
				t.Errorf("snapshot through %s (stale: %t) has %d nodes, want %d to %d", s.Name, stale, summary.Nodes.Total, early, early+more)
			}
		}
	}
	eventually(t, ctx, "get the fleet healthy", time.Minute, func(ctx context.Context) error { return fleet.healthy(ctx, early+more) })

	late := newAgents(t, c, AgentConfig{Name: "late"})[0]
	n, err := late.WaitReady(ctx, 30*time.Second, c.Servers[0].API)
	must(t, err)
	must(t, late.Suspend())
	leader, err = c.WaitLeader(ctx)
	must(t, err)
	start := time.Now()
	restored(t, ctx, c.Followers(leader)[0], archive)
	t.Logf("restored %d bytes in %s", len(archive), time.Since(start).Round(time.Millisecond))
	sameState(t, ctx, c)
	for _, s := range c.Servers {
		if _, err := s.API.Node(ctx, n.ID, &api.QueryOptions{AllowStale: true}); !absent(err) {
			t.Errorf("node that registered after the save, on %s after the restore: %v, want that there is none", s.Name, err)
		}
		list, err := nodesWith(ctx, s.API, &api.QueryOptions{AllowStale: true})
		must(t, err)
		for id := range held {
			if list[id] == nil {
				t.Errorf("%s does not know node %s, which was there before the save", s.Name, id)
			}
		}
	}
	must(t, late.Resume())
	again, err := late.WaitReady(ctx, time.Minute, c.Servers[0].API)
	must(t, err)
	if again.ID != n.ID || again.CreateIndex <= n.CreateIndex {
		t.Errorf("node %s created at %d came back as %s created at %d", n.ID, n.CreateIndex, again.ID, again.CreateIndex)
	}
	eventually(t, ctx, "get the fleet healthy after the restore", time.Minute, func(ctx context.Context) error {
		if err := fleet.healthy(ctx, early+more); err != nil {
			return err
		}
		list, err := nodes(ctx, c.Servers[0].API)
		if err == nil && len(list) != early+more+1 {
			err = fmt.Errorf("the cluster knows %d of %d nodes", len(list), early+more+1)
		}
		return err
	})
	verifyAll(t, ctx, c.Issuer, held)
	verifyAll(t, ctx, c.Issuer, fleet.Held())
	sameState(t, ctx, c)
}

// All servers lose their disks. A new cluster in their place gets the state back, and with it the keys and nodes.
func TestAnEmptiedClusterIsBackAfterARestore(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, fastHeartbeats)
	const count = 30
	fleet := newFleet(t, ctx, c, dir+"/fleet", FleetAdd{Count: count, Servers: c.RPCAddrs()})
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	before, err := nodes(ctx, leader.API)
	must(t, err)
	key, err := activeKey(ctx, leader.API)
	must(t, err)
	held := fleet.Held()
	archive := saved(t, ctx, leader, false)

	for _, s := range c.Servers {
		must(t, s.Kill())
		must(t, s.Wipe())
	}
	must(t, c.Start(ctx))
	// The nodes find their way into the new cluster, and are not confused when it becomes the old one.
	eventually(t, ctx, "register in the empty cluster", time.Minute, func(ctx context.Context) error {
		list, err := nodes(ctx, c.Servers[0].API)
		if err == nil && len(list) != count {
			err = fmt.Errorf("%d of %d nodes have registered", len(list), count)
		}
		return err
	})
	fresh, err := activeKey(ctx, c.Servers[0].API)
	must(t, err)
	if fresh.KeyID == key.KeyID {
		t.Fatalf("the emptied cluster has key %s still", key.KeyID)
	}
	restored(t, ctx, c.Servers[0], archive)
	sameState(t, ctx, c)
	now, err := activeKey(ctx, c.Servers[0].API)
	must(t, err)
	if now.KeyID != key.KeyID {
		t.Errorf("the active key is %s, was %s", now.KeyID, key.KeyID)
	}
	after, err := nodes(ctx, c.Servers[0].API)
	must(t, err)
	if diff := cmp.Diff(sortedIDs(before), sortedIDs(after)); diff != "" {
		t.Errorf("nodes (-before +after):\n%s", diff)
	}
	for id, n := range before {
		if after[id] != nil && after[id].CreateIndex != n.CreateIndex {
			t.Errorf("node %s was created at index %d and now at %d", id, n.CreateIndex, after[id].CreateIndex)
		}
	}
	verifyAll(t, ctx, c.Issuer, held)
	healthyUnder(t, ctx, fleet, count, key.KeyID)
	verifyAll(t, ctx, c.Issuer, fleet.Held())
}

// healthyUnder waits until every node is healthy and holds an identity that the key signed.
func healthyUnder(t *testing.T, ctx context.Context, f *Fleet, count int, keyID string) {
	t.Helper()
	eventually(t, ctx, "sign every identity with the restored key", time.Minute, func(ctx context.Context) error {
		for id, token := range f.Held() {
			if token.KeyID != keyID {
				return fmt.Errorf("node %s holds an identity of key %s, want %s", id, token.KeyID, keyID)
			}
		}
		return f.healthy(ctx, count)
	})
}

// A snapshot of one cluster replaces the state of another, whose nodes register anew by themselves.
func TestASnapshotOfAnotherClusterReplacesTheState(t *testing.T) {
	ctx, dir := scenario(t)
	source := newCluster(t, ctx, dir+"/source", 3, fastHeartbeats)
	newPool(t, ctx, source.Servers[0].API, "theirs", time.Hour)
	theirs := newFleet(t, ctx, source, dir+"/source/fleet", FleetAdd{Count: 20, Pool: "theirs", Servers: source.RPCAddrs()})
	theirKey, err := activeKey(ctx, source.Servers[0].API)
	must(t, err)
	theirHeld := theirs.Held()
	archive := saved(t, ctx, source.Servers[0], false)
	source.Close()

	c := configure(t, ClusterConfig{Dir: dir + "/target", Servers: 3, ServerBlock: fastHeartbeats, Token: source.Token})
	must(t, c.Start(ctx))
	newPool(t, ctx, c.Servers[0].API, "ours", time.Hour)
	const count = 10
	fleet := newFleet(t, ctx, c, dir+"/target/fleet", FleetAdd{Count: count, Servers: c.RPCAddrs()})
	ours, err := nodes(ctx, c.Servers[0].API)
	must(t, err)
	must(t, fleet.Suspend())
	restored(t, ctx, c.Servers[0], archive)
	sameState(t, ctx, c)
	for _, s := range c.Servers {
		list, err := nodesWith(ctx, s.API, &api.QueryOptions{AllowStale: true})
		must(t, err)
		if diff := cmp.Diff(sortedIDs(theirHeld), sortedIDs(list)); diff != "" {
			t.Errorf("nodes on %s (-saved +restored):\n%s", s.Name, diff)
		}
		keys, err := s.PublishedKeys(ctx)
		must(t, err)
		if got := sortedIDs(keys); len(got) != 1 || got[0] != theirKey.KeyID {
			t.Errorf("%s publishes keys %v, want %s alone", s.Name, got, theirKey.KeyID)
		}
	}
	if _, err := c.Servers[0].API.NodePool(ctx, "ours", nil); !absent(err) {
		t.Errorf("pool from before the restore: %v, want that there is none", err)
	}

	must(t, fleet.Resume())
	eventually(t, ctx, "register in the restored cluster", time.Minute, func(ctx context.Context) error {
		list, err := nodes(ctx, c.Servers[0].API)
		if err != nil {
			return err
		}
		for id := range ours {
			if list[id] == nil {
				return fmt.Errorf("node %s is not there", id)
			}
		}
		return nil
	})
	healthyUnder(t, ctx, fleet, count, theirKey.KeyID)
	verifyAll(t, ctx, c.Issuer, fleet.Held())
	sameState(t, ctx, c)
}

// place is how a refusal says where the damage is.
var place = regexp.MustCompile(`byte \d+|offset \d+`)

func TestADamagedSnapshotIsRefusedWithItsPlaceAndChangesNothing(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, "")
	for i := range 20 {
		newPool(t, ctx, c.Servers[0].API, fmt.Sprintf("pool-%d", i), time.Hour)
	}
	archive := saved(t, ctx, c.Servers[0], false)
	newPool(t, ctx, c.Servers[0].API, "later", time.Hour)
	before := sameState(t, ctx, c)
	flipped := func(at int) []byte {
		b := bytes.Clone(archive)
		b[at] ^= 0x10
		return b
	}
	for _, tc := range []struct {
		name    string
		archive []byte
	}{
		{"a flipped bit in the header", flipped(0)},
		{"a flipped bit in the middle", flipped(len(archive) / 2)},
		{"a flipped bit at the end", flipped(len(archive) - 1)},
		{"cut in the middle", archive[:len(archive)/2]},
		{"cut by a byte", archive[:len(archive)-1]},
		{"a byte too many", append(bytes.Clone(archive), 0)},
		{"twice the same", append(bytes.Clone(archive), archive...)},
		{"empty", nil},
		{"something else", []byte("not an archive")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, s := range c.Servers {
				status, text, err := s.RestoreSnapshot(ctx, tc.archive)
				must(t, err)
				if status != http.StatusBadRequest || !place.MatchString(text) {
					t.Errorf("restore through %s: status %d: %q, want 400 and the place", s.Name, status, text)
				}
			}
			if after := sameState(t, ctx, c); after.Digest != before.Digest {
				t.Errorf("the state has changed: digest %s at index %d, was %s at %d", after.Digest, after.Index, before.Digest, before.Index)
			}
		})
	}
	restored(t, ctx, c.Servers[0], archive)
	if after := sameState(t, ctx, c); after.Digest == before.Digest {
		t.Error("the sound archive has changed nothing either")
	}
}
