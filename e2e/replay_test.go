//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The commands that save, restore and look at snapshots work on a real cluster.
func TestTheSnapshotCommands(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, slowHeartbeats)
	fleet := newFleet(t, ctx, c, dir+"/fleet", FleetAdd{Count: 10, Servers: c.RPCAddrs()})
	must(t, fleet.Kill())
	before := sameState(t, ctx, c)
	first, second := filepath.Join(dir, "first.snap"), filepath.Join(dir, "second.snap")
	at := func(s *Server, args ...string) []string {
		return append([]string{"-address=" + s.HTTP, "operator", "snapshot"}, args...)
	}

	var saved struct{ Index, Size uint64 }
	commandOK(t, ctx, c, &saved, at(c.Servers[1], "save", "-json", first)...)
	if text, code := command(t, ctx, c, at(c.Servers[1], "save", first)...); code != 1 {
		t.Errorf("save over a file: code %d, want 1: %s", code, text)
	}
	newPool(t, ctx, c.Servers[0].API, "added", time.Hour)
	sameState(t, ctx, c)
	commandOK(t, ctx, c, nil, at(c.Servers[2], "save", "-stale", second)...)
	for _, file := range []string{first, second} {
		commandOK(t, ctx, c, nil, "operator", "snapshot", "verify", file)
	}
	summary := new(snapshotSummary)
	commandOK(t, ctx, c, summary, "operator", "snapshot", "inspect", "-json", first)
	if summary.Nodes.Total != 10 || summary.Index != saved.Index || summary.ArchiveSize != int64(saved.Size) {
		t.Errorf("inspect finds %d nodes at index %d in %d bytes, want 10 at %d in %d", summary.Nodes.Total, summary.Index, summary.ArchiveSize, saved.Index, saved.Size)
	}
	if text, code := command(t, ctx, c, "operator", "snapshot", "diff", first, first); code != 0 {
		t.Errorf("a snapshot differs from itself: code %d: %s", code, text)
	}
	if text, code := command(t, ctx, c, "operator", "snapshot", "diff", first, second); code != 6 || !strings.Contains(text, "+ added") {
		t.Errorf("diff: code %d, want 6 and the pool that was added: %s", code, text)
	}

	commandOK(t, ctx, c, nil, at(c.Servers[0], "restore", "-yes", first)...)
	if after := sameState(t, ctx, c); after.Digest != before.Digest {
		t.Errorf("digest %s after the restore, %s before the save", after.Digest, before.Digest)
	}
}

// The log of a stopped server comes to the state that it had, whether from its snapshot or from an earlier index.
func TestAStoppedServersLogReplaysToItsState(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, fewEntries+"\n"+slowHeartbeats)
	fleet := newFleet(t, ctx, c, dir+"/fleet", FleetAdd{Count: 20, Servers: c.RPCAddrs()})
	must(t, fleet.Kill())
	for i := range 200 {
		newPool(t, ctx, c.Servers[0].API, fmt.Sprintf("pool-%d", i), time.Hour)
	}
	live := sameState(t, ctx, c)
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	if text, code := command(t, ctx, c, "operator", "raft", "replay", leader.Dir); code != 1 {
		t.Errorf("replay of a running server: code %d, want 1: %s", code, text)
	}
	archive := filepath.Join(dir, "live.snap")
	commandOK(t, ctx, c, nil, "-address="+leader.HTTP, "operator", "snapshot", "save", archive)

	for _, s := range c.Servers {
		// Each server takes its snapshots at times of its own.
		must(t, Eventually(ctx, "a snapshot of "+s.Name, time.Minute, func(context.Context) error {
			whole, err := filepath.Glob(filepath.Join(s.Dir, "server", "raft", "snapshots", "*-*-*[0-9]", "meta.json"))
			if err == nil && len(whole) == 0 {
				err = errors.New("there is none yet")
			}
			return err
		}))
		must(t, s.Kill())
		var info struct{ Configuration, Snapshots []json.RawMessage }
		commandOK(t, ctx, c, &info, "operator", "raft", "info", "-json", s.Dir)
		if len(info.Configuration) != 3 || len(info.Snapshots) == 0 {
			t.Errorf("info on %s finds %d servers and %d snapshots, want 3 and some", s.Name, len(info.Configuration), len(info.Snapshots))
		}
		var result struct {
			LastIndex  uint64
			Digest     string
			Comparison struct{ Equal bool }
		}
		commandOK(t, ctx, c, &result, "operator", "raft", "replay", "-json", "-compare", archive, s.Dir)
		if result.Digest != live.Digest || result.LastIndex < live.Index {
			t.Errorf("replay of %s comes to digest %s at index %d, live it was %s at %d", s.Name, result.Digest, result.LastIndex, live.Digest, live.Index)
		}
		if !result.Comparison.Equal {
			t.Errorf("replay of %s differs from the snapshot", s.Name)
		}
	}
	text, code := command(t, ctx, c, "operator", "raft", "logs", "-json", "-type", "NodePoolUpsert", leader.Dir)
	if code != 0 {
		t.Fatalf("logs: code %d", code)
	}
	var last struct{ Body json.RawMessage }
	for line := range strings.Lines(text) {
		must(t, json.Unmarshal([]byte(line), &last))
	}
	var body struct{ NodePools []struct{ Name string } }
	must(t, json.Unmarshal(last.Body, &body))
	if len(body.NodePools) != 1 || body.NodePools[0].Name != "pool-199" {
		t.Errorf("the last pool in the log is %s", last.Body)
	}
}
