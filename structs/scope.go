package structs

// NodeScoped is a request that may be made in a node's name.
type NodeScoped interface {
	// IsFor reports whether the request is about no node but this one.
	IsFor(nodeID string) bool
}

// PoolScoped is a request about certain node pools.
type PoolScoped interface {
	// Pools are the names of the pools, as they came.
	Pools() []string
}

// TopicScoped is a request about certain topics of the event stream.
type TopicScoped interface {
	// EventTopics are the topics, as they came.
	EventTopics() []string
}

// IsFor is true of a request without a node, too: it is malformed, which the endpoint says.
func (r *NodeRegisterRequest) IsFor(nodeID string) bool { return r.Node == nil || r.Node.ID == nodeID }

// IsFor is true of a request without a node, too: it is malformed, which the endpoint says.
func (r *NodeUpdateStatusRequest) IsFor(nodeID string) bool {
	return r.NodeID == "" || r.NodeID == nodeID
}

// IsFor compares the node of the request.
func (r *NodeUpdateDrainRequest) IsFor(nodeID string) bool { return r.NodeID == nodeID }

// IsFor compares the node of the request.
func (r *NodeSpecificRequest) IsFor(nodeID string) bool { return r.NodeID == nodeID }

// IsFor is false of a request that has an event of another node among others.
func (r *EmitNodeEventsRequest) IsFor(nodeID string) bool {
	for id := range r.NodeEvents { // map order: one that differs is enough
		if id != nodeID {
			return false
		}
	}
	return true
}

// IsFor is always true: the caller is all that names the node.
func (r *AllocsGetRequest) IsFor(string) bool { return true }

// IsFor is always true: the caller is all that names the node.
func (r *NodeUpdateAllocRequest) IsFor(string) bool { return true }

// Pools is the pool of the request.
func (r *NodePoolSpecificRequest) Pools() []string { return []string{r.Name} }

// Pools is the pool of the request.
func (r *NodePoolNodesRequest) Pools() []string { return []string{r.Name} }

// Pools is the pool of the request.
func (r *NodePoolJobsRequest) Pools() []string { return []string{r.Name} }

// Pools are the pools that are to be written.
func (r *NodePoolUpsertRequest) Pools() []string {
	names := make([]string, 0, len(r.NodePools))
	for _, p := range r.NodePools {
		if p != nil {
			names = append(names, p.Name)
		}
	}
	return names
}

// Pools are the pools that are to be deleted.
func (r *NodePoolDeleteRequest) Pools() []string { return r.Names }

var (
	_ NodeScoped = (*NodeRegisterRequest)(nil)
	_ NodeScoped = (*NodeUpdateStatusRequest)(nil)
	_ PoolScoped = (*NodePoolUpsertRequest)(nil)
)
