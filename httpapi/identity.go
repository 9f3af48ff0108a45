package httpapi

import (
	"github.com/rollcall-id/rollcall/structs"
)

// nodeForIdentity says which node an identity request means; local is true when it is the one of this agent.
func (c *call) nodeForIdentity(inBody string) (id string, local bool, err error) {
	id = c.query.Get("node_id")
	if id == "" {
		id = inBody
	}
	if c.client != nil && (id == "" || id == c.client.NodeID()) {
		return c.client.NodeID(), true, nil
	}
	if id == "" {
		return "", false, badRequest("no local Node and node_id not provided")
	}
	return id, false, nil
}

func getIdentity(c *call) (any, error) {
	id, local, err := c.nodeForIdentity("")
	if err != nil {
		return nil, err
	}
	var out structs.NodeIdentityGetResponse
	if local {
		if out.Claims, err = c.client.IdentityClaims(); err != nil {
			return nil, err
		}
		return &out, nil
	}
	if err := c.read("NodeIdentity.Get", &structs.NodeSpecificRequest{NodeID: id}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

func renewIdentity(c *call) (any, error) {
	var in struct{ NodeID string }
	if err := c.decodeOptional(&in); err != nil {
		return nil, err
	}
	id, local, err := c.nodeForIdentity(in.NodeID)
	if err != nil {
		return nil, err
	}
	if local {
		c.client.Renew()
		return structs.Empty{}, nil
	}
	var out structs.Empty
	if err := c.read("NodeIdentity.Renew", &structs.NodeSpecificRequest{NodeID: id}, &out); err != nil {
		return nil, err
	}
	return out, nil
}
