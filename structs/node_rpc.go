package structs

import "time"

// NodeRegisterRequest is Node.Register and Raft type 0.
type NodeRegisterRequest struct {
	Node           *Node
	NodeEvent      *NodeEvent
	CreateNodePool bool
	WriteRequest
}

// NodeUpdateStatusRequest is Node.UpdateStatus and Raft type 2.
type NodeUpdateStatusRequest struct {
	NodeID               string
	Status               string
	IdentitySigningKeyID string // set by the server; empty leaves the node's as it is
	ForceIdentityRenewal bool
	NodeEvent            *NodeEvent
	UpdatedAt            int64 // Unix seconds
	WriteRequest

	// IdentityTTL is ours, see Node; it goes with IdentitySigningKeyID.
	IdentityTTL time.Duration
}

// NodeServerInfo is how an agent reaches one server.
type NodeServerInfo struct {
	RPCAdvertiseAddr string // ip:port
	RPCMajorVersion  int32
	RPCMinorVersion  int32
	Datacenter       string
}

// NodeUpdateResponse is the reply of Register, UpdateStatus, Evaluate and Deregister (wire.md §2.3).
type NodeUpdateResponse struct {
	HeartbeatTTL          time.Duration
	EvalIDs               []string
	EvalCreateIndex       uint64
	NodeModifyIndex       uint64
	Features              uint64
	LeaderRPCAddr         string
	NumNodes              int32
	Servers               []*NodeServerInfo
	SchedulingEligibility string
	SignedIdentity        *string
	QueryMeta
}

// NodeDeregisterRequest is Node.Deregister and Raft type 1.
type NodeDeregisterRequest struct {
	NodeID string
	WriteRequest
}

// NodeBatchDeregisterRequest is Node.BatchDeregister and Raft type 31.
type NodeBatchDeregisterRequest struct {
	NodeIDs []string
	WriteRequest
}

// MaxNodesPerDeregister bounds one NodeBatchDeregisterRequest.
const MaxNodesPerDeregister = 7281

// NodeUpdateDrainRequest is Node.UpdateDrain and Raft type 3.
type NodeUpdateDrainRequest struct {
	NodeID        string
	DrainStrategy *DrainStrategy
	MarkEligible  bool
	NodeEvent     *NodeEvent
	UpdatedAt     int64
	Meta          map[string]string
	UpdatedBy     string
	WriteRequest
}

// DrainUpdate is one node's part of a BatchNodeUpdateDrainRequest.
type DrainUpdate struct {
	DrainStrategy *DrainStrategy
	MarkEligible  bool
}

// BatchNodeUpdateDrainRequest is Raft type 29.
type BatchNodeUpdateDrainRequest struct {
	Updates    map[string]*DrainUpdate
	NodeEvents map[string]*NodeEvent
	UpdatedAt  int64
	WriteRequest
}

// NodeUpdateEligibilityRequest is Node.UpdateEligibility and Raft type 28.
type NodeUpdateEligibilityRequest struct {
	NodeID      string
	Eligibility string
	NodeEvent   *NodeEvent
	UpdatedAt   int64
	WriteRequest
}

// NodeChangeResponse is the reply of UpdateDrain and UpdateEligibility.
type NodeChangeResponse struct {
	NodeModifyIndex uint64
	EvalIDs         []string
	EvalCreateIndex uint64
	WriteMeta
}

// EmitNodeEventsRequest is Node.EmitEvents and Raft type 25.
type EmitNodeEventsRequest struct {
	NodeEvents map[string][]*NodeEvent
	WriteRequest
}

// NodeEvaluateRequest is Node.Evaluate.
type NodeEvaluateRequest struct {
	NodeID string
	WriteRequest
}

// NodeListRequest is Node.List.
type NodeListRequest struct {
	Fields *NodeStubFields
	QueryOptions
}

// NodeListResponse is the reply of Node.List and NodePool.ListNodes.
type NodeListResponse struct {
	Nodes []*NodeListStub
	QueryMeta
}

// NodeSpecificRequest is Node.GetNode, Node.GetAllocs, Node.GetClientAllocs, NodeIdentity.* and
// Status.HasNodeConn.
type NodeSpecificRequest struct {
	NodeID   string
	SecretID string
	QueryOptions
}

// SingleNodeResponse is the reply of Node.GetNode; Node is nil when there is none.
type SingleNodeResponse struct {
	Node *Node
	QueryMeta
}

// NodeAllocsResponse is the reply of Node.GetAllocs, empty in a cluster without allocations.
type NodeAllocsResponse struct {
	Allocs []Raw
	QueryMeta
}

// NodeClientAllocsResponse is the reply of Node.GetClientAllocs.
type NodeClientAllocsResponse struct {
	Allocs        map[string]uint64
	MigrateTokens map[string]string
	QueryMeta
}

// AllocsGetRequest is Alloc.GetAllocs.
type AllocsGetRequest struct {
	AllocIDs []string
	QueryOptions
}

// AllocsGetResponse is the reply of Alloc.GetAllocs.
type AllocsGetResponse struct {
	Allocs           []Raw
	SignedIdentities []Raw
	QueryMeta
}

// NodeUpdateAllocRequest is Node.UpdateAlloc.
type NodeUpdateAllocRequest struct {
	Alloc []Raw
	Evals []Raw
	WriteRequest
}

// NodeIdentityGetResponse is the reply of NodeIdentity.Get: the claims as decoded JSON.
type NodeIdentityGetResponse struct {
	Claims map[string]any
}

// NodeConnResponse is the reply of Status.HasNodeConn.
type NodeConnResponse struct {
	Connected   bool
	Established time.Time
	QueryMeta
}
