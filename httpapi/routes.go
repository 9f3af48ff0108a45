package httpapi

// routeTable is every route of the API. put routes take POST as well, as clients count on.
var routeTable = []route{
	{get, "/v1/nodes", listNodes},
	{get, "/v1/node/{id}", getNode},
	{get, "/v1/node/{id}/allocations", listNodeAllocations},
	{put, "/v1/node/{id}/drain", drainNode},
	{put, "/v1/node/{id}/eligibility", setNodeEligibility},
	{put, "/v1/node/{id}/evaluate", evaluateNode},
	{put, "/v1/node/{id}/purge", purgeNode},

	{get, "/v1/node/pools", listNodePools},
	{put, "/v1/node/pools", upsertNodePool},
	{get, "/v1/node/pool/{name}", getNodePool},
	{put, "/v1/node/pool/{name}", upsertNodePool},
	{del, "/v1/node/pool/{name}", deleteNodePool},
	{get, "/v1/node/pool/{name}/nodes", listNodePoolNodes},
	{get, "/v1/node/pool/{name}/jobs", listNodePoolJobs},

	{get, "/v1/client/identity", getIdentity},
	{put, "/v1/client/identity/renew", renewIdentity},

	{get, "/v1/operator/keyring/keys", listKeys},
	{put, "/v1/operator/keyring/rotate", rotateKey},
	{del, "/v1/operator/keyring/key/{id}", deleteKey},

	{get, "/v1/operator/raft/configuration", getRaftConfiguration},
	{del, "/v1/operator/raft/peer", removeRaftPeer},
	{put, "/v1/operator/raft/transfer-leadership", transferLeadership},
	{get, "/v1/operator/autopilot/configuration", getAutopilotConfiguration},
	{putOnly, "/v1/operator/autopilot/configuration", setAutopilotConfiguration},
	{get, "/v1/operator/autopilot/health", getServerHealth},
	{get, "/v1/operator/scheduler/configuration", getSchedulerConfiguration},
	{put, "/v1/operator/scheduler/configuration", setSchedulerConfiguration},
	{get, "/v1/operator/digest", getStateDigest},
	{get, "/v1/operator/license", getLicense},
	{get, "/v1/operator/snapshot", saveSnapshot},
	{put, "/v1/operator/snapshot", restoreSnapshot},

	{get, "/v1/status/leader", getLeader},
	{get, "/v1/status/peers", listPeers},
	{get, "/v1/regions", listRegions},

	{get, "/v1/agent/self", getAgent},
	{get, "/v1/agent/members", listMembers},
	{get, "/v1/agent/health", getAgentHealth},
	{put, "/v1/agent/join", joinServers},
	{put, "/v1/agent/force-leave", forceLeave},
	{get, "/v1/agent/servers", listServers},
	{put, "/v1/agent/servers", setServers},

	{putOnly, "/v1/system/gc", collectGarbage},
	{get, "/v1/metrics", getMetrics},
	{get, "/v1/volumes", listVolumes},

	{get, "/.well-known/jwks.json", getJWKS},
	{get, "/.well-known/openid-configuration", getOpenIDConfiguration},
}
