package httpapi

import (
	"github.com/rollcall-id/rollcall/structs"
)

func getNodeMeta(c *call) (any, error) {
	id, local, err := c.nodeAsked("")
	if err != nil {
		return nil, err
	}
	if local {
		return c.client.NodeMeta(), nil
	}
	var out structs.NodeMetaResponse
	if err := c.askNode("NodeMeta.Read", &structs.NodeSpecificRequest{NodeID: id}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

func applyNodeMeta(c *call) (any, error) {
	var in struct {
		NodeID string
		Meta   map[string]*string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	id, local, err := c.nodeAsked(in.NodeID)
	if err != nil {
		return nil, err
	}
	req := &structs.NodeMetaApplyRequest{NodeID: id, Meta: in.Meta}
	if err := req.Validate(); err != nil {
		return nil, err
	}
	if local {
		return c.client.ApplyNodeMeta(in.Meta)
	}
	var out structs.NodeMetaResponse
	if err := c.askNode("NodeMeta.Apply", req, &out); err != nil {
		return nil, err
	}
	return &out, nil
}
