package snapshotagent

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what an alert needs: when the last good snapshot was taken, and what fails.
type metrics struct {
	registry *prometheus.Registry

	rounds        *prometheus.CounterVec // by result
	retries       prometheus.Counter
	drillFailures prometheus.Counter
	pruneFailures prometheus.Counter

	lastAttempt prometheus.Gauge
	lastSuccess prometheus.Gauge
	took        prometheus.Gauge
	drillTook   prometheus.Gauge
	bytes       prometheus.Gauge
	index       prometheus.Gauge
	nodes       prometheus.Gauge
	stored      prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "rollcall_snapshot_" + name, Help: help})
		m.registry.MustRegister(g)
		return g
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "rollcall_snapshot_" + name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	m.rounds = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rollcall_snapshot_rounds_total", Help: "Rounds, by result: taken or failed.",
	}, []string{"result"})
	m.registry.MustRegister(m.rounds)
	m.rounds.WithLabelValues("taken")
	m.rounds.WithLabelValues("failed")
	m.retries = counter("retries_total", "Steps of rounds that failed and were tried again.")
	m.drillFailures = counter("drill_failures_total", "Stored snapshots that did not restore.")
	m.pruneFailures = counter("prune_failures_total", "Rounds after which old snapshots could not be deleted.")
	m.lastAttempt = gauge("last_attempt_timestamp_seconds", "When the last round began.")
	m.lastSuccess = gauge("last_success_timestamp_seconds", "When the last snapshot that restores was taken; 0 before the first.")
	m.took = gauge("duration_seconds", "How long the last good round took.")
	m.drillTook = gauge("drill_duration_seconds", "How long fetching and restoring the last good snapshot took.")
	m.bytes = gauge("size_bytes", "Size of the last good archive.")
	m.index = gauge("index", "Raft index of the last good snapshot.")
	m.nodes = gauge("nodes", "Nodes in the last good snapshot.")
	m.stored = gauge("stored", "Snapshots of this agent that are stored.")
	return m
}

func (m *metrics) success(t *Taken) {
	m.rounds.WithLabelValues("taken").Inc()
	m.lastSuccess.SetToCurrentTime()
	m.took.Set(t.Took.Seconds())
	m.drillTook.Set(t.Drill.Took.Seconds())
	m.bytes.Set(float64(t.Size))
	m.index.Set(float64(t.Index))
	m.nodes.Set(float64(t.Drill.Nodes))
}

// Metrics shows the agent's metrics in Prometheus's text format.
func (a *Agent) Metrics() http.Handler {
	return promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{})
}
