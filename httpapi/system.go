package httpapi

import "github.com/rollcall-id/rollcall/structs"

func collectGarbage(c *call) (any, error) { return c.systemWork("System.GarbageCollect") }

func reconcileSummaries(c *call) (any, error) { return c.systemWork("System.ReconcileJobSummaries") }

// systemWork runs what an operator starts on the leader, by a request that is shaped like a read.
func (c *call) systemWork(method string) (any, error) {
	args := &structs.GenericRequest{}
	if err := c.queryOptions(args.Query()); err != nil {
		return nil, err
	}
	args.AllowStale = false
	return c.writeNothing(method, args)
}
