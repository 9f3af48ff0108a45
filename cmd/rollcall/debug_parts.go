package main

import (
	"maps"
	"net/http"
	"net/url"
)

// debugPart is one file of a debug archive and the request whose answer it is.
type debugPart struct {
	file   string
	path   string
	params url.Values
	accept []int // statuses besides 200 that come with what is wanted
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
		{file: "cluster/members.json", path: "/v1/agent/members", params: pretty},
		{file: "cluster/regions.json", path: "/v1/regions", params: pretty},
		{file: "cluster/autopilot-configuration.json", path: "/v1/operator/autopilot/configuration", params: pretty},
		{file: "cluster/scheduler-configuration.json", path: "/v1/operator/scheduler/configuration", params: pretty},
		{file: "cluster/keys.json", path: "/v1/operator/keyring/keys", params: pretty},
		{file: "cluster/node-pools.json", path: "/v1/node/pools", params: pretty},
		{file: "cluster/nodes.json", path: "/v1/nodes", params: pretty},
	}
	eachInterval = []debugPart{
		{file: "leader.json", path: "/v1/status/leader", params: pretty},
		{file: "raft-configuration.json", path: "/v1/operator/raft/configuration", params: pretty},
		{file: "autopilot-health.json", path: "/v1/operator/autopilot/health", params: pretty, accept: []int{http.StatusTooManyRequests}},
		{file: "digest.json", path: "/v1/operator/digest", params: pretty},
	}
)

// eachInterval is what changes of the agent.
func (a *debugAgent) eachInterval() []debugPart {
	parts := []debugPart{{file: "metrics.json", path: "/v1/metrics", params: pretty}, {file: "self.json", path: "/v1/agent/self", params: pretty}}
	if a.server {
		parts = append(parts, debugPart{file: "digest.json", path: "/v1/operator/digest", params: url.Values{"stale": {""}, "pretty": {""}}})
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
		{file: "host.json", path: "/v1/agent/host", params: pretty},
		{file: "goroutines.txt", path: "/v1/agent/pprof/goroutine", params: url.Values{"debug": {"2"}}},
		{file: "heap.prof", path: "/v1/agent/pprof/heap", params: url.Values{}},
		{file: "profile.prof", path: "/v1/agent/pprof/profile", params: url.Values{"seconds": {seconds(d.v.Duration("pprof-duration"))}}},
	}
	for i, p := range parts {
		parts[i] = p.in(a.name)
	}
	return a.asked(parts)
}
