package main

import (
	"maps"
	"net/url"
)

// debugPart is one file of a debug archive and the request whose answer it is.
type debugPart struct {
	file   string
	path   string
	params url.Values
}

// in is the part in a directory.
func (p debugPart) in(dir string) debugPart {
	p.file = dir + "/" + p.file
	return p
}

var pretty = url.Values{"pretty": {""}}

// Nothing here is answered with a secret: keys come without their material, nodes without their secret, and an agent's
// configuration without what is secret in it.
var (
	oncePerCluster = []debugPart{
		{"cluster/members.json", "/v1/agent/members", pretty},
		{"cluster/regions.json", "/v1/regions", pretty},
		{"cluster/autopilot-configuration.json", "/v1/operator/autopilot/configuration", pretty},
		{"cluster/scheduler-configuration.json", "/v1/operator/scheduler/configuration", pretty},
		{"cluster/keys.json", "/v1/operator/keyring/keys", pretty},
		{"cluster/node-pools.json", "/v1/node/pools", pretty},
		{"cluster/nodes.json", "/v1/nodes", pretty},
	}
	eachInterval = []debugPart{
		{"leader.json", "/v1/status/leader", pretty},
		{"raft-configuration.json", "/v1/operator/raft/configuration", pretty},
		{"autopilot-health.json", "/v1/operator/autopilot/health", pretty},
		{"digest.json", "/v1/operator/digest", pretty},
	}
)

// eachInterval is what changes of the agent.
func (a *debugAgent) eachInterval() []debugPart {
	parts := []debugPart{{"metrics.json", "/v1/metrics", pretty}, {"self.json", "/v1/agent/self", pretty}}
	if a.server {
		parts = append(parts, debugPart{"digest.json", "/v1/operator/digest", url.Values{"stale": {""}, "pretty": {""}}})
	}
	return a.asked(parts)
}

// asked says in each part whom the asked agent is to ask.
func (a *debugAgent) asked(parts []debugPart) []debugPart {
	for i, p := range parts {
		params := maps.Clone(p.params)
		maps.Copy(params, a.params)
		parts[i].params = params
	}
	return parts
}

// oncePerAgent are the agent's machine and profiles.
func (d *debugRun) oncePerAgent(a *debugAgent) []debugPart {
	parts := []debugPart{
		{"host.json", "/v1/agent/host", pretty},
		{"goroutines.txt", "/v1/agent/pprof/goroutine", url.Values{"debug": {"2"}}},
		{"heap.prof", "/v1/agent/pprof/heap", url.Values{}},
		{"profile.prof", "/v1/agent/pprof/profile", url.Values{"seconds": {seconds(d.v.Duration("pprof-duration"))}}},
	}
	for i, p := range parts {
		parts[i] = p.in(a.name)
	}
	return a.asked(parts)
}
