package structs

// Features that servers use only once all of them know them. The names are in logs and snapshots: append-only.
const (
	// FeatureNodeIdentity is that nodes get identities. Servers that don't know them would drop which key signed.
	FeatureNodeIdentity = "node_identity"
	// FeatureStateDigest is that the leader has the digests of all servers' states compared (StateDigestCheckMsg).
	FeatureStateDigest = "state_digest"
)

// FeatureGate says that all servers know a feature: from the log entry on that wrote it the feature is in use, and
// stays so. A server that does not meet what the gate asks for is not admitted any more. Which entry that was is not
// in it: a server of before gates skips the entry, and is to have the same state as the others once it has been
// upgraded and the gate is written again.
type FeatureGate struct {
	Name string
	// MinBuild is the least level of the protocol (gossip tag "build") that a server must speak; empty asks for none.
	MinBuild string
	// MinVersion is the least release of this project (gossip tag "rollcall") that a server must be; empty asks for none.
	MinVersion string
}

// Copy returns a copy of the gate; nil gives nil.
func (g *FeatureGate) Copy() *FeatureGate {
	if g == nil {
		return nil
	}
	c := *g
	return &c
}

// FeatureGateRequest is Raft type 101: it opens gates. One that is open already takes the request's requirements.
type FeatureGateRequest struct {
	Gates []*FeatureGate
	WriteRequest
}
