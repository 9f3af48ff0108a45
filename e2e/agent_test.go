//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// One process, no files: a node with an identity before one has finished reading the first line of its log.
func TestADevelopmentAgentIsReadyInThreeSeconds(t *testing.T) {
	ctx, dir := scenario(t)
	group := newGroup(t, dir)
	var ports [3]int
	var err error
	for i := range ports {
		ports[i], err = FreePort()
		must(t, err)
	}
	conf, err := writeConfig(dir, "ports", fmt.Sprintf("ports {\n  http = %d\n  rpc = %d\n  serf = %d\n}\n", ports[0], ports[1], ports[2]))
	must(t, err)
	a, err := api.New(api.Config{Address: "http://" + loopback(ports[0])})
	must(t, err)
	t.Cleanup(a.Close)

	start := time.Now()
	p, err := group.Start(Command{Name: "dev", Path: programs.rollcall, Args: []string{"agent", "-dev", "-config=" + conf}})
	must(t, err)
	eventually(t, ctx, "get the agent ready", 3*time.Second, func(ctx context.Context) error {
		list, err := nodes(ctx, a)
		if err != nil {
			return err
		}
		for _, n := range list {
			if n.Status != structs.NodeStatusReady {
				return fmt.Errorf("node is %s", n.Status)
			}
			_, err := a.NodeIdentity(ctx, n.ID, nil)
			return err
		}
		return errors.New("there is no node")
	})
	t.Logf("ready after %s", time.Since(start).Round(time.Millisecond))
	must(t, p.Stop(ctx))
}

// Two processes on the same files would destroy them.
func TestASecondProcessOnADataDirectoryIsRefused(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 1, "")
	a := newAgents(t, c, AgentConfig{Name: "node-1"})[0]
	_, err := a.WaitReady(ctx, 30*time.Second, c.Servers[0].API)
	must(t, err)

	for name, want := range map[string]string{"server": c.Servers[0].Dir, "client": a.Dir} {
		second := prepareCluster(t, filepath.Join(dir, "second-"+name), 1, "")
		var text string
		if name == "server" {
			text = serverTwin(second, c.Servers[0].Dir)
		} else {
			twin, err := second.NewAgent(AgentConfig{Name: "twin"})
			must(t, err)
			t.Cleanup(twin.API.Close)
			twin.Dir = a.Dir
			text = twin.agentFile(AgentConfig{Name: "twin", Servers: c.RPCAddrs()})
		}
		conf, err := writeConfig(dir, "twin-"+name, text)
		must(t, err)
		p, err := second.Group.Start(Command{Name: "twin-" + name, Path: programs.rollcall, Args: []string{"agent", "-config=" + conf}})
		must(t, err)
		code, err := exitIn(ctx, p, 20*time.Second)
		must(t, err)
		if log := p.Log(); code != 1 || !strings.Contains(log, want) || !strings.Contains(log, "another") {
			t.Errorf("a second %s on a data directory ended with code %d, want 1 and a message that names %s and the other process\n%s", name, code, want, p.Tail(10))
		}
	}
	if !c.Servers[0].Running() || !a.Running() {
		t.Error("the first processes were disturbed")
	}
	newPool(t, ctx, c.Servers[0].API, "still-writable", time.Hour)
}

// serverTwin is the configuration of a server on another one's data.
func serverTwin(c *Cluster, dir string) string {
	s := c.Servers[0]
	s.Dir = dir
	return s.serverFile(ClusterConfig{Servers: 1}, nil, c.Issuer)
}

func exitIn(ctx context.Context, p *Process, limit time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return p.Exit(ctx)
}

func TestTerminationIsGracefulForServersAndAgents(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, "")
	a := newAgents(t, c, AgentConfig{Name: "node-1"})[0]
	_, err := a.WaitReady(ctx, 30*time.Second, c.Servers[0].API)
	must(t, err)
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	for _, p := range []*Process{a.Process, c.Followers(leader)[0].Process, leader.Process} {
		limited, cancel := context.WithTimeout(ctx, 20*time.Second)
		err := p.Stop(limited)
		cancel()
		if err != nil {
			t.Error(err)
		}
	}
}

// SIGHUP changes the log level; a broken file, and one with changes that need a restart, change nothing and say why.
func TestHangupReloadsTheLogLevel(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 1, "")
	s := c.Servers[0]
	before, err := os.ReadFile(s.Config)
	must(t, err)
	reload := func(text, want string) {
		t.Helper()
		must(t, os.WriteFile(s.Config, []byte(text), 0o600))
		must(t, s.Signal(syscall.SIGHUP))
		eventually(t, ctx, "reload", 10*time.Second, func(context.Context) error {
			if !s.Running() {
				return Final(errors.New("the server has ended"))
			}
			if !strings.Contains(s.Log(), want) {
				return fmt.Errorf("the log does not say %q", want)
			}
			return nil
		})
	}
	if strings.Contains(s.Log(), "[DEBUG]") {
		t.Fatal("the log is at debug level from the start")
	}
	reload("nonsense = true\n"+string(before), s.Config+":1")
	reload("log_level = \"debug\"\ndatacenter = \"elsewhere\"\n"+string(before), `settings=["datacenter"]`)
	if strings.Contains(s.Log(), "configuration reloaded") || strings.Contains(s.Log(), "[DEBUG]") {
		t.Errorf("a configuration that can't be reloaded as a whole was in part\n%s", s.Tail(10))
	}
	reload("log_level = \"debug\"\n"+string(before), "configuration reloaded")
	eventually(t, ctx, "log at debug level", 30*time.Second, func(ctx context.Context) error {
		if _, err := nodes(ctx, s.API); err != nil {
			return err
		}
		if !strings.Contains(s.Log(), "[DEBUG]") {
			return errors.New("no line of that level")
		}
		return nil
	})
}

func TestABrokenConfigurationIsRefusedWithFileAndLine(t *testing.T) {
	tests := []struct {
		name string
		text string
		want []string // besides the file
	}{
		{"an unknown setting is named with its line", "data_dir = \"/tmp/x\"\nbind_adr = \"127.0.0.1\"\n", []string{":2", "bind_adr", "bind_addr"}},
		{"a wrong type is named with its line", "client {\n  enabled = true\n  servers = 12\n}\n", []string{":3", "servers"}},
		{"broken syntax is named with its line", "server {\n  enabled = true\n", []string{":"}},
		{"a value that can't be is named with its line", "data_dir = \"/tmp/x\"\nserver {\n  enabled = true\n  bootstrap_expect = -1\n}\n", []string{":4", "bootstrap_expect"}},
	}
	ctx, dir := scenario(t)
	group := newGroup(t, dir)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			name := fmt.Sprintf("broken-%d", i)
			conf, err := writeConfig(dir, name, test.text)
			must(t, err)
			for _, args := range [][]string{{"agent", "-config=" + conf}, {"config", "validate", conf}} {
				p, err := group.Start(Command{Name: name + "-" + args[0], Path: programs.rollcall, Args: args})
				must(t, err)
				code, err := exitIn(ctx, p, 10*time.Second)
				must(t, err)
				if code != 1 {
					t.Errorf("rollcall %s ended with code %d, want 1", args[0], code)
				}
				for _, want := range append(test.want, conf) {
					if !strings.Contains(p.Log(), want) {
						t.Errorf("rollcall %s says %q, want it to contain %q", args[0], p.Log(), want)
					}
				}
			}
		})
	}
}
