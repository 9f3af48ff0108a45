package httpapi

import "github.com/rollcall-id/rollcall/structs"

func getKeyringStatus(c *call) (any, error) {
	var out structs.KeyringStatusResponse
	if err := c.read("Keyring.Status", &structs.GenericRequest{}, &out); err != nil {
		return nil, err
	}
	return list(out.Servers), nil
}

func rewrapKeys(c *call) (any, error) {
	args := &structs.KeyringRewrapRequest{ProviderID: c.query.Get("provider"), WriteRequest: c.writeRequest()}
	var out structs.KeyringRewrapResponse
	if err := c.call("Keyring.Rewrap", args, &out); err != nil {
		return nil, err
	}
	c.setIndex(out.Index)
	return &out, nil
}
