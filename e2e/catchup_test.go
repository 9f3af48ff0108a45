//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/api"
)

// fewEntries keeps the log so short that a server that was away for a while needs a snapshot.
const fewEntries = "raft_trailing_logs = 64\nraft_snapshot_threshold = 128\nraft_snapshot_interval = \"1s\""

// A follower is away while more is written than the leader keeps in its log. It gets a snapshot, and follows again.
func TestAFollowerFarBehindCatchesUpBySnapshot(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, fewEntries)
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	must(t, c.WaitVoters(ctx))
	behind := c.Followers(leader)[0]
	sameState(t, ctx, c)
	must(t, behind.Stop(ctx))
	reached := len(behind.Log())

	const written = 500
	for i := range written {
		newPool(t, ctx, leader.API, fmt.Sprintf("pool-%d", i), time.Hour)
	}
	eventually(t, ctx, "shorten the log", 30*time.Second, func(context.Context) error {
		if !strings.Contains(leader.Log(), "compacting logs") {
			return fmt.Errorf("%s has not done so\n%s", leader.Name, leader.Tail(5))
		}
		return nil
	})

	must(t, behind.Start())
	same, err := c.WaitSameState(ctx, false)
	must(t, err)
	if log := behind.Log()[reached:]; !strings.Contains(log, "Installed remote snapshot") && !strings.Contains(log, "installed remote snapshot") {
		t.Errorf("%s has caught up without a snapshot", behind.Name)
	}
	for _, name := range []string{"pool-0", fmt.Sprintf("pool-%d", written-1)} {
		if _, err := behind.API.NodePool(ctx, name, &api.QueryOptions{AllowStale: true}); err != nil {
			t.Errorf("%s at digest %s: %v", behind.Name, same.Digest, err)
		}
	}
	// It follows, and is good for a majority.
	must(t, c.WaitVoters(ctx))
	for _, s := range c.Followers(leader) {
		if s != behind {
			must(t, s.Kill())
		}
	}
	newPool(t, ctx, leader.API, "with-it-alone", time.Hour)
	sameState(t, ctx, c) // a command after the restart gives the same index
}
