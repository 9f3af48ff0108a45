//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// admission is a cluster that asks for introductions, and a fleet before it.
type admission struct {
	*Cluster
	fleet *Fleet
	dir   string // of the fleet
}

// newAdmission starts three servers that enforce introductions so far, and a fleet without nodes.
func newAdmission(t *testing.T, ctx context.Context, dir, enforcement string) *admission {
	t.Helper()
	settings := fastHeartbeats + "\nclient_introduction {\nenforcement = \"" + enforcement + "\"\n}"
	a := &admission{Cluster: prepareCluster(t, dir, 3, settings), dir: filepath.Join(dir, "fleet")}
	for _, s := range a.Servers {
		appendConfig(t, s.Config, "telemetry {\n  prometheus_metrics = true\n  disable_hostname = true\n}\n")
	}
	must(t, a.Start(ctx))
	must(t, a.WaitVoters(ctx))
	var err error
	a.fleet, err = a.StartFleet(programs.fleet, a.dir)
	must(t, err)
	return a
}

// add starts nodes.
func (a *admission) add(t *testing.T, nodes ...FleetNode) {
	t.Helper()
	must(t, a.fleet.Add(FleetAdd{Nodes: nodes, Servers: a.RPCAddrs()}))
}

// introduce makes introductions by HTTP, through all servers and many at a time, and returns them in order.
func (a *admission) introduce(t *testing.T, ctx context.Context, ins ...api.Introduction) []string {
	t.Helper()
	const callers = 32
	tokens, errs := make([]string, len(ins)), make([]error, len(ins))
	var work sync.WaitGroup
	for caller := range callers {
		work.Go(func() {
			for i := caller; i < len(ins); i += callers {
				tokens[i], errs[i] = a.Servers[i%len(a.Servers)].API.CreateIntroduction(ctx, ins[i], nil)
			}
		})
	}
	work.Wait()
	for _, err := range errs {
		must(t, err)
	}
	return tokens
}

// idOf is the ID of the node in that folder, whether any server has heard of it or not; empty before it has been started.
func (a *admission) idOf(folder string) (string, error) {
	text, err := os.ReadFile(filepath.Join(a.dir, folder, "client-id"))
	return strings.TrimSpace(string(text)), err
}

// refused waits until the fleet's nodes in these folders, and no others, are not registered, and say why.
func (a *admission) refused(t *testing.T, ctx context.Context, want map[string]string) {
	t.Helper()
	eventually(t, ctx, "see that only some nodes are refused", 2*time.Minute, func(ctx context.Context) error {
		s, err := a.fleet.Status(ctx)
		if err != nil {
			return err
		}
		got := slices.Sorted(maps.Keys(s.Unhealthy))
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), got); diff != "" && len(got) < 2*len(want)+10 {
			return fmt.Errorf("other nodes are not healthy (-want +got):\n%s", diff)
		} else if diff != "" {
			return fmt.Errorf("%d nodes are not healthy; one says: %s", len(got), s.anUnhealthy())
		}
		for folder, reason := range want {
			if text := s.Unhealthy[folder]; !strings.HasPrefix(text, "node is not registered: ") || !strings.HasSuffix(text, reason) {
				return fmt.Errorf("%s says %q, want that it is not registered because of: %s", folder, text, reason)
			}
		}
		return nil
	})
}

// names are the nodes that the leader knows, by their names, which must be those of different nodes.
func (a *admission) names(t *testing.T, ctx context.Context) map[string]*structs.NodeListStub {
	t.Helper()
	list, err := nodes(ctx, a.Servers[0].API)
	must(t, err)
	out := make(map[string]*structs.NodeListStub, len(list))
	for _, n := range list {
		if out[n.Name] != nil {
			t.Errorf("two nodes are called %s", n.Name)
		}
		out[n.Name] = n
	}
	return out
}

// pools are the names of all node pools, sorted.
func (a *admission) pools(t *testing.T, ctx context.Context) []string {
	t.Helper()
	res, err := a.Servers[0].API.NodePools(ctx, nil)
	must(t, err)
	var out []string
	for _, p := range res.Value {
		out = append(out, p.Name)
	}
	return slices.Sorted(slices.Values(out))
}

// allReady waits until every node that the leader knows is ready.
func (a *admission) allReady(t *testing.T, ctx context.Context, count int) {
	t.Helper()
	eventually(t, ctx, "get every node ready", time.Minute, func(ctx context.Context) error {
		list, err := nodes(ctx, a.Servers[0].API)
		if err != nil {
			return err
		}
		if len(list) != count {
			return fmt.Errorf("%d nodes, want %d", len(list), count)
		}
		for id, n := range list {
			if n.Status != structs.NodeStatusReady {
				return fmt.Errorf("node %s is %s", id, n.Status)
			}
		}
		return nil
	})
}

// allVerify fails unless each node holds an identity that a stranger accepts and that says what the record says.
func (a *admission) allVerify(t *testing.T, ctx context.Context, list map[string]*structs.NodeListStub) {
	t.Helper()
	v, err := NewVerifier(ctx, a.Issuer)
	must(t, err)
	held := a.fleet.Held()
	for _, n := range list {
		claims, err := v.Verify(ctx, held[n.ID].Raw)
		if err != nil {
			t.Errorf("node %s: %v", n.Name, err)
			continue
		}
		text := func(claim string) string { s, _ := claims[claim].(string); return s }
		got := [3]string{text("nomad_node_pool"), text("nomad_node_class"), text("nomad_node_datacenter")}
		if want := [3]string{n.NodePool, n.NodeClass, n.Datacenter}; got != want || text("nomad_node_id") != n.ID {
			t.Errorf("the identity of %s says %q, its record %q", n.Name, got, want)
		}
	}
}

// violations are the registrations that all servers have counted as being without a matching introduction, since they started.
func (a *admission) violations(t *testing.T, ctx context.Context) (sum int) {
	t.Helper()
	const name = "rollcall_client_introduction_violation_num "
	for _, s := range a.Running() {
		var text strings.Builder
		must(t, s.API.PrometheusMetrics(ctx, &text))
		for line := range strings.Lines(text.String()) {
			value, found := strings.CutPrefix(line, name)
			if !found {
				continue
			}
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			must(t, err)
			sum += int(n)
		}
	}
	return sum
}

var violationLine = regexp.MustCompile(
	`\[WARN\] .*: node registers without a matching introduction: node_id=(\S+) node_pool=(\S+) enforcement=(\S+) denied=(\S+)(?: others_not_logged=(\d+))?`)

// violation is one log line about a node that was not introduced.
type violation struct{ nodeID, pool, enforcement, denied string }

// logged are the lines about such nodes that all servers have written, and how many they say to have left out.
func (a *admission) logged(t *testing.T) (lines []violation, leftOut int) {
	t.Helper()
	for _, s := range a.Servers {
		for _, m := range violationLine.FindAllStringSubmatch(s.Log(), -1) {
			lines = append(lines, violation{m[1], m[2], m[3], m[4]})
			if m[5] != "" {
				n, err := strconv.Atoi(m[5])
				must(t, err)
				leftOut += n
			}
		}
	}
	return lines, leftOut
}

// tampered is a token with one of its claims changed and the signature left as it was.
func tampered(t *testing.T, token, claim, value string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a token has %d parts", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(t, err)
	var claims map[string]any
	must(t, json.Unmarshal(payload, &claims))
	claims[claim] = value
	payload, err = json.Marshal(claims)
	must(t, err)
	parts[1] = base64.RawURLEncoding.EncodeToString(payload)
	return strings.Join(parts, ".")
}
