//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// loadgenFolder holds an independent client of the wire protocol, where somebody has put it beside the checkout.
const loadgenFolder = "../shared/tools/fleetload"

// A client that shares no code with this project runs a whole fleet against the cluster, and every answer suits it.
func TestAnIndependentClientRunsAFleetWithoutAnError(t *testing.T) {
	ctx, dir := scenario(t)
	root, err := moduleRoot(ctx)
	must(t, err)
	source := filepath.Join(root, loadgenFolder)
	if _, err := os.Stat(filepath.Join(source, "go.mod")); err != nil {
		t.Skipf("SKIPPED, NOTHING WAS TESTED: there is no independent client in %s", source)
	}
	program := filepath.Join(dir, "fleetload")
	copied := filepath.Join(dir, "source")
	must(t, os.CopyFS(copied, os.DirFS(source)))
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir, build.Env = copied, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the independent client: %v\n%s", err, out)
	}

	c := newPlainCluster(t, ctx, dir, 3, "")
	must(t, c.WaitVoters(ctx))
	const count = 200
	run := exec.CommandContext(ctx, program, "-addrs="+strings.Join(c.RPCAddrs(), ","), fmt.Sprintf("-nodes=%d", count), "-conc=16", "-conns=6")
	run.SysProcAttr = attributes()
	out, err := run.Output()
	if err != nil {
		t.Errorf("the independent client: %v\n%s", err, out)
	}
	phases := map[string]int{} // identities handed out in each
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		var result struct {
			Phase, First_error string
			N, Errors, Tokens  int
		}
		must(t, json.Unmarshal(lines.Bytes(), &result))
		t.Log(lines.Text())
		if result.Errors != 0 || result.N != count {
			t.Errorf("phase %s: %d calls, %d errors, want %d and none; the first: %s", result.Phase, result.N, result.Errors, count, result.First_error)
		}
		phases[result.Phase] = result.Tokens
	}
	for phase, want := range map[string]int{"register": count, "ready": 0, "heartbeat": 0, "renew": count} {
		if got, ran := phases[phase]; !ran || got != want {
			t.Errorf("phase %s handed out %d identities (ran: %t), want %d", phase, got, ran, want)
		}
	}
	eventually(t, ctx, "list the fleet", testLimit, func(ctx context.Context) error {
		list, err := nodes(ctx, c.Servers[2].API)
		if err == nil && len(list) != count {
			err = fmt.Errorf("%d nodes, want %d", len(list), count)
		}
		return err
	})
}
