package agent

import (
	"fmt"

	"github.com/hashicorp/go-metrics"
	metricsprom "github.com/hashicorp/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/rollcall-id/rollcall/config"
)

// telemetry is where metrics are kept for those who ask.
type telemetry struct {
	inmem      *metrics.InmemSink
	prometheus *prometheus.Registry // nil when it is off
}

// startTelemetry sends the process's metrics, Raft's and gossip's among them, to the configured places.
func startTelemetry(c *config.Config) (*telemetry, error) {
	t := c.Telemetry
	out := &telemetry{inmem: metrics.NewInmemSink(t.InMemoryCollectionInterval, t.InMemoryRetentionPeriod)}
	sinks := metrics.FanoutSink{out.inmem}
	if t.PrometheusMetrics {
		out.prometheus = prometheus.NewRegistry()
		out.prometheus.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
		sink, err := metricsprom.NewPrometheusSinkFrom(metricsprom.PrometheusOpts{Registerer: out.prometheus, Expiration: 2 * t.InMemoryRetentionPeriod})
		if err != nil {
			return nil, fmt.Errorf("start Prometheus metrics: %w", err)
		}
		sinks = append(sinks, sink)
	}
	if t.StatsdAddress != "" {
		sink, err := metrics.NewStatsdSink(t.StatsdAddress)
		if err != nil {
			return nil, fmt.Errorf("send metrics to statsd at %s: %w", t.StatsdAddress, err)
		}
		sinks = append(sinks, sink)
	}
	if t.StatsiteAddress != "" {
		sink, err := metrics.NewStatsiteSink(t.StatsiteAddress)
		if err != nil {
			return nil, fmt.Errorf("send metrics to statsite at %s: %w", t.StatsiteAddress, err)
		}
		sinks = append(sinks, sink)
	}
	conf := metrics.DefaultConfig("rollcall")
	conf.EnableHostname = !t.DisableHostname
	conf.HostName = c.Name
	if t.CollectionInterval > 0 {
		conf.ProfileInterval = t.CollectionInterval
	}
	if _, err := metrics.NewGlobal(conf, sinks); err != nil {
		return nil, fmt.Errorf("start telemetry: %w", err)
	}
	return out, nil
}
