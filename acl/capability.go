package acl

// Capability is one thing that a policy may allow.
type Capability string

// The capabilities that methods and routes ask for. The names are those of the policy's block and word.
const (
	NodeRead   Capability = "node:read"
	NodeWrite  Capability = "node:write"
	AgentRead  Capability = "agent:read"
	AgentWrite Capability = "agent:write"

	OperatorRead  Capability = "operator:read"
	OperatorWrite Capability = "operator:write"
	SnapshotSave  Capability = "operator:snapshot-save"
	KeyringRead   Capability = "operator:keyring-read"
	KeyringRotate Capability = "operator:keyring-rotate"
	KeyringDelete Capability = "operator:keyring-delete"

	// Those of node pools are for the pools that the request is about.
	PoolRead   Capability = "node_pool:read"
	PoolWrite  Capability = "node_pool:write"
	PoolDelete Capability = "node_pool:delete"

	// Management is what no policy gives: a token of the type management has it, and with it everything else.
	Management Capability = "management"
)

// OfPool reports whether the capability is one for node pools.
func (c Capability) OfPool() bool { return c == PoolRead || c == PoolWrite || c == PoolDelete }
