package rpc

import (
	"strings"
	"testing"

	"github.com/rollcall-id/rollcall/structs"
)

func TestQuestionsForAgents(t *testing.T) {
	w := newFleet(t, func(c *Config) { c.NodeName, c.EnableDebug = "s1.global", true })
	w.cluster.members = []*structs.ServerMember{
		{Name: "s2.global", Tags: map[string]string{"id": "id-2", "port": "4647", "region": region}, Addr: []byte{10, 0, 0, 2}},
	}
	other := newFleet(t, func(c *Config) { c.NodeName, c.EnableDebug = "s2.global", true })
	other.cluster.members = w.cluster.members
	w.pool.worlds = map[string]*world{"10.0.0.2:4647": other}
	host := func(change func(*structs.AgentRequest)) (*structs.AgentHostResponse, error) {
		req := &structs.AgentRequest{QueryOptions: query("")}
		change(req)
		return call[structs.AgentHostResponse](w, "Agent.Host", req)
	}
	for id, agent := range map[string]string{
		"": "s1.global", "leader": "s1.global",
		"id-2": "s2.global", "s2.global": "s2.global", "s2": "s2.global",
	} {
		got := must(host(func(r *structs.AgentRequest) { r.ServerID = id }))(t)
		if got.AgentID != agent || got.HostData == nil || got.HostData.OS == "" {
			t.Errorf("server %q: answered by %q with %+v", id, got.AgentID, got.HostData)
		}
	}
	_, err := host(func(r *structs.AgentRequest) { r.ServerID = "s9.global" })
	wantError(t, err, nil, "unknown Nomad server s9.global")
	_, err = host(func(r *structs.AgentRequest) { r.ServerID, r.NodeID = "s1", nodeID(1) })
	wantCode(t, err, 400)
	_, err = host(func(r *structs.AgentRequest) { r.NodeID = nodeID(77) })
	wantCode(t, err, 404)
	_, err = host(func(r *structs.AgentRequest) { r.NodeID = nodeID(1) })
	wantError(t, err, structs.ErrNoNodeConn)
	_, err = host(func(r *structs.AgentRequest) { r.ServerID, r.Forwarded = "s2", true })
	wantError(t, err, nil, "unknown Nomad server s2")
	for method, report := range map[string]string{"Agent.Self": `{"self":"s2.global"}`, "Agent.Metrics": `{"metrics":"s2.global"}`} {
		req := &structs.AgentRequest{ServerID: "s2", QueryOptions: query("")}
		got := must(call[structs.AgentReportResponse](w, method, req))(t)
		if got.AgentID != "s2.global" || string(got.Report) != report {
			t.Errorf("%s of s2: %q says %s", method, got.AgentID, got.Report)
		}
		_, err := call[structs.AgentReportResponse](w, method, &structs.AgentRequest{ServerID: "s9", QueryOptions: query("")})
		wantError(t, err, nil, "unknown Nomad server s9")
		wantCode(t, err, 404)
		w.srv.deps.Reports = nil
		_, err = call[structs.AgentReportResponse](w, method, &structs.AgentRequest{QueryOptions: query("")})
		wantCode(t, err, 503)
		w.srv.deps.Reports = fixedReports("s1.global")
	}
	other.operator.digest = "of s2"
	digest := func(change func(*structs.AgentRequest)) (*structs.StateDigest, error) {
		req := &structs.AgentRequest{ServerID: "s2", QueryOptions: query("")}
		req.AllowStale = true
		change(req)
		return call[structs.StateDigest](w, "Operator.StateDigest", req)
	}
	if got := must(digest(func(*structs.AgentRequest) {}))(t); got.Digest != "of s2" {
		t.Errorf("the digest of s2 is %+v", got)
	}
	_, err = digest(func(r *structs.AgentRequest) { r.AllowStale = false })
	wantCode(t, err, 400)
	_, err = digest(func(r *structs.AgentRequest) { r.ServerID, r.NodeID = "", nodeID(1) })
	wantCode(t, err, 400)
	w.leader.follows("")
	_, err = host(func(r *structs.AgentRequest) { r.ServerID = "leader" })
	wantError(t, err, structs.ErrNoLeader)
}

func TestProfilesOfServers(t *testing.T) {
	ask := func(w *world, change func(*structs.AgentProfileRequest)) (*structs.AgentProfileResponse, error) {
		req := &structs.AgentProfileRequest{Kind: "goroutine", Debug: 2, AgentRequest: structs.AgentRequest{QueryOptions: query("")}}
		change(req)
		return call[structs.AgentProfileResponse](w, "Agent.Profile", req)
	}
	w := newWorld(t, func(c *Config) { c.EnableDebug = true })
	got := must(ask(w, func(*structs.AgentProfileRequest) {}))(t)
	if !got.Text || !strings.Contains(string(got.Payload), "TestProfilesOfServers") {
		t.Errorf("answered %.100q", got.Payload)
	}
	for name, tc := range map[string]struct {
		change func(*structs.AgentProfileRequest)
		code   int
	}{
		"one that there is not":        {func(r *structs.AgentProfileRequest) { r.Kind = "cats" }, 404},
		"one that would run for hours": {func(r *structs.AgentProfileRequest) { r.Seconds = 3600 }, 400},
		"one into the past":            {func(r *structs.AgentProfileRequest) { r.Seconds = -1 }, 400},
		"a long one of a node":         {func(r *structs.AgentProfileRequest) { r.NodeID, r.Seconds = nodeID(1), 30 }, 400},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(w, tc.change)
			wantCode(t, err, tc.code)
		})
	}
	_, err := ask(newWorld(t), func(*structs.AgentProfileRequest) {})
	wantCode(t, err, 403)
}

// fixedReports name the agent that they are of.
type fixedReports string

func (r fixedReports) Self() ([]byte, error) { return []byte(`{"self":"` + string(r) + `"}`), nil }
func (r fixedReports) Metrics() ([]byte, error) {
	return []byte(`{"metrics":"` + string(r) + `"}`), nil
}
