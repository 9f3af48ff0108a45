package httpapi

import (
	"github.com/rollcall-id/rollcall/structs"
)

func getIdentity(c *call) (any, error) {
	id, local, err := c.nodeAsked("")
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
	if err := c.askNode("NodeIdentity.Get", &structs.NodeSpecificRequest{NodeID: id}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

func renewIdentity(c *call) (any, error) {
	var in struct{ NodeID string }
	if err := c.decodeOptional(&in); err != nil {
		return nil, err
	}
	id, local, err := c.nodeAsked(in.NodeID)
	if err != nil {
		return nil, err
	}
	if local {
		c.client.Renew()
		return structs.Empty{}, nil
	}
	var out structs.Empty
	if err := c.askNode("NodeIdentity.Renew", &structs.NodeSpecificRequest{NodeID: id}, &out); err != nil {
		return nil, err
	}
	return out, nil
}
