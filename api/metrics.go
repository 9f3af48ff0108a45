package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// Metrics is what an agent has measured in its current interval.
type Metrics struct {
	Timestamp string
	Gauges    []MetricsGauge
	Points    []MetricsPoint
	Counters  []MetricsSample
	Samples   []MetricsSample
}

// MetricsGauge is a value as it is now.
type MetricsGauge struct {
	Name   string
	Value  float64
	Labels map[string]string `json:"Labels"`
}

// MetricsPoint is a series of values.
type MetricsPoint struct {
	Name   string
	Points []float64
}

// MetricsSample sums up what was counted or measured several times.
type MetricsSample struct {
	Name   string
	Count  int
	Rate   float64 // per second
	Sum    float64
	Min    float64
	Max    float64
	Mean   float64
	Stddev float64
	Labels map[string]string
}

// Metrics asks the agent at the client's address, not the cluster.
func (c *Client) Metrics(ctx context.Context) (*Metrics, error) {
	res, err := query[*Metrics](ctx, c, "/v1/metrics", nil)
	if err != nil {
		return nil, err
	}
	return res.Value, nil
}

// PrometheusMetrics writes the agent's metrics in Prometheus' text format; a refusal says that the agent's telemetry block
// does not allow it.
func (c *Client) PrometheusMetrics(ctx context.Context, w io.Writer) error {
	res, err := c.Raw(ctx, RawRequest{Method: http.MethodGet, Path: "/v1/metrics", Params: url.Values{"format": {"prometheus"}}})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(w, res.Body)
	return err
}
