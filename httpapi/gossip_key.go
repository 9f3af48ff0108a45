package httpapi

import "github.com/rollcall-id/rollcall/structs"

func listGossipKeys(c *call) (any, error) {
	if err := c.needServer(); err != nil {
		return nil, err
	}
	return c.server.ListGossipKeys()
}

func installGossipKey(c *call) (any, error) {
	return c.changeGossipKey(func(s Server, key string) (*structs.GossipKeysResponse, error) { return s.InstallGossipKey(key) })
}

func useGossipKey(c *call) (any, error) {
	return c.changeGossipKey(func(s Server, key string) (*structs.GossipKeysResponse, error) { return s.UseGossipKey(key) })
}

func removeGossipKey(c *call) (any, error) {
	return c.changeGossipKey(func(s Server, key string) (*structs.GossipKeysResponse, error) { return s.RemoveGossipKey(key) })
}

func (c *call) changeGossipKey(change func(s Server, key string) (*structs.GossipKeysResponse, error)) (any, error) {
	if err := c.needServer(); err != nil {
		return nil, err
	}
	var body structs.GossipKeyRequest
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	return change(c.server, body.Key)
}
