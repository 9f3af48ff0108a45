package rpc

import (
	"context"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// gcNow is the threshold of a collection that an operator asks for: everything that is down goes.
const gcNow = time.Millisecond

func (s *Server) registerSystemMethods() {
	handle(s, Spec{Name: "System.GarbageCollect", Changes: true}, s.garbageCollect)
	handle(s, Spec{Name: "System.ReconcileJobSummaries", Changes: true},
		// Without jobs every summary of them is right as it is.
		func(*Call, *structs.GenericRequest, *structs.GenericResponse) error { return nil })
}

// garbageCollect collects at once what the periodic collection would take in time. It changes state though its
// request is a read's.
func (s *Server) garbageCollect(c *Call, _ *structs.GenericRequest, _ *structs.GenericResponse) error {
	if err := s.deps.Leader.VerifyLease(c.ctx); err != nil {
		return err
	}
	// The caller may go away; what was started is finished.
	return s.deps.Operator.CollectGarbage(context.WithoutCancel(c.ctx), gcNow)
}
