package httpapi

import (
	"encoding/json"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// introTTL is the TTL of an introduction: a duration as everywhere, or nothing ("" and null) for the default.
type introTTL time.Duration

func (t *introTTL) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil && s == "" {
		return nil
	}
	return (*duration)(t).UnmarshalJSON(b)
}

// createIntroduction answers with the introduction alone: nothing is written, so that there is no index.
func createIntroduction(c *call) (any, error) {
	var in struct {
		TTL                                           introTTL
		NodeName, NodePool, NodeClass, NodeDatacenter string
	}
	if err := c.decodeOptional(&in); err != nil {
		return nil, err
	}
	args := &structs.ClientIntroductionRequest{
		TTL: time.Duration(in.TTL), NodeName: in.NodeName, NodePool: in.NodePool, NodeClass: in.NodeClass,
		NodeDatacenter: in.NodeDatacenter, WriteRequest: c.writeRequest(),
	}
	var out structs.ClientIntroductionResponse
	if err := c.call("ACL.CreateClientIntroductionToken", args, &out); err != nil {
		return nil, err
	}
	return &out, nil
}
