package httpapi

import "github.com/rollcall-id/rollcall/acl"

// routeTable is every route of the API with who may use it (access.go). put routes take POST as well, as clients count
// on.
var routeTable = []route{
	{get, "/v1/nodes", listNodes, via("Node.List")},
	{get, "/v1/node/{id}", getNode, via("Node.GetNode")},
	{get, "/v1/node/{id}/allocations", listNodeAllocations, via("Node.GetAllocs")},
	{put, "/v1/node/{id}/drain", drainNode, via("Node.UpdateDrain")},
	{put, "/v1/node/{id}/eligibility", setNodeEligibility, via("Node.UpdateEligibility")},
	{put, "/v1/node/{id}/evaluate", evaluateNode, via("Node.Evaluate")},
	{put, "/v1/node/{id}/purge", purgeNode, via("Node.Deregister")},

	{get, "/v1/node/pools", listNodePools, via("NodePool.List")},
	{put, "/v1/node/pools", upsertNodePool, via("NodePool.UpsertNodePools")},
	{get, "/v1/node/pool/{name}", getNodePool, via("NodePool.GetNodePool")},
	{put, "/v1/node/pool/{name}", upsertNodePool, via("NodePool.UpsertNodePools")},
	{del, "/v1/node/pool/{name}", deleteNodePool, via("NodePool.DeleteNodePools")},
	{get, "/v1/node/pool/{name}/nodes", listNodePoolNodes, via("NodePool.ListNodes")},
	{get, "/v1/node/pool/{name}/jobs", listNodePoolJobs, via("NodePool.ListJobs")},

	{get, "/v1/client/identity", getIdentity, via("NodeIdentity.Get").orHere(acl.NodeRead)},
	{put, "/v1/client/identity/renew", renewIdentity, via("NodeIdentity.Renew").orHere(acl.NodeWrite)},
	{get, "/v1/client/metadata", getNodeMeta, via("NodeMeta.Read").orHere(acl.NodeRead)},
	{put, "/v1/client/metadata", applyNodeMeta, via("NodeMeta.Apply").orHere(acl.NodeWrite)},
	{get, "/v1/client/stats", getClientStats, via("ClientStats.Stats").orHere(acl.NodeRead)},
	{get, "/v1/client/gc", collectClientGarbage, via("Node.GetNode").orHere(acl.NodeWrite)},

	{put, "/v1/acl/identity/client-introduction-token", createIntroduction, via("ACL.CreateClientIntroductionToken")},

	{get, "/v1/operator/keyring/keys", listKeys, via("Keyring.List")},
	{put, "/v1/operator/keyring/rotate", rotateKey, via("Keyring.Rotate")},
	{del, "/v1/operator/keyring/key/{id}", deleteKey, via("Keyring.Delete")},
	{get, "/v1/operator/keyring/status", getKeyringStatus, via("Keyring.Status")},
	{put, "/v1/operator/keyring/rewrap", rewrapKeys, via("Keyring.Rewrap")},

	{get, "/v1/operator/raft/configuration", getRaftConfiguration, via("Operator.RaftGetConfiguration")},
	{del, "/v1/operator/raft/peer", removeRaftPeer, via("Operator.RaftRemovePeerByID")},
	{put, "/v1/operator/raft/transfer-leadership", transferLeadership, via("Operator.TransferLeadershipToPeer")},
	{get, "/v1/operator/autopilot/configuration", getAutopilotConfiguration, via("Operator.AutopilotGetConfiguration")},
	{putOnly, "/v1/operator/autopilot/configuration", setAutopilotConfiguration, via("Operator.AutopilotSetConfiguration")},
	{get, "/v1/operator/autopilot/health", getServerHealth, via("Operator.ServerHealth")},
	{get, "/v1/operator/scheduler/configuration", getSchedulerConfiguration, via("Operator.SchedulerGetConfiguration")},
	{put, "/v1/operator/scheduler/configuration", setSchedulerConfiguration, via("Operator.SchedulerSetConfiguration")},
	{get, "/v1/operator/digest", getStateDigest, via("Operator.StateDigest")},
	{get, "/v1/operator/license", getLicense, here(acl.OperatorRead)},
	{put, "/v1/operator/license", enterpriseOnly, public},
	{put, "/v1/operator/utilization", enterpriseOnly, public},
	{get, "/v1/operator/snapshot", saveSnapshot, via("Operator.SnapshotSave")},
	{put, "/v1/operator/snapshot", restoreSnapshot, via("Operator.SnapshotRestore")},

	{get, "/v1/status/leader", getLeader, via("Status.Leader")},
	{get, "/v1/status/peers", listPeers, via("Status.Peers")},
	{get, "/v1/regions", listRegions, via("Region.List")},

	{get, "/v1/agent/self", getAgent, here(acl.AgentRead)},
	{get, "/v1/agent/host", getHost, via("Agent.Host").orHere(acl.AgentRead)},
	{get, "/v1/agent/pprof/{kind}", getProfile, via("Agent.Profile").orHere(acl.AgentWrite)},
	{get, "/v1/agent/schedulers", listSchedulers, here(acl.AgentRead)},
	{get, "/v1/agent/schedulers/config", getSchedulerWorkers, here(acl.AgentRead)},
	{put, "/v1/agent/schedulers/config", setSchedulerWorkers, here(acl.AgentWrite)},
	{get, "/v1/agent/members", listMembers, via("Status.Members")},
	{get, "/v1/agent/health", getAgentHealth, public},
	{put, "/v1/agent/join", joinServers, here(acl.AgentWrite)},
	{put, "/v1/agent/force-leave", forceLeave, here(acl.AgentWrite)},
	{get, "/v1/agent/keyring/list", listGossipKeys, here(acl.AgentWrite)},
	{put, "/v1/agent/keyring/install", installGossipKey, here(acl.AgentWrite)},
	{put, "/v1/agent/keyring/use", useGossipKey, here(acl.AgentWrite)},
	{put, "/v1/agent/keyring/remove", removeGossipKey, here(acl.AgentWrite)},
	{get, "/v1/agent/servers", listServers, here(acl.AgentRead)},
	{put, "/v1/agent/servers", setServers, here(acl.AgentWrite)},

	{get, "/v1/agent/monitor", followLog, via("Agent.Monitor").orHere(acl.AgentRead)},

	{get, "/v1/event/stream", streamEvents, via("Event.Stream")},

	{putOnly, "/v1/system/gc", collectGarbage, via("System.GarbageCollect")},
	{putOnly, "/v1/system/reconcile/summaries", reconcileSummaries, via("System.ReconcileJobSummaries")},
	{get, "/v1/metrics", getMetrics, here(acl.AgentRead)},

	{put, "/v1/search", searchPrefix, via("Search.PrefixSearch")},
	{put, "/v1/search/fuzzy", searchFuzzy, via("Search.FuzzySearch")},
	{get, "/v1/namespaces", listNamespaces, via("Namespace.ListNamespaces")},
	{get, "/v1/namespace/{name}", getNamespace, via("Namespace.GetNamespace")},

	{get, "/v1/jobs", listAbsent, via("Absent.List")},
	{get, "/v1/job/{id}", getAbsent("job"), public},
	{get, "/v1/allocations", listAbsent, via("Absent.List")},
	{get, "/v1/allocation/{id}", getAbsent("alloc"), public},
	{get, "/v1/evaluations", listAbsent, via("Absent.List")},
	{get, "/v1/evaluation/{id}", getAbsent("eval"), public},
	{get, "/v1/deployments", listAbsent, via("Absent.List")},
	{get, "/v1/deployment/{id}", getAbsent("deployment"), public},
	{get, "/v1/services", listAbsent, via("Absent.List")},
	{get, "/v1/volumes", listAbsent, via("Absent.List")},
	{get, "/v1/plugins", listAbsent, via("Absent.List")},
	{get, "/v1/vars", listAbsent, via("Absent.List")},
	{get, "/v1/scaling/policies", listAbsent, via("Absent.List")},

	{get, "/.well-known/jwks.json", getJWKS, via("Keyring.ListPublic")},
	{get, "/.well-known/openid-configuration", getOpenIDConfiguration, via("Keyring.GetConfig")},
}
