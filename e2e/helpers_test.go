//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/internal/leak"
	"github.com/rollcall-id/rollcall/structs"
)

// testLimit bounds every scenario but those that say otherwise.
const testLimit = 4 * time.Minute

// programs are built once for all tests.
var programs struct{ rollcall, fleet string }

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if plan := os.Getenv(attackVariable); plan != "" {
		fmt.Fprintln(os.Stderr, carryOut(plan))
		return 1
	}
	dir, err := os.MkdirTemp("", "rollcall-e2e-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := prepare(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	before := goleak.IgnoreCurrent() // the thread that starts processes stays
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(append(leak.Ignored(), before)...); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// prepare builds the programs and sees that they start.
func prepare(ctx context.Context, dir string) (err error) {
	if programs.rollcall, err = Build(ctx, dir); err != nil {
		return err
	}
	if programs.fleet, err = BuildFleet(ctx, dir); err != nil {
		return err
	}
	g, err := NewGroup(dir)
	if err != nil {
		return err
	}
	defer g.Close()
	p, err := g.Start(Command{Name: "version", Path: programs.rollcall, Args: []string{"version"}})
	if err != nil {
		return err
	}
	if code, err := p.Exit(ctx); err != nil || code != 0 {
		return fmt.Errorf("rollcall version ended with code %d: %w\n%s", code, err, p.Log())
	}
	return nil
}

// scenario gives a test its folder and its deadline. When the test fails, the ends of all logs are printed.
func scenario(t *testing.T) (context.Context, string) {
	t.Helper()
	return longScenario(t, testLimit)
}

// longScenario is scenario for one that takes longer.
func longScenario(t *testing.T, limit time.Duration) (context.Context, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	dir, err := os.MkdirTemp("", "rollcall-e2e-*")
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("ROLLCALL_E2E_KEEP") == "1" {
			t.Logf("kept %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return ctx, dir
}

// newCluster starts servers, whose server block gets the given settings.
func newCluster(t *testing.T, ctx context.Context, dir string, servers int, settings string) *Cluster {
	t.Helper()
	c := prepareCluster(t, dir, servers, settings)
	must(t, c.Start(ctx))
	return c
}

// newPlainCluster is newCluster without TLS and access control, for scenarios that speak to the RPC port themselves.
func newPlainCluster(t *testing.T, ctx context.Context, dir string, servers int, settings string) *Cluster {
	t.Helper()
	c := configure(t, ClusterConfig{Dir: dir, Servers: servers, ServerBlock: settings, Plain: true})
	must(t, c.Start(ctx))
	return c
}

// prepareCluster configures servers without starting them.
func prepareCluster(t *testing.T, dir string, servers int, settings string) *Cluster {
	t.Helper()
	return configure(t, ClusterConfig{Dir: dir, Servers: servers, ServerBlock: settings})
}

func configure(t *testing.T, conf ClusterConfig) *Cluster {
	t.Helper()
	conf.Binary = programs.rollcall
	c, err := NewCluster(conf)
	must(t, err)
	t.Cleanup(func() {
		c.Close()
		checkLogs(t, c.Group)
	})
	return c
}

// checkLogs fails a test whose processes crashed or raced (see ROLLCALL_E2E_RACE), and shows the logs of one that failed.
func checkLogs(t *testing.T, g *Group) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(g.logDir, "*.log"))
	if err != nil {
		t.Error(err)
	}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		for _, trouble := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE"} {
			if _, after, found := strings.Cut(string(text), trouble); found {
				t.Errorf("%s: %s%s", filepath.Base(path), trouble, after[:min(len(after), 4000)])
			}
		}
	}
	if t.Failed() {
		t.Log(g.Tails(25))
	}
}

// newGroup is for processes outside of a cluster.
func newGroup(t *testing.T, dir string) *Group {
	t.Helper()
	g, err := NewGroup(filepath.Join(dir, "logs"))
	must(t, err)
	t.Cleanup(func() {
		g.Close()
		checkLogs(t, g)
	})
	return g
}

// newAgents starts one agent a name.
func newAgents(t *testing.T, c *Cluster, confs ...AgentConfig) []*Agent {
	t.Helper()
	var out []*Agent
	for _, conf := range confs {
		a, err := c.NewAgent(conf)
		must(t, err)
		t.Cleanup(a.API.Close)
		must(t, a.Start())
		out = append(out, a)
	}
	return out
}

// newPool makes a node pool with an identity TTL.
func newPool(t *testing.T, ctx context.Context, a *api.Client, name string, ttl time.Duration) {
	t.Helper()
	must(t, a.ApplyNodePool(ctx, &structs.NodePool{Name: name, NodeIdentityTTL: ttl}, nil))
}

// newFleet starts count nodes and waits until all are registered and hold an identity.
func newFleet(t *testing.T, ctx context.Context, c *Cluster, dir string, add FleetAdd) *Fleet {
	t.Helper()
	f, err := c.StartFleet(programs.fleet, dir)
	must(t, err)
	must(t, f.Add(add))
	eventually(t, ctx, "get the fleet healthy", time.Minute, func(ctx context.Context) error { return f.healthy(ctx, add.Count) })
	return f
}

func (f *Fleet) healthy(ctx context.Context, count int) error {
	s, err := f.Status(ctx)
	if err != nil {
		return err
	}
	if s.Healthy != count {
		return fmt.Errorf("%d of %d nodes are healthy; one says: %s", s.Healthy, count, s.anUnhealthy())
	}
	return nil
}

// anUnhealthy is what one of the nodes says that are not healthy.
func (s *FleetStatus) anUnhealthy() string {
	for _, folder := range slices.Sorted(maps.Keys(s.Unhealthy)) {
		return folder + ": " + s.Unhealthy[folder]
	}
	return "none"
}

func eventually(t *testing.T, ctx context.Context, what string, limit time.Duration, check func(ctx context.Context) error) {
	t.Helper()
	must(t, Eventually(ctx, what, limit, check))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// nodes lists all nodes by ID, from the leader.
func nodes(ctx context.Context, a *api.Client) (map[string]*structs.NodeListStub, error) {
	return nodesWith(ctx, a, nil)
}

func nodesWith(ctx context.Context, a *api.Client, q *api.QueryOptions) (map[string]*structs.NodeListStub, error) {
	res, err := a.Nodes(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*structs.NodeListStub, len(res.Value))
	for _, n := range res.Value {
		out[n.ID] = n
	}
	return out, nil
}

// activeKey is the root key that signs.
func activeKey(ctx context.Context, a *api.Client) (*structs.RootKeyMeta, error) {
	res, err := a.Keys(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, k := range res.Value {
		if k.State == structs.KeyStateActive {
			return k, nil
		}
	}
	return nil, errors.New("no root key is active")
}
