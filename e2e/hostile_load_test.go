//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/e2e/wire"
)

const (
	// hostileGrowth is how much memory a server may take more, in bytes, while it is attacked within its limits.
	hostileGrowth = 64 << 20
	// hostileRounds are pairs of a quiet and an attacked phase, whose medians are compared.
	hostileRounds = 5
	// hostilePhase is how long a phase is measured.
	hostilePhase = 1500 * time.Millisecond
	// hostileChange is how long after a change of phases nothing is measured: all connections of an attack are there by then.
	hostileChange = 1500 * time.Millisecond
	// hostileTries are how often all of it is measured before it counts: other programs use this machine, too.
	hostileTries = 5
)

// Hostile clients at other addresses leave heartbeats and renewals as fast as they were, to within a factor of two, and the
// servers' memory as it was, to within 64 MiB.
func TestHostileClientsSlowNobodyDown(t *testing.T) {
	ctx, dir := scenario(t)
	c := prepareCluster(t, dir, 3, quickHeartbeats)
	for _, s := range c.Servers {
		limitPerAddress(t, s.Config)
		must(t, s.Start())
	}
	_, err := c.WaitLeader(ctx)
	must(t, err)
	must(t, c.WaitVoters(ctx))
	fleet := newFleet(t, ctx, c, dir+"/fleet", FleetAdd{Count: 20, Servers: c.RPCAddrs()})
	p := newProbes(t, ctx, c, 12)
	p.measure(ctx) // warms everything up
	base := memoryOf(t, c)

	var ratio float64
	var peak []int64
	for range hostileTries {
		var quiet, attacked []time.Duration
		for range hostileRounds {
			quiet = append(quiet, p.measure(ctx))
			attacker := attack(t, c)
			attacked = append(attacked, p.measure(ctx))
			peak = maxOf(peak, memoryOf(t, c))
			if !attacker.Running() {
				t.Fatalf("the attacker has ended:\n%s", attacker.Tail(20))
			}
			must(t, attacker.Kill())
		}
		ratio = float64(median(attacked)) / float64(median(quiet))
		t.Logf("the slowest hundredth took %v in quiet phases and %v in others: %.2f times as long", quiet, attacked, ratio)
		if ratio <= 2 {
			break
		}
	}
	if ratio > 2 {
		t.Errorf("calls took %.2f times as long, want twice at most", ratio)
	}
	for i, s := range c.Servers {
		t.Logf("%s: %d MiB before, %d MiB at most", s.Name, base[i]>>20, peak[i]>>20)
		if peak[i]-base[i] > hostileGrowth {
			t.Errorf("%s grew by %d MiB, want %d at most", s.Name, (peak[i]-base[i])>>20, hostileGrowth>>20)
		}
	}
	p.stop(t)
	status, err := fleet.Status(ctx)
	must(t, err)
	if status.Failures != 0 || status.Healthy != 20 {
		t.Errorf("%d of 20 nodes are healthy, and %d heartbeats failed: %s", status.Healthy, status.Failures, status.anUnhealthy())
	}
	refusals(t, ctx, c)
}

// limitPerAddress has a server count what one address takes, as it does unless it is told otherwise, and wait less long.
func limitPerAddress(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	const none = "  rpc_max_conns_per_client = 0\n  http_max_conns_per_client = 0\n"
	limits := "  rpc_max_conns_per_client = 100\n  http_max_conns_per_client = 100\n  rpc_handshake_timeout = \"1500ms\"\n  rpc_frame_timeout = \"1s\"\n" +
		"  http_header_timeout = \"1500ms\"\n  http_body_timeout = \"1s\"\n"
	if !strings.Contains(string(text), none) {
		t.Fatalf("the configuration has no limits to replace:\n%s", text)
	}
	more := "telemetry {\n  prometheus_metrics = true\n  disable_hostname = true\n}\n"
	must(t, os.WriteFile(path, []byte(strings.Replace(string(text), none, limits, 1)+more), 0o600))
}

// refusals holds the servers' counters to what was done: each limit that was reached has counted.
func refusals(t *testing.T, ctx context.Context, c *Cluster) {
	t.Helper()
	var all strings.Builder
	for _, s := range c.Servers {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.HTTP+"/v1/metrics?format=prometheus", nil)
		must(t, err)
		c.authorize(req)
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		_, err = io.Copy(&all, io.LimitReader(res.Body, maxAnswer))
		must(t, errors.Join(err, res.Body.Close()))
	}
	for _, name := range []string{"rpc_conns_refused", "http_conns_refused", "rpc_timeouts", "rpc_malformed", "http_timeouts", "http_bodies_refused"} {
		if !strings.Contains(all.String(), "\nrollcall_limits_"+name+" ") {
			t.Errorf("no server has counted %s", name)
		}
	}
}

// probes are nodes that beat and renew all the time, and measure how long that takes.
type probes struct {
	work   sync.WaitGroup
	cancel context.CancelFunc

	mu   sync.Mutex // guards the fields below
	took []time.Duration
	err  error
}

// newProbes registers nodes, each by its own connection, and has them beat.
func newProbes(t *testing.T, ctx context.Context, c *Cluster, count int) *probes {
	t.Helper()
	p := &probes{}
	ctx, p.cancel = context.WithCancel(ctx)
	t.Cleanup(func() {
		p.cancel()
		p.work.Wait()
	})
	conf := c.Certificates.insecure(t)
	for i := range count {
		s, err := wire.DialTLS(ctx, c.Servers[i%len(c.Servers)].RPC, conf)
		must(t, err)
		a := &actor{t: t, vars: map[string]any{"node": randomID(), "secret": randomID(), "name": fmt.Sprintf("probe-%d", i)}}
		reply, err := s.Call("Node.Register", a.fill(registration(newNode("2.0.5"), "")).(wire.Map), 0)
		must(t, err)
		a.vars["identity"] = reply.(wire.Map)["SignedIdentity"]
		p.work.Go(func() {
			defer s.Close()
			for n := 0; ctx.Err() == nil; n++ {
				start := time.Now()
				_, err := s.Call("Node.UpdateStatus", a.fill(heartbeat("$identity", n%4 == 0)).(wire.Map), 0)
				p.note(time.Since(start), err)
				if err != nil {
					return
				}
				wait(ctx, 10*time.Millisecond+rand.N(10*time.Millisecond))
			}
		})
	}
	return p
}

func randomID() string {
	var e evidence
	return e.plantUUID("")
}

func (p *probes) note(took time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took = append(p.took, took)
	p.err = errors.Join(p.err, err)
}

// measure returns how long the slowest hundredth of calls of one phase took at least.
func (p *probes) measure(ctx context.Context) time.Duration {
	wait(ctx, hostileChange)
	p.mu.Lock()
	p.took = nil
	p.mu.Unlock()
	wait(ctx, hostilePhase)
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.Sort(p.took)
	if len(p.took) == 0 {
		return time.Hour // nobody was served
	}
	return p.took[len(p.took)*99/100]
}

func (p *probes) stop(t *testing.T) {
	t.Helper()
	p.cancel()
	p.work.Wait()
	if p.err != nil {
		t.Errorf("heartbeats failed: %v", p.err)
	}
}

func median(d []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}

func memoryOf(t *testing.T, c *Cluster) []int64 {
	t.Helper()
	var out []int64
	for _, s := range c.Servers {
		m, err := s.Memory()
		must(t, err)
		out = append(out, m)
	}
	return out
}

func maxOf(a, b []int64) []int64 {
	out := slices.Clone(b)
	for i := range a {
		out[i] = max(a[i], b[i])
	}
	return out
}

// insecure is a node's TLS configuration that does not look at whom it speaks to.
func (c *Certificates) insecure(t *testing.T) *tls.Config {
	t.Helper()
	cert, key := c.Pair("client")
	pair, err := tls.LoadX509KeyPair(cert, key)
	must(t, err)
	return &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} //nolint:gosec // the servers are ours
}
