package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-id/rollcall/e2e"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	region       = "global"
	startLimit   = time.Minute
	startPoll    = 50 * time.Millisecond
	minHeartbeat = 20_000 // calls in the phases that change nothing, however small the fleet
)

// measureCluster starts three servers with their data in dir and drives a fleet of that size through all phases.
func measureCluster(ctx context.Context, dir string, nodes, callers int) (_ []result, err error) {
	dir = filepath.Join(dir, fmt.Sprint(nodes))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	group, err := e2e.NewGroup(dir)
	if err != nil {
		return nil, err
	}
	defer group.Close()
	cluster, err := startServers(ctx, group, dir)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, group.Tails(20))
	}
	addrs := cluster.rpc
	pools := newPools(poolsPerServer)
	defer closePools(pools)
	if err := waitForLeader(ctx, pools[0], addrs); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, group.Tails(20))
	}
	f, err := newFleet(region, nodes)
	if err != nil {
		return nil, err
	}
	before, err := leaderOf(ctx, pools[0], addrs[0])
	if err != nil {
		return nil, err
	}
	phase := func(name string, calls int, one func(context.Context, caller, int) error) result {
		return drive(ctx, name, addrs, pools, callers, nodes, calls, one)
	}
	steady := max(nodes, minHeartbeat)
	results := []result{
		phase("register, each with an identity", nodes, f.register),
		phase("first ready", nodes, func(ctx context.Context, c caller, i int) error { return f.heartbeat(ctx, c, i, false) }),
		phase("steady heartbeat", steady, func(ctx context.Context, c caller, i int) error { return f.heartbeat(ctx, c, i, false) }),
		phase("forced renewal", steady, func(ctx context.Context, c caller, i int) error { return f.heartbeat(ctx, c, i, true) }),
	}
	after, err := leaderOf(ctx, pools[0], addrs[0])
	if err != nil {
		return nil, err
	}
	if before != after {
		return nil, fmt.Errorf("leadership moved from %s to %s under load\n%s", before, after, group.Tails(20))
	}
	for i, p := range cluster.procs {
		rss, err := p.Memory()
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "server %d: %d MiB resident\n", i+1, rss>>20)
	}
	return results, ctx.Err()
}

// servers are the processes of a cluster and how to reach them, in the same order.
type servers struct {
	bin   string
	procs []*e2e.Process
	rpc   []string
	http  []string
	data  []string
}

// leader is the place of the server that leads.
func (c *servers) leader(ctx context.Context, pool *transport.Pool) (int, error) {
	addr, err := leaderOf(ctx, pool, c.rpc[0])
	if err != nil {
		return 0, err
	}
	if i := slices.Index(c.rpc, addr); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("the leader %q is none of the servers", addr)
}

func startServers(ctx context.Context, group *e2e.Group, dir string) (*servers, error) {
	bin, err := e2e.Build(ctx, dir)
	if err != nil {
		return nil, err
	}
	c := &servers{bin: bin}
	var join string
	for i := range 3 {
		var ports [3]int
		for k := range ports {
			if ports[k], err = e2e.FreePort(); err != nil {
				return nil, err
			}
		}
		if i == 0 {
			join = fmt.Sprintf("127.0.0.1:%d", ports[2])
		}
		name := fmt.Sprintf("s%d", i+1)
		conf, data := filepath.Join(dir, name+".hcl"), filepath.Join(dir, name)
		text := strings.NewReplacer("NAME", name, "DATA", data, "HTTP", fmt.Sprint(ports[0]),
			"RPC", fmt.Sprint(ports[1]), "SERF", fmt.Sprint(ports[2]), "JOIN", join).Replace(serverConfig)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			return nil, err
		}
		p, err := group.Start(e2e.Command{Name: name, Path: bin, Args: []string{"agent", "-config=" + conf}})
		if err != nil {
			return nil, err
		}
		c.procs, c.data = append(c.procs, p), append(c.data, data)
		c.http = append(c.http, fmt.Sprintf("127.0.0.1:%d", ports[0]))
		c.rpc = append(c.rpc, fmt.Sprintf("127.0.0.1:%d", ports[1]))
	}
	return c, nil
}

// serverConfig is a server of a three-server cluster on loopback, with the defaults of a real one but for the
// bound on connections from one address, which is where all of the load comes from.
const serverConfig = `
name      = "NAME"
data_dir  = "DATA"
bind_addr = "127.0.0.1"
log_level = "warn"
ports {
  http = HTTP
  rpc  = RPC
  serf = SERF
}
server {
  enabled          = true
  bootstrap_expect = 3
  server_join {
    retry_join     = ["JOIN"]
    retry_interval = "1s"
  }
}
limits {
  rpc_max_conns_per_client = 0
}
`

// waitForLeader waits until every server knows the same leader and it serves.
func waitForLeader(ctx context.Context, pool *transport.Pool, addrs []string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(startPoll)
	defer tick.Stop()
	for {
		err := ready(ctx, pool, addrs)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster did not come up: %w", err)
		case <-tick.C:
		}
	}
}

func ready(ctx context.Context, pool *transport.Pool, addrs []string) error {
	for _, addr := range addrs {
		leader, err := leaderOf(ctx, pool, addr)
		if err != nil {
			return err
		}
		if leader == "" {
			return fmt.Errorf("%s knows no leader", addr)
		}
		req := &structs.GenericRequest{QueryOptions: structs.QueryOptions{Region: region}}
		if err := pool.Call(ctx, addr, "Keyring.List", req, &structs.KeyringListResponse{}); err != nil {
			return err
		}
	}
	return nil
}

func leaderOf(ctx context.Context, pool *transport.Pool, addr string) (string, error) {
	var leader string
	err := pool.Call(ctx, addr, "Status.Leader", &structs.GenericRequest{}, &leader)
	return leader, err
}
