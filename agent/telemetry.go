package agent

import (
	"fmt"
	"time"

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
	// done is closed by stop and stopped once the runtime is sampled no more.
	done, stopped chan struct{}
}

// startTelemetry sends the process's metrics, Raft's and gossip's among them, to the configured places until stop.
func startTelemetry(c *config.Config) (*telemetry, error) {
	t := c.Telemetry
	out := &telemetry{
		inmem: metrics.NewInmemSink(t.InMemoryCollectionInterval, t.InMemoryRetentionPeriod),
		done:  make(chan struct{}), stopped: make(chan struct{}),
	}
	sinks, err := out.sinks(c)
	if err != nil {
		sinks.Shutdown()
		return nil, err
	}
	conf := metrics.DefaultConfig("rollcall")
	conf.EnableHostname = !t.DisableHostname
	conf.HostName = c.Name
	conf.EnableRuntimeMetrics = false // the library would sample for ever, into sinks that are closed
	sink := &closableSink{sinks: sinks}
	m, err := metrics.NewGlobal(conf, sink)
	if err != nil {
		sink.Shutdown()
		return nil, fmt.Errorf("start telemetry: %w", err)
	}
	go out.sample(m, t.CollectionInterval)
	return out, nil
}

// sinks opens the places; what it returns is to be shut down also when it fails.
func (t *telemetry) sinks(c *config.Config) (metrics.FanoutSink, error) {
	sinks := metrics.FanoutSink{t.inmem}
	conf := c.Telemetry
	if conf.PrometheusMetrics {
		t.prometheus = prometheus.NewRegistry()
		t.prometheus.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
		sink, err := metricsprom.NewPrometheusSinkFrom(metricsprom.PrometheusOpts{Registerer: t.prometheus, Expiration: 2 * conf.InMemoryRetentionPeriod})
		if err != nil {
			return sinks, fmt.Errorf("start Prometheus metrics: %w", err)
		}
		sinks = append(sinks, sink)
	}
	if conf.StatsdAddress != "" {
		sink, err := metrics.NewStatsdSink(conf.StatsdAddress)
		if err != nil {
			return sinks, fmt.Errorf("send metrics to statsd at %s: %w", conf.StatsdAddress, err)
		}
		sinks = append(sinks, sink)
	}
	if conf.StatsiteAddress != "" {
		sink, err := metrics.NewStatsiteSink(conf.StatsiteAddress)
		if err != nil {
			return sinks, fmt.Errorf("send metrics to statsite at %s: %w", conf.StatsiteAddress, err)
		}
		sinks = append(sinks, sink)
	}
	return sinks, nil
}

// sample takes the gauges of the Go runtime at each interval.
func (t *telemetry) sample(m *metrics.Metrics, interval time.Duration) {
	defer close(t.stopped)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.EmitRuntimeStats()
		case <-t.done:
			return
		}
	}
}

// stop ends the sending; what comes later is dropped.
func (t *telemetry) stop() {
	close(t.done)
	<-t.stopped
	metrics.Shutdown()
}
