package structs

// AgentRequest is a question for one agent: a server by its ID, name or the word "leader", or a node by its ID. Without
// either, the agent that is asked answers.
type AgentRequest struct {
	ServerID string
	NodeID   string
	QueryOptions
}

// AgentProfileRequest asks an agent for a profile of its process.
type AgentProfileRequest struct {
	Kind    string // profile, trace, cmdline or a name that the runtime knows, such as heap
	Seconds int    // for a profile that runs for a time; 0 means 1
	Debug   int    // not 0 asks for text
	GC      bool   // collect garbage first
	AgentRequest
}

// AgentProfileResponse is the profile and whose it is.
type AgentProfileResponse struct {
	AgentID string
	Payload []byte
	Text    bool // for reading
}

// AgentReportResponse is what an agent tells of itself, as JSON.
type AgentReportResponse struct {
	AgentID string
	Report  []byte
}

// AgentHostResponse is what an agent says of the machine it runs on.
type AgentHostResponse struct {
	AgentID  string
	HostData *HostData
}

// HostData is what an operator wants to know of a machine. Nothing of it is a secret: the values of environment variables
// are left out but for those that are known to be harmless.
type HostData struct {
	OS          string
	Network     []map[string]string
	ResolvConf  string
	Hosts       string
	Environment map[string]string
	Disk        map[string]DiskUsage
}

// DiskUsage is of one mounted file system, in MiB.
type DiskUsage struct {
	DiskMB int64
	UsedMB int64
}

// IsFor compares the node of the request; one about a server is about no node.
func (r *AgentRequest) IsFor(nodeID string) bool { return r.NodeID != "" && r.NodeID == nodeID }

// Agent returns the part that says whom the request is for.
func (r *AgentRequest) Agent() *AgentRequest { return r }

var (
	_ RPCRequest = (*AgentRequest)(nil)
	_ RPCRequest = (*AgentProfileRequest)(nil)
)
