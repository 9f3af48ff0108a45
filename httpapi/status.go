package httpapi

import "github.com/rollcall-id/rollcall/structs"

func getLeader(c *call) (any, error) {
	var leader string
	if err := c.read("Status.Leader", &structs.GenericRequest{}, &leader); err != nil {
		return nil, err
	}
	return leader, nil
}

func listPeers(c *call) (any, error) {
	var peers []string
	if err := c.read("Status.Peers", &structs.GenericRequest{}, &peers); err != nil {
		return nil, err
	}
	return list(peers), nil
}

func listRegions(c *call) (any, error) {
	var regions []string
	if err := c.read("Region.List", &structs.GenericRequest{}, &regions); err != nil {
		return nil, err
	}
	return list(regions), nil
}
