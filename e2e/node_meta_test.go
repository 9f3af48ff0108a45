//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Metadata that is applied to a running node, through a server that the node has no connection to, is in its record, survives a
// restart of its agent, and goes again.
func TestAppliedMetadataReachesTheRecordAndSurvivesARestart(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, "")
	must(t, c.WaitVoters(ctx))
	a := newAgents(t, c, AgentConfig{Name: "node", Servers: []string{c.Servers[0].RPC}})[0]
	_, err := a.WaitReady(ctx, time.Minute, c.Servers[0].API)
	must(t, err)
	id, err := a.NodeID(ctx)
	must(t, err)

	other := c.Servers[2].API
	hasRack := func(want string) func(context.Context) error {
		return func(ctx context.Context) error {
			res, err := other.Node(ctx, id, nil)
			if err == nil && res.Value.Meta.Get("rack") != want {
				err = fmt.Errorf("the record's metadata is %v, want rack %q", res.Value.Meta, want)
			}
			return err
		}
	}
	rack := "r7"
	reply, err := other.ApplyNodeMeta(ctx, id, map[string]*string{"rack": &rack}, nil)
	must(t, err)
	if reply.Meta["rack"] != rack {
		t.Errorf("the node answers %v", reply.Meta)
	}
	eventually(t, ctx, "get the metadata into the record", time.Minute, hasRack(rack))

	must(t, a.Stop(ctx))
	must(t, a.Start())
	_, err = a.WaitReady(ctx, time.Minute, other)
	must(t, err)
	must(t, hasRack(rack)(ctx))
	stats, err := other.HostStats(ctx, id, nil)
	must(t, err)
	if stats.Memory == nil || stats.Memory.Total == 0 || len(stats.CPU) == 0 || stats.Uptime == 0 {
		t.Errorf("the machine tells %+v", stats)
	}
	_, err = other.ApplyNodeMeta(ctx, id, map[string]*string{"rack": nil}, nil)
	must(t, err)
	eventually(t, ctx, "get the metadata out of the record", time.Minute, hasRack(""))
}

// A debug archive of three servers is whole also when the command is interrupted.
func TestAnInterruptedDebugOfAClusterIsWhole(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, "")
	archive := filepath.Join(dir, "debug.tar.gz")
	g := newGroup(t, filepath.Join(dir, "commands"))
	args := []string{"operator", "debug", "-duration=10m", "-output=" + archive, "-address=" + c.Servers[0].HTTP}
	for _, s := range c.Servers[1:] {
		args = append(args, "-agent-address="+s.HTTP)
	}
	p, err := g.Start(Command{Name: "debug", Path: programs.rollcall, Args: args, Env: c.tokenEnv()})
	must(t, err)
	eventually(t, ctx, "begin to gather", time.Minute, func(context.Context) error {
		if !strings.Contains(p.Log(), "Gathering from 3 agents") {
			return fmt.Errorf("it says %q", p.Log())
		}
		return nil
	})
	must(t, p.Signal(syscall.SIGINT))
	if code, err := p.Exit(ctx); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, p.Log())
	}
	list, err := exec.CommandContext(ctx, "tar", "-tzf", archive).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, list)
	}
	for _, s := range c.Servers {
		name := fmt.Sprintf("rollcall-debug/intervals/0001/servers/%s.global/digest.json", s.Name)
		if !strings.Contains(string(list), name) {
			t.Errorf("there is no %s in:\n%s", name, list)
		}
	}
}
