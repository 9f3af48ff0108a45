package httpapi

import (
	"net/http"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// nodeJSON is a node as the API shows it (wire.md §5.1).
type nodeJSON struct {
	*structs.Node
	Drain bool
}

func listNodes(c *call) (any, error) {
	fields, err := c.stubFields()
	if err != nil {
		return nil, err
	}
	var out structs.NodeListResponse
	if err := c.read("Node.List", &structs.NodeListRequest{Fields: fields}, &out); err != nil {
		return nil, err
	}
	return list(out.Nodes), nil
}

func getNode(c *call) (any, error) {
	var out structs.SingleNodeResponse
	if err := c.read("Node.GetNode", &structs.NodeSpecificRequest{NodeID: c.params["id"]}, &out); err != nil {
		return nil, err
	}
	if out.Node == nil {
		return nil, fail(http.StatusNotFound, "%s", structs.ErrNodeNotFound)
	}
	return nodeJSON{Node: out.Node.Sanitized(), Drain: out.Node.DrainStrategy != nil}, nil
}

func listNodeAllocations(c *call) (any, error) {
	var out structs.NodeAllocsResponse
	if err := c.read("Node.GetAllocs", &structs.NodeSpecificRequest{NodeID: c.params["id"]}, &out); err != nil {
		return nil, err
	}
	return list(out.Allocs), nil
}

// checkNodeID refuses a body that names another node than the path does.
func (c *call) checkNodeID(inBody string) error {
	if inBody != "" && inBody != c.params["id"] {
		return badRequest("Node ID does not match request path")
	}
	return nil
}

func drainNode(c *call) (any, error) {
	var in struct {
		NodeID    string
		DrainSpec *struct {
			Deadline         duration
			IgnoreSystemJobs bool
		}
		MarkEligible bool
		Meta         map[string]string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.checkNodeID(in.NodeID); err != nil {
		return nil, err
	}
	args := &structs.NodeUpdateDrainRequest{
		NodeID: c.params["id"], MarkEligible: in.MarkEligible, Meta: in.Meta, WriteRequest: c.writeRequest(),
	}
	if in.DrainSpec != nil {
		args.DrainStrategy = &structs.DrainStrategy{DrainSpec: structs.DrainSpec{
			Deadline: time.Duration(in.DrainSpec.Deadline), IgnoreSystemJobs: in.DrainSpec.IgnoreSystemJobs,
		}}
	}
	return c.changeNode("Node.UpdateDrain", args)
}

func setNodeEligibility(c *call) (any, error) {
	var in struct {
		NodeID      string
		Eligibility string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.checkNodeID(in.NodeID); err != nil {
		return nil, err
	}
	switch in.Eligibility {
	case structs.NodeEligible, structs.NodeIneligible:
	default:
		return nil, badRequest("Invalid eligibility %q: want %s or %s", in.Eligibility, structs.NodeEligible, structs.NodeIneligible)
	}
	return c.changeNode("Node.UpdateEligibility", &structs.NodeUpdateEligibilityRequest{
		NodeID: c.params["id"], Eligibility: in.Eligibility, WriteRequest: c.writeRequest(),
	})
}

func (c *call) changeNode(method string, args any) (any, error) {
	var out structs.NodeChangeResponse
	if err := c.call(method, args, &out); err != nil {
		return nil, err
	}
	c.setIndex(out.Index)
	return &out, nil
}

func evaluateNode(c *call) (any, error) {
	return c.updateNode("Node.Evaluate", &structs.NodeEvaluateRequest{NodeID: c.params["id"], WriteRequest: c.writeRequest()})
}

func purgeNode(c *call) (any, error) {
	return c.updateNode("Node.Deregister", &structs.NodeDeregisterRequest{NodeID: c.params["id"], WriteRequest: c.writeRequest()})
}

func (c *call) updateNode(method string, args any) (any, error) {
	var out structs.NodeUpdateResponse
	if err := c.call(method, args, &out); err != nil {
		return nil, err
	}
	out.SignedIdentity = nil // for the node alone
	c.setIndex(out.Index)
	return &out, nil
}
