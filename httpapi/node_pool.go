package httpapi

import (
	"net/http"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// nodePoolInput is a pool in a request. What the server keeps of its own (hash, indexes) is not read.
type nodePoolInput struct {
	Name                   string
	Description            string
	Meta                   map[string]string
	SchedulerConfiguration *structs.NodePoolSchedulerConfiguration
	NodeIdentityTTL        duration
}

func listNodePools(c *call) (any, error) {
	var out structs.NodePoolListResponse
	if err := c.read("NodePool.List", &structs.NodePoolListRequest{}, &out); err != nil {
		return nil, err
	}
	return list(out.NodePools), nil
}

func getNodePool(c *call) (any, error) {
	var out structs.SingleNodePoolResponse
	if err := c.read("NodePool.GetNodePool", &structs.NodePoolSpecificRequest{Name: c.params["name"]}, &out); err != nil {
		return nil, err
	}
	if out.NodePool == nil {
		return nil, fail(http.StatusNotFound, "%s", structs.ErrNodePoolNotFound)
	}
	return out.NodePool, nil
}

// upsertNodePool serves the path with a name and the one without.
func upsertNodePool(c *call) (any, error) {
	var in nodePoolInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if name, ok := c.params["name"]; ok && name != in.Name {
		return nil, badRequest("Node pool name does not match request path")
	}
	pool := &structs.NodePool{
		Name: in.Name, Description: in.Description, Meta: in.Meta,
		SchedulerConfiguration: in.SchedulerConfiguration, NodeIdentityTTL: time.Duration(in.NodeIdentityTTL),
	}
	return c.writeNothing("NodePool.UpsertNodePools", &structs.NodePoolUpsertRequest{
		NodePools: []*structs.NodePool{pool}, WriteRequest: c.writeRequest(),
	})
}

func deleteNodePool(c *call) (any, error) {
	return c.writeNothing("NodePool.DeleteNodePools", &structs.NodePoolDeleteRequest{
		Names: []string{c.params["name"]}, WriteRequest: c.writeRequest(),
	})
}

// writeNothing runs a write whose answer is an empty body.
func (c *call) writeNothing(method string, args any) (any, error) {
	var out structs.GenericResponse
	if err := c.call(method, args, &out); err != nil {
		return nil, err
	}
	c.setIndex(out.Index)
	return nil, nil
}

func listNodePoolNodes(c *call) (any, error) {
	if c.query.Get("prefix") != "" {
		return nil, badRequest("prefix is not supported here; use filter")
	}
	fields, err := c.stubFields()
	if err != nil {
		return nil, err
	}
	var out structs.NodeListResponse
	if err := c.read("NodePool.ListNodes", &structs.NodePoolNodesRequest{Name: c.params["name"], Fields: fields}, &out); err != nil {
		return nil, err
	}
	return list(out.Nodes), nil
}

func listNodePoolJobs(c *call) (any, error) {
	if _, err := c.flag("meta"); err != nil { // there is none to be shown
		return nil, err
	}
	var out structs.NodePoolJobsResponse
	if err := c.read("NodePool.ListJobs", &structs.NodePoolJobsRequest{Name: c.params["name"]}, &out); err != nil {
		return nil, err
	}
	return list(out.Jobs), nil
}
