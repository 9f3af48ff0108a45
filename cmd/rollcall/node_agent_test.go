package main

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/rollcall-id/rollcall/httpapi"
	"github.com/rollcall-id/rollcall/structs"
)

// localNode is the node of the agent that commands ask.
type localNode struct {
	httpapi.Client // what no command asks it for
	servers        []string
	renewed        int
}

func (n *localNode) NodeID() string { return node1 }

func (n *localNode) Servers() []string { return n.servers }

func (n *localNode) SetServers(addrs []string) error {
	if slices.Contains(addrs, "nonsense") {
		return errors.New(`server address "nonsense" has no port`)
	}
	n.servers = addrs
	return nil
}

func (n *localNode) Renew() { n.renewed++ }

func (n *localNode) IdentityClaims() (map[string]any, error) {
	return map[string]any{"sub": "x", "exp": float64(start.Unix())}, nil
}

func (n *localNode) NodeMeta() *structs.NodeMetaResponse {
	return &structs.NodeMetaResponse{Meta: map[string]string{"a": "b"}, Static: map[string]string{"a": "b"}}
}

func (n *localNode) ApplyNodeMeta(map[string]*string) (*structs.NodeMetaResponse, error) {
	return n.NodeMeta(), nil
}

func (n *localNode) HostStats(context.Context) (*structs.HostStats, error) { return hostStats, nil }

func (n *localNode) Stats() map[string]map[string]string {
	return map[string]map[string]string{"client": {"node_id": node1}}
}

// serveNode is serve for an agent that is a node as well, and has metrics.
func (c *cluster) serveNode(t *testing.T) *localNode {
	t.Helper()
	sink := metrics.NewInmemSink(time.Hour, time.Hour)
	sink.SetGauge([]string{"rollcall", "nodes"}, 3)
	sink.IncrCounterWithLabels([]string{"rollcall", "calls"}, 2, []metrics.Label{{Name: "method", Value: "Node.Register"}})
	sink.AddSample([]string{"rollcall", "sign"}, 0.25)
	n := &localNode{servers: []string{"10.0.0.11:4647", "10.0.0.12:4647"}}
	api, err := httpapi.New(httpapi.Config{Region: "global", Metrics: sink}, c, c, n)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	t.Setenv("ROLLCALL_ADDR", srv.URL)
	return n
}

func TestServersOfANode(t *testing.T) {
	n := newCluster().serveNode(t)
	if got := rollcall(t, "", "node", "config", "-servers"); got.code != 0 || got.out != "10.0.0.11:4647\n10.0.0.12:4647\n" {
		t.Errorf("%+v", got)
	}
	got := rollcall(t, "", "node", "config", "-update-servers", "10.0.0.13:4647")
	if got.code != 0 || got.out != "Servers replaced: 1\n" || !slices.Equal(n.servers, []string{"10.0.0.13:4647"}) {
		t.Errorf("%+v, the node has %v", got, n.servers)
	}
	if got := rollcall(t, "", "node", "config", "-update-servers", "nonsense"); got.code != 1 || !strings.Contains(got.err, "has no port") {
		t.Errorf("%+v", got)
	}
}

func TestMetricsAreShownAsTables(t *testing.T) {
	newCluster().serveNode(t)
	got := rollcall(t, "", "operator", "metrics")
	for _, line := range []string{
		"\nGauges\nName            Labels  Value\nrollcall.nodes  <none>  3\n", "\nCounters\nName            Labels                Count  Rate",
		"rollcall.calls  method=Node.Register  1 ", "\nSamples\n", "rollcall.sign  <none>  1      ",
	} {
		if !strings.Contains(got.out, line) {
			t.Errorf("there is no %q in:\n%s", line, got.out)
		}
	}
	for _, flag := range []string{"-json", "-pretty", "-format=json"} {
		if got := rollcall(t, "", "operator", "metrics", flag); got.code != 0 || !strings.Contains(got.out, `"Name": "rollcall.nodes"`) {
			t.Errorf("%s: %+v", flag, got)
		}
	}
}

func TestRequestsAreShownWithoutTheToken(t *testing.T) {
	newCluster().serve(t)
	const token = "8b1c1f04-6d6e-4a63-9d0c-0c5b3a1f2e7d"
	verbose := rollcall(t, "", "operator", "api", "-token", token, "-H", "X-Other: it's", "-verbose", "/v1/status/leader")
	for _, line := range []string{"> GET /v1/status/leader\n", "> X-Nomad-Token: <redacted>\n", "> X-Other: it's\n", "< 200 OK\n", "< Content-Type: application/json\n"} {
		if !strings.Contains(verbose.err, line) {
			t.Errorf("there is no %q in:\n%s", line, verbose.err)
		}
	}
	if verbose.out != `"10.0.0.1:4647"` {
		t.Errorf("%+v", verbose)
	}
	dry := rollcall(t, "", "operator", "api", "-dryrun", "-token", token, "-H", "X-Other: it's", "/v1/nodes")
	if want := `curl -X 'GET' -H "X-Nomad-Token: ${ROLLCALL_TOKEN}" -H 'X-Other: it'\''s' 'http://127.0.0.1:`; !strings.HasPrefix(dry.out, want) {
		t.Errorf("%s\nwant it to begin with\n%s", dry.out, want)
	}
	if all := verbose.out + verbose.err + dry.out + dry.err; strings.Contains(all, token) {
		t.Errorf("the token is shown:\n%s", all)
	}
}
