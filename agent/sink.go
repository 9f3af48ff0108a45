package agent

import (
	"sync"

	"github.com/hashicorp/go-metrics"
)

// closableSink drops what comes after it was shut down. The library's own sinks would send on a closed channel, and
// there is always a goroutine of gossip or Raft that still reports something when the agent stops.
type closableSink struct {
	mu     sync.RWMutex // held for reading while something is sent, for writing to close
	closed bool
	sinks  metrics.FanoutSink
}

var (
	_ metrics.ShutdownSink             = (*closableSink)(nil)
	_ metrics.PrecisionGaugeMetricSink = (*closableSink)(nil)
)

func (s *closableSink) send(f func(metrics.FanoutSink)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.closed {
		f(s.sinks)
	}
}

// Shutdown flushes and closes the sinks. Further calls do nothing.
func (s *closableSink) Shutdown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.sinks.Shutdown()
	}
}

func (s *closableSink) SetGauge(key []string, v float32) {
	s.send(func(f metrics.FanoutSink) { f.SetGauge(key, v) })
}

func (s *closableSink) SetGaugeWithLabels(key []string, v float32, labels []metrics.Label) {
	s.send(func(f metrics.FanoutSink) { f.SetGaugeWithLabels(key, v, labels) })
}

func (s *closableSink) SetPrecisionGauge(key []string, v float64) {
	s.send(func(f metrics.FanoutSink) { f.SetPrecisionGauge(key, v) })
}

func (s *closableSink) SetPrecisionGaugeWithLabels(key []string, v float64, labels []metrics.Label) {
	s.send(func(f metrics.FanoutSink) { f.SetPrecisionGaugeWithLabels(key, v, labels) })
}

func (s *closableSink) EmitKey(key []string, v float32) {
	s.send(func(f metrics.FanoutSink) { f.EmitKey(key, v) })
}

func (s *closableSink) IncrCounter(key []string, v float32) {
	s.send(func(f metrics.FanoutSink) { f.IncrCounter(key, v) })
}

func (s *closableSink) IncrCounterWithLabels(key []string, v float32, labels []metrics.Label) {
	s.send(func(f metrics.FanoutSink) { f.IncrCounterWithLabels(key, v, labels) })
}

func (s *closableSink) AddSample(key []string, v float32) {
	s.send(func(f metrics.FanoutSink) { f.AddSample(key, v) })
}

func (s *closableSink) AddSampleWithLabels(key []string, v float32, labels []metrics.Label) {
	s.send(func(f metrics.FanoutSink) { f.AddSampleWithLabels(key, v, labels) })
}
