package client

import (
	"strings"
	"testing"

	"github.com/rollcall-id/rollcall/host"
	"github.com/rollcall-id/rollcall/structs"
)

func FuzzWhatServersAsk(f *testing.F) {
	seed := func(method string, req any) {
		body, err := structs.EncodeBytes(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(method, body)
	}
	for service, methods := range reverseMethods {
		for name := range methods {
			seed(service+"."+name, &structs.NodeSpecificRequest{NodeID: testNode})
		}
	}
	seed("NodeMeta.Apply", &structs.NodeMetaApplyRequest{NodeID: testNode, Meta: map[string]*string{"a": new("b"), "c": nil}})
	seed("NodeMeta.Apply", map[string]any{"NodeID": testNode, "Meta": map[string]any{"a": 1}})
	f.Fuzz(func(t *testing.T, method string, body []byte) {
		c := newTestClient(t, newFakeCluster("s1:4647"), new(memStore), nil)
		defer c.Shutdown()
		reply, err := reverse{c}.ServeRPC(t.Context(), nil, method, body)
		if (reply == nil) == (err == nil) {
			t.Errorf("%s: answered %v with error %v", method, reply, err)
		}
		if _, err := structs.EncodeBytes(c.Node()); err != nil {
			t.Errorf("the node can't register any more: %v", err)
		}
	})
}

// reportsOf are what an agent tells of itself; the text is of both.
type reportsOf string

func (r reportsOf) Self() ([]byte, error)    { return []byte(r), nil }
func (r reportsOf) Metrics() ([]byte, error) { return []byte(r), nil }

func TestServersAskWhatTheAgentTellsOfItself(t *testing.T) {
	for name, tc := range map[string]struct {
		reports host.Reports
		node    string
		want    string // the report; empty wants an error
	}{
		"as the agent tells it":        {reportsOf(`{"config":{}}`), testNode, `{"config":{}}`},
		"of an agent without an API":   {nil, testNode, ""},
		"meant for another node":       {reportsOf(`{}`), "148438ec-3434-7267-ff64-1e0030166023", ""},
		"more than a session can take": {reportsOf(strings.Repeat("x", host.MaxNodeReportBytes+1)), testNode, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestClient(t, newFakeCluster("s1:4647"), new(memStore), func(cfg *Config) { cfg.Reports = tc.reports })
			defer c.Shutdown()
			body, err := structs.EncodeBytes(&structs.AgentRequest{NodeID: tc.node})
			if err != nil {
				t.Fatal(err)
			}
			for _, method := range []string{"Agent.Self", "Agent.Metrics"} {
				reply, err := reverse{c}.ServeRPC(t.Context(), nil, method, body)
				if tc.want == "" {
					if err == nil {
						t.Errorf("%s: answered %v", method, reply)
					}
					continue
				}
				if out, ok := reply.(*structs.AgentReportResponse); err != nil || !ok || string(out.Report) != tc.want || out.AgentID != testNode {
					t.Errorf("%s: answered %+v, error %v", method, reply, err)
				}
			}
		})
	}
}
