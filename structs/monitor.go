package structs

import (
	"fmt"
	"strings"
)

// MonitorRequest follows the header of the streaming call Agent.Monitor (wire.md §5.6). The log comes in StreamFrames.
type MonitorRequest struct {
	LogLevel           string // trace, debug, info, warn or error, in any case; empty means info
	LogJSON            bool
	LogIncludeLocation bool
	NodeID             string // the agent of this node; not together with ServerID
	ServerID           string // ID or name of a server, or MonitorLeader; empty means the one asked
	PlainText          bool   // payloads are the log itself, not LogFrames
	QueryOptions
}

// MonitorLeader is the ServerID of whichever server leads.
const MonitorLeader = "leader"

// Validate reports what is wrong with the request.
func (r *MonitorRequest) Validate() error {
	switch strings.ToLower(r.LogLevel) {
	case "", "trace", "debug", "info", "warn", "error":
	default:
		return fmt.Errorf("unknown log level %q; want trace, debug, info, warn or error", r.LogLevel)
	}
	if r.NodeID != "" && r.ServerID != "" {
		return fmt.Errorf("a node and a server can't be followed at the same time")
	}
	return nil
}

// LogFrame is a piece of a log as the public API sends it: JSON with base64. One without anything is a heartbeat.
type LogFrame struct {
	Data []byte `json:",omitempty"`
}
