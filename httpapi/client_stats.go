package httpapi

import (
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

func getClientStats(c *call) (any, error) {
	id, local, err := c.nodeAsked("")
	if err != nil {
		return nil, err
	}
	if local {
		return c.client.HostStats(c.ctx)
	}
	var out structs.ClientStatsResponse
	if err := c.askNode("ClientStats.Stats", &structs.NodeSpecificRequest{NodeID: id}, &out); err != nil {
		return nil, err
	}
	return out.HostStats, nil
}

// collectClientGarbage answers as a node without allocations, which has none to remove.
func collectClientGarbage(c *call) (any, error) {
	id, local, err := c.nodeAsked("")
	if err != nil || local {
		return nil, err
	}
	return nil, c.checkNode(id)
}

// checkNode fails for a node that the cluster does not have.
func (c *call) checkNode(id string) error {
	var out structs.SingleNodeResponse
	if err := c.read("Node.GetNode", &structs.NodeSpecificRequest{NodeID: id}, &out); err != nil {
		return err
	}
	if out.Node == nil {
		return fail(http.StatusNotFound, "%s %s", structs.ErrUnknownNode, id)
	}
	return nil
}
