package agent

import (
	"net"
	"sync"
	"testing"

	"github.com/hashicorp/go-metrics"
)

func TestMetricsThatComeAfterTheEndAreDropped(t *testing.T) {
	ln, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	statsd, err := metrics.NewStatsdSink(ln.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	sink := &closableSink{sinks: metrics.FanoutSink{statsd}}
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				sink.IncrCounter([]string{"a"}, 1)
				sink.AddSampleWithLabels([]string{"b"}, 1, nil)
			}
		})
	}
	sink.Shutdown()
	sink.Shutdown()
	sink.SetGauge([]string{"c"}, 1)
	close(stop)
	senders.Wait()
}
