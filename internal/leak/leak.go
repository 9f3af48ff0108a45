// Package leak makes a package's tests fail if goroutines are still running when they have finished. Test packages whose
// code starts goroutines call it from TestMain:
//
//	func TestMain(m *testing.M) { leak.Main(m) }
//
// It waits a moment for goroutines that are on their way out, and it ignores only what no code of ours can end; every
// exception below says why.
package leak

import (
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests and then exits, with a failure if they passed but leaked.
func Main(m *testing.M) {
	goleak.VerifyTestMain(m, Ignored()...)
}

// Ignored are the goroutines that libraries start and offer no way to stop.
func Ignored() []goleak.Option {
	return []goleak.Option{
		// A metrics.Metrics that samples the runtime loops for ever; Shutdown only closes its sink.
		goleak.IgnoreAnyFunction("github.com/hashicorp/go-metrics.(*Metrics).collectStats"),
		// A probe of a member that is gone waits for its answer until it times out, also after Shutdown.
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"),
	}
}
