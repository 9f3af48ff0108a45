package httpapi

import (
	"fmt"
	"math"
	"net/http"
	"slices"

	"github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func getMetrics(c *call) (any, error) {
	switch format := c.query.Get("format"); format {
	case "prometheus":
		if err := c.mayHere(); err != nil {
			return nil, err
		}
		if c.query.Has("server_id") || c.query.Has("node_id") {
			return nil, badRequest("metrics of another agent come as JSON only; ask that agent for those for Prometheus")
		}
		if !c.cfg.PrometheusMetrics {
			return nil, fail(http.StatusUnsupportedMediaType, "Prometheus is not enabled")
		}
		return promhttp.HandlerFor(c.cfg.PrometheusGatherer, promhttp.HandlerOpts{ErrorLog: promLog{c.HTTPServer}}), nil
	case "", "json":
	default:
		return nil, badRequest("Invalid format %q: want json or prometheus", format)
	}
	return c.report("Agent.Metrics", c.metricsSummary)
}

func (s *HTTPServer) metricsSummary() (any, error) {
	v, err := s.cfg.Metrics.DisplayMetrics(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("summarise metrics: %w", err)
	}
	if m, ok := v.(metrics.MetricsSummary); ok {
		// JSON has no way to write these, and one of them would hide all others.
		m.Gauges = slices.DeleteFunc(m.Gauges, func(g metrics.GaugeValue) bool { return !finite(float64(g.Value)) })
		m.PrecisionGauges = slices.DeleteFunc(m.PrecisionGauges, func(g metrics.PrecisionGaugeValue) bool { return !finite(g.Value) })
		m.Counters = slices.DeleteFunc(m.Counters, badSample)
		m.Samples = slices.DeleteFunc(m.Samples, badSample)
		v = m
	}
	return v, nil
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

func badSample(s metrics.SampledValue) bool {
	a := s.AggregateSample
	return a == nil || !finite(s.Mean) || !finite(s.Stddev) || !finite(a.Rate) || !finite(a.Sum) || !finite(a.Min) || !finite(a.Max)
}

// promLog hands the exposition's complaints to the agent's log.
type promLog struct{ s *HTTPServer }

func (l promLog) Println(v ...any) { l.s.log.Warn("expose metrics", "reason", fmt.Sprint(v...)) }
