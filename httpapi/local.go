package httpapi

import "github.com/rollcall-id/rollcall/structs"

// nodeAsked says which node a request for a node's agent means; local is true when it is the one of this agent, and the
// caller may be answered by it.
func (c *call) nodeAsked(inBody string) (id string, local bool, err error) {
	id = c.query.Get("node_id")
	if id == "" {
		id = inBody
	}
	if c.client != nil && (id == "" || id == c.client.NodeID()) {
		return c.client.NodeID(), true, c.mayHere()
	}
	if id == "" {
		return "", false, badRequest("no local Node and node_id not provided")
	}
	return id, false, nil
}

// askNode asks the node's agent, through the servers. What answers is no replicated state, so there is nothing to wait for.
func (c *call) askNode(method string, args interface{ Query() *structs.QueryOptions }, reply any) error {
	if err := c.queryOptions(args.Query()); err != nil {
		return err
	}
	return c.call(method, args, reply)
}
