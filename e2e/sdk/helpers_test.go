//go:build e2e

package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"github.com/rollcall-id/rollcall/e2e"
)

// limit bounds a wait for something that takes a moment; machines that run these tests may be busy.
const limit = time.Minute

// pool and class are those of the node "edge-1"; "plain-1" is in the default pool.
const (
	pool  = "edge"
	class = "metal"
)

// world is the cluster that all tests share.
var world struct {
	cluster *e2e.Cluster
	edge    *e2e.Agent
	plain   *e2e.Agent
	edgeID  string
	plainID string
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rollcall-sdk-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	err = prepare(context.Background(), dir)
	if world.cluster != nil {
		defer world.cluster.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if code != 0 {
		fmt.Fprintln(os.Stderr, world.cluster.Group.Tails(25))
	}
	return code
}

// prepare starts three servers, makes a pool and starts two nodes.
func prepare(ctx context.Context, dir string) error {
	binary, err := e2e.Build(ctx, dir)
	if err != nil {
		return err
	}
	settings := "min_heartbeat_ttl = \"1s\"\nmax_heartbeats_per_second = 1000"
	if world.cluster, err = e2e.NewCluster(e2e.ClusterConfig{Binary: binary, Dir: dir, Servers: 3, ServerBlock: settings}); err != nil {
		return err
	}
	if err := world.cluster.Start(ctx); err != nil {
		return err
	}
	if err := world.cluster.WaitVoters(ctx); err != nil {
		return err
	}
	c, err := nomad.NewClient(&nomad.Config{Address: world.cluster.Servers[0].HTTP, SecretID: world.cluster.Token})
	if err != nil {
		return err
	}
	if _, err := c.NodePools().Register(&nomad.NodePool{Name: pool, NodeIdentityTTL: time.Hour}, nil); err != nil {
		return fmt.Errorf("make pool: %w", err)
	}
	if world.edge, world.edgeID, err = startNode(ctx, e2e.AgentConfig{Name: "edge-1", Pool: pool, Class: class}); err != nil {
		return err
	}
	world.plain, world.plainID, err = startNode(ctx, e2e.AgentConfig{Name: "plain-1"})
	return err
}

// startNode starts a node and waits until it is ready.
func startNode(ctx context.Context, conf e2e.AgentConfig) (*e2e.Agent, string, error) {
	a, err := world.cluster.NewAgent(conf)
	if err != nil {
		return nil, "", err
	}
	if err := a.Start(); err != nil {
		return nil, "", err
	}
	n, err := a.WaitReady(ctx, limit, world.cluster.Servers[0].API)
	if err != nil {
		return nil, "", err
	}
	return a, n.ID, nil
}

// client talks to the first server, which need not lead.
func client(t *testing.T) *nomad.Client { return clientOf(t, world.cluster.Servers[0].HTTP) }

func clientOf(t *testing.T, address string) *nomad.Client {
	t.Helper()
	c, err := nomad.NewClient(&nomad.Config{Address: address, SecretID: world.cluster.Token})
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until check is content.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	must(t, e2e.Eventually(t.Context(), what, limit, func(context.Context) error { return check() }))
}

// wantCode checks the status and the text of an answer that is an error.
func wantCode(t *testing.T, err error, code int, text string) {
	t.Helper()
	var answer nomad.UnexpectedResponseError
	if !errors.As(err, &answer) || answer.StatusCode() != code || !strings.Contains(answer.Body(), text) {
		t.Errorf("error %v, want status %d with %q", err, code, text)
	}
}

// wantMeta checks what every read tells of itself.
func wantMeta(t *testing.T, m *nomad.QueryMeta) {
	t.Helper()
	if m == nil || m.LastIndex == 0 || !m.KnownLeader {
		t.Errorf("metadata of the read is %+v", m)
	}
}
