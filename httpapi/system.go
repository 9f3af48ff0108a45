package httpapi

import "github.com/rollcall-id/rollcall/structs"

func collectGarbage(c *call) (any, error) {
	args := &structs.GenericRequest{}
	if err := c.queryOptions(args.Query()); err != nil {
		return nil, err
	}
	args.AllowStale = false // the leader collects
	return c.writeNothing("System.GarbageCollect", args)
}

// listVolumes answers as a cluster without storage plugins does; clients ask for it when they show a node.
func listVolumes(*call) (any, error) { return []struct{}{}, nil }
