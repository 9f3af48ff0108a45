package rpc

import "github.com/rollcall-id/rollcall/acl"

// accessTable says who may call each method, unary and streaming. What is not in it can't be registered, and the
// documents show it (docs/acl.md).
var accessTable = map[string]Access{
	// What is public: without it nobody finds a server, or verifies an identity.
	"Status.Ping":        {By: ByAnyone},
	"Status.Leader":      {By: ByAnyone},
	"Status.Peers":       {By: ByAnyone},
	"Region.List":        {By: ByAnyone},
	"Keyring.ListPublic": {By: ByAnyone},
	"Keyring.GetConfig":  {By: ByAnyone},

	// Nothing is in it, which is no secret.
	"Absent.List": {By: ByAnyone},

	"Status.RaftStats":     {By: ByServer},
	"Keyring.ServerStatus": {By: ByServer},

	// What nodes do in their own name.
	"Node.Register":        {By: ByRegistrant},
	"Node.UpdateStatus":    {By: ByNode, Mint: true},
	"Node.EmitEvents":      {By: ByNode},
	"Node.GetClientAllocs": {By: ByNode},
	"Node.UpdateAlloc":     {By: ByNode},
	"Alloc.GetAllocs":      {By: ByNode},

	"Status.Members":         read(acl.NodeRead),
	"Status.HasNodeConn":     read(acl.NodeRead).orSelf(), // asked between servers, for whom NodeIdentity.Get is asked
	"Node.List":              read(acl.NodeRead),
	"Node.GetNode":           read(acl.NodeRead).orSelf(),
	"Node.GetAllocs":         read(acl.NodeRead).orSelf(),
	"Node.Deregister":        change(acl.NodeWrite),
	"Node.BatchDeregister":   change(acl.NodeWrite),
	"Node.UpdateDrain":       change(acl.NodeWrite).orSelf(),
	"Node.UpdateEligibility": change(acl.NodeWrite),
	"Node.Evaluate":          change(acl.NodeWrite),

	"NodeIdentity.Get":   read(acl.NodeRead).orSelf(),
	"NodeIdentity.Renew": change(acl.NodeWrite),
	"NodeMeta.Read":      read(acl.NodeRead).orSelf(),
	"NodeMeta.Apply":     change(acl.NodeWrite),
	"ClientStats.Stats":  read(acl.NodeRead).orSelf(),

	"NodePool.List":            {By: ByOperator, Needs: []acl.Capability{acl.PoolRead}, Filtered: true, NodesRead: true},
	"NodePool.GetNodePool":     read(acl.PoolRead),
	"NodePool.ListNodes":       read(acl.NodeRead, acl.PoolRead),
	"NodePool.ListJobs":        read(acl.PoolRead),
	"NodePool.UpsertNodePools": change(acl.PoolWrite),
	"NodePool.DeleteNodePools": change(acl.PoolDelete),

	"Keyring.List":   read(acl.KeyringRead),
	"Keyring.Rotate": change(acl.KeyringRotate),
	"Keyring.Delete": change(acl.KeyringDelete),
	"Keyring.Status": change(acl.KeyringRead),
	"Keyring.Rewrap": change(acl.KeyringRotate),

	"ACL.CreateClientIntroductionToken": change(acl.NodeWrite),

	// The bootstrap works once, and the secrets that the next two take are credentials themselves.
	"ACL.Bootstrap":            Access{By: ByAnyone}.onlyACLs(),
	"ACL.ResolveToken":         Access{By: ByAnyone}.onlyACLs(),
	"ACL.ExchangeOneTimeToken": Access{By: ByAnyone}.onlyACLs(),
	"ACL.WhoAmI":               Access{By: ByCaller}.onlyACLs(),
	"ACL.GetPolicies":          Access{By: ByCaller}.onlyACLs(),
	"ACL.GetClaimPolicies":     Access{By: ByCaller}.onlyACLs(),
	"ACL.GetToken":             Access{By: ByToken}.onlyACLs(),
	"ACL.ListPolicies":         Access{By: ByToken}.onlyACLs(),
	"ACL.GetPolicy":            Access{By: ByToken}.onlyACLs(),
	"ACL.ListRoles":            Access{By: ByToken}.onlyACLs(),
	"ACL.GetRolesByID":         Access{By: ByToken}.onlyACLs(),
	"ACL.GetRoleByID":          Access{By: ByToken}.onlyACLs(),
	"ACL.GetRoleByName":        Access{By: ByToken}.onlyACLs(),
	"ACL.UpsertOneTimeToken":   Access{By: ByToken}.onlyACLs(),
	"ACL.ListTokens":           change(acl.Management).onlyACLs(),
	"ACL.GetTokens":            change(acl.Management).onlyACLs(),
	"ACL.UpsertTokens":         change(acl.Management).onlyACLs(),
	"ACL.DeleteTokens":         change(acl.Management).onlyACLs(),
	"ACL.UpsertPolicies":       change(acl.Management).onlyACLs(),
	"ACL.DeletePolicies":       change(acl.Management).onlyACLs(),
	"ACL.UpsertRoles":          change(acl.Management).onlyACLs(),
	"ACL.DeleteRolesByID":      change(acl.Management).onlyACLs(),

	"Operator.RaftGetConfiguration":      read(acl.Management),
	"Operator.RaftRemovePeerByID":        change(acl.Management),
	"Operator.TransferLeadershipToPeer":  change(acl.Management),
	"Operator.AutopilotGetConfiguration": read(acl.OperatorRead),
	"Operator.AutopilotSetConfiguration": change(acl.OperatorWrite),
	"Operator.ServerHealth":              read(acl.OperatorRead),
	"Operator.StateDigest":               read(acl.OperatorRead),
	"Operator.SchedulerGetConfiguration": read(acl.OperatorRead),
	"Operator.SchedulerSetConfiguration": change(acl.OperatorWrite),
	"Operator.SnapshotSave":              change(acl.SnapshotSave),
	"Operator.SnapshotRestore":           change(acl.Management),

	"Agent.Self":    change(acl.AgentRead),
	"Agent.Metrics": change(acl.AgentRead),
	"Agent.Host":    read(acl.AgentRead),
	"Agent.Profile": change(acl.AgentWrite),

	"System.GarbageCollect":        change(acl.Management),
	"System.ReconcileJobSummaries": change(acl.Management),

	"Agent.Monitor": change(acl.AgentRead),

	// What each topic asks for is in event_access.go.
	"Event.Stream": {By: ByOperator, Topics: true, NodesRead: true},

	"Search.PrefixSearch":      {By: ByOperator, Needs: []acl.Capability{acl.NodeRead, acl.PoolRead}, Filtered: true, NodesRead: true},
	"Search.FuzzySearch":       {By: ByOperator, Needs: []acl.Capability{acl.NodeRead, acl.PoolRead}, Filtered: true, NodesRead: true},
	"Namespace.ListNamespaces": read(acl.NodeRead),
	"Namespace.GetNamespace":   read(acl.NodeRead),
}

// read is for what operators look at, and with ACLs off nodes as well.
func read(needs ...acl.Capability) Access {
	return Access{By: ByOperator, Needs: needs, NodesRead: true}
}

// change is for what operators do. No identity, a node's neither, is enough for it.
func change(needs ...acl.Capability) Access { return Access{By: ByOperator, Needs: needs} }

// onlyACLs refuses it where ACLs are off.
func (a Access) onlyACLs() Access {
	a.OnlyACLs = true
	return a
}

// orSelf lets a node do it, too, to itself.
func (a Access) orSelf() Access {
	a.Self = true
	return a
}
