package agent

import "github.com/rollcall-id/rollcall/host"

// reports tells other agents about this one, as its HTTP API tells those who ask it.
type reports struct{ a *agent }

var _ host.Reports = reports{}

func (r reports) Self() ([]byte, error) {
	if s := r.a.reporter.Load(); s != nil {
		return s.Self()
	}
	return nil, host.ErrNoReports
}

func (r reports) Metrics() ([]byte, error) {
	if s := r.a.reporter.Load(); s != nil {
		return s.Metrics()
	}
	return nil, host.ErrNoReports
}
