package host

import (
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

// MaxReportBytes and MaxNodeReportBytes bound a report's size, as MaxProfileBytes and MaxNodeProfileBytes a profile's.
const (
	MaxReportBytes     = MaxProfileBytes
	MaxNodeReportBytes = MaxNodeProfileBytes
)

// Reports are what an agent tells of itself as a whole, in JSON and in the form in which its own HTTP API answers. They have no
// secrets. Implementations are safe for concurrent use.
type Reports interface {
	// Self is the agent's configuration, place in the gossip pool and numbers for people.
	Self() ([]byte, error)
	// Metrics are those of the last intervals.
	Metrics() ([]byte, error)
}

// ErrNoReports: the agent has nobody who could tell, or is starting.
var ErrNoReports = structs.Coded(http.StatusServiceUnavailable, "this agent does not tell about itself yet, try again later")

// Report fills in what take tells of the agent; r may be nil. maxBytes bounds it.
func Report(r Reports, take func(Reports) ([]byte, error), maxBytes int) (*structs.AgentReportResponse, error) {
	if r == nil {
		return nil, ErrNoReports
	}
	report, err := take(r)
	if err != nil {
		return nil, err
	}
	if len(report) > maxBytes {
		return nil, structs.Coded(http.StatusInsufficientStorage, "the report has %d bytes, more than the %d that this connection carries; ask the agent's own HTTP address", len(report), maxBytes)
	}
	return &structs.AgentReportResponse{Report: report}, nil
}
