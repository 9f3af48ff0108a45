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

	"github.com/rollcall-id/rollcall/structs"
)

// replace puts the files of one set in the place of another's, the certificate before its key, as tools do.
func replaceFiles(t *testing.T, from, to *Certificates, roles ...string) {
	t.Helper()
	for _, role := range roles {
		cert, key := from.Pair(role)
		toCert, toKey := to.Pair(role)
		placeFile(t, cert, toCert)
		placeFile(t, key, toKey)
	}
}

func placeFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o600))
}

// waitLoaded waits until every server's log says n times that certificates were loaded.
func waitLoaded(t *testing.T, ctx context.Context, c *Cluster, n int) {
	t.Helper()
	eventually(t, ctx, "load the certificates", time.Minute, func(context.Context) error {
		for _, s := range c.Servers {
			if got := strings.Count(s.Log(), "certificates loaded"); got < n {
				return fmt.Errorf("%s has loaded certificates %d times, want %d", s.Name, got, n)
			}
		}
		return nil
	})
}

// A cluster's certificates, then its authority, then its gossip key are replaced while a fleet beats and an operator writes.
func TestCertificatesAuthoritiesAndGossipKeysChangeUnderLoad(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, quickHeartbeats)
	first, second := c.GossipKey, newGossipKey(t, ctx)
	must(t, c.WaitVoters(ctx))
	fleet := newFleet(t, ctx, c, dir+"/fleet", FleetAdd{Count: 20, Servers: c.RPCAddrs()})

	working, stop := context.WithCancel(ctx)
	written := make(chan error, 1)
	go func() { written <- writePools(working, c) }()

	own := c.Certificates
	must(t, own.again(dir+"/renewed"))
	replaceFiles(t, &Certificates{Dir: dir + "/renewed"}, own, "server", "client")
	waitLoaded(t, ctx, c, 1)

	next, err := NewCertificates(programs.rollcall, dir+"/next")
	must(t, err)
	before, err := os.ReadFile(own.CA())
	must(t, err)
	after, err := os.ReadFile(next.CA())
	must(t, err)
	must(t, os.WriteFile(own.CA(), append(before, after...), 0o600))
	waitLoaded(t, ctx, c, 2)
	replaceFiles(t, next, own, "server", "client")
	waitLoaded(t, ctx, c, 3)
	must(t, os.WriteFile(own.CA(), after, 0o600))
	waitLoaded(t, ctx, c, 4)

	api := c.Servers[0].API
	_, err = api.InstallGossipKey(ctx, second)
	must(t, err)
	_, err = api.UseGossipKey(ctx, second)
	must(t, err)
	_, err = api.RemoveGossipKey(ctx, first)
	must(t, err)
	keys, err := api.GossipKeys(ctx)
	must(t, err)
	if len(keys.Keys) != 1 || keys.Keys[second] != 3 {
		t.Errorf("the servers have %d gossip keys, want the new one alone at all three", len(keys.Keys))
	}

	stop()
	must(t, <-written)
	status, err := fleet.Status(ctx)
	must(t, err)
	if status.Failures != 0 {
		t.Errorf("%d heartbeats failed (%s)", status.Failures, status.anUnhealthy())
	}
	// A server that comes back has the new files only, and the others accept it.
	s := c.Servers[2]
	must(t, s.Kill())
	must(t, s.Start())
	_, err = c.WaitLeader(ctx)
	must(t, err)
}

// newGossipKey makes a key by the command for it.
func newGossipKey(t *testing.T, ctx context.Context) string {
	t.Helper()
	out, err := exec.CommandContext(ctx, programs.rollcall, "operator", "gossip", "keyring", "generate").Output()
	must(t, err)
	return strings.TrimSpace(string(out))
}

// again makes new certificates of the same authority in another folder.
func (c *Certificates) again(dir string) error {
	n := &Certificates{Dir: dir, binary: c.binary}
	key := filepath.Join(c.Dir, "nomad-agent-ca-key.pem")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(n.run("tls", "cert", "create", "-server", "-ca", c.CA(), "-key", key),
		n.run("tls", "cert", "create", "-client", "-ca", c.CA(), "-key", key))
}

// writePools changes pools through all servers, again and again until ctx ends, and returns the first failure.
func writePools(ctx context.Context, c *Cluster) error {
	for i := 0; ; i++ {
		pool := &structs.NodePool{Name: fmt.Sprintf("pool-%d", i%10), Description: fmt.Sprint(i)}
		err := c.Servers[i%len(c.Servers)].API.ApplyNodePool(context.WithoutCancel(ctx), pool, nil)
		if ctx.Err() != nil || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Without TLS and access control a fleet registers, renews, loses the leader and renews again, as it does with them.
func TestAPlainClusterServesAFleet(t *testing.T) {
	t.Parallel()
	ctx, dir := scenario(t)
	c := newPlainCluster(t, ctx, dir, 3, quickHeartbeats)
	must(t, c.WaitVoters(ctx))
	const count = 10
	fleet := newFleet(t, ctx, c, dir+"/fleet", FleetAdd{Count: count, Servers: c.RPCAddrs()})
	renewAll(t, ctx, fleet, count)

	leader, err := c.WaitLeader(ctx)
	must(t, err)
	must(t, leader.Kill())
	next, err := c.WaitLeader(ctx)
	must(t, err)
	renewAll(t, ctx, fleet, count)
	eventually(t, ctx, "get the fleet healthy without the old leader", time.Minute, func(ctx context.Context) error { return fleet.healthy(ctx, count) })
	list, err := nodes(ctx, next.API)
	must(t, err)
	if len(list) != count {
		t.Errorf("%d nodes, want %d", len(list), count)
	}
	must(t, leader.Start()) // it may be the issuer
	_, err = c.WaitLeader(ctx)
	must(t, err)
	verifyAll(t, ctx, c.Issuer, fleet.Held())
}

// renewAll has every node ask for a new identity and waits until all have one.
func renewAll(t *testing.T, ctx context.Context, f *Fleet, count int) {
	t.Helper()
	before := f.Held()
	if len(before) != count {
		t.Fatalf("%d nodes hold an identity, want %d", len(before), count)
	}
	must(t, f.Renew())
	eventually(t, ctx, "renew every identity", time.Minute, func(context.Context) error {
		for id, token := range f.Held() {
			if token.Raw == before[id].Raw {
				return fmt.Errorf("node %s holds the identity that it had", id)
			}
		}
		return nil
	})
}
