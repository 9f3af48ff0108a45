//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Agents are introduced in each of the ways that there are, by what the command prints. One has to wait for it, says so, and
// takes it when it comes.
func TestAgentsTakeTheirIntroductionFromWhereItIs(t *testing.T) {
	t.Parallel()
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 1, quickHeartbeats+"\nclient_introduction {\nenforcement = \"strict\"\n}")
	server := c.Servers[0]
	agents := map[string]*Agent{}
	for _, name := range []string{"by-flag", "by-environment", "waiting"} {
		a, err := c.NewAgent(AgentConfig{Name: name, Class: "own"})
		must(t, err)
		t.Cleanup(a.API.Close)
		agents[name] = a
	}
	wrong := introduction(t, ctx, server, "somebody-else")
	must(t, agents["by-flag"].StartWith(nil, "-client-intro-token="+introduction(t, ctx, server, "by-flag")))
	must(t, agents["by-environment"].StartWith([]string{"ROLLCALL_CLIENT_INTRO_TOKEN=" + introduction(t, ctx, server, "by-environment")},
		"-client-intro-token="+wrong))
	waiting := agents["waiting"]
	must(t, waiting.Start())
	for _, name := range []string{"by-flag", "by-environment"} {
		wantIntroduced(t, ctx, agents[name], server)
	}

	eventually(t, ctx, "have the agent say that it is refused", 30*time.Second, func(ctx context.Context) error {
		err := waiting.healthy(ctx)
		if err == nil || !strings.Contains(err.Error(), "500 Internal Server Error") || !strings.Contains(err.Error(), "node is not registered: rpc error: Permission denied") {
			return fmt.Errorf("its health is %v, want that it is not registered because it is denied", err)
		}
		if !strings.Contains(waiting.Log(), `registration failed: error="rpc error: Permission denied" retry_in=`) {
			return errors.New("its log does not say so")
		}
		return nil
	})
	list, err := nodes(ctx, server.API)
	must(t, err)
	if len(list) != 2 {
		t.Errorf("%d nodes, want the two that were introduced", len(list))
	}
	file := filepath.Join(waiting.StateDir(), "intro_token.jwt")
	must(t, os.WriteFile(file, []byte(introduction(t, ctx, server, "waiting")+"\n"), 0o600))
	wantIntroduced(t, ctx, waiting, server)

	// Once it is in it needs no introduction any more.
	must(t, os.Remove(file))
	must(t, waiting.Stop(ctx))
	must(t, waiting.Start())
	wantIntroduced(t, ctx, waiting, server)
}

// healthy asks the agent how its node is; without it being well the answer is an error.
func (a *Agent) healthy(ctx context.Context) error {
	var health any
	return GetJSON(ctx, a.HTTP+"/v1/agent/health?type=client", &health)
}

// introduction makes an introduction by the command, which prints it.
func introduction(t *testing.T, ctx context.Context, s *Server, name string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, programs.rollcall, "node", "intro", "create", "-node-name", name, "-node-class", "metal", "-node-dc", "dc7")
	cmd.Env = append(os.Environ(), s.Env()...)
	out, err := cmd.Output()
	must(t, err)
	return strings.TrimSpace(string(out))
}

// wantIntroduced waits until the agent says that it is registered and its node is ready, and holds that to its introduction.
func wantIntroduced(t *testing.T, ctx context.Context, a *Agent, s *Server) {
	t.Helper()
	eventually(t, ctx, "see "+a.Name+" registered", time.Minute, a.healthy)
	n, err := a.WaitReady(ctx, time.Minute, s.API)
	must(t, err)
	if n.Name != a.Name || n.NodeClass != "metal" || n.Datacenter != "dc7" {
		t.Errorf("node %s has class %s in datacenter %s, want metal in dc7", n.Name, n.NodeClass, n.Datacenter)
	}
}
