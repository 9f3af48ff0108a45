package httpapi

import (
	"net/http"
	"strconv"

	"github.com/rollcall-id/rollcall/host"
	"github.com/rollcall-id/rollcall/structs"
)

// agentNamed reads which agent a question is for: neither ID means this one, whichever part of it.
func (c *call) agentNamed(args *structs.AgentRequest) error {
	if err := c.queryOptions(&args.QueryOptions); err != nil {
		return err
	}
	args.ServerID, args.NodeID = c.query.Get("server_id"), c.query.Get("node_id")
	if args.ServerID != "" && args.NodeID != "" {
		return badRequest("give server_id or node_id, not both")
	}
	if c.client != nil && args.NodeID == c.client.NodeID() {
		args.NodeID = "" // one process, whichever part of it is meant
	}
	return nil
}

// agentAsked reads which agent a question is for; local is true when it is this one and this one has no server, so that
// no server is needed for the answer; then the caller may be answered by it.
func (c *call) agentAsked(args *structs.AgentRequest) (local bool, err error) {
	if err := c.agentNamed(args); err != nil {
		return false, err
	}
	if c.server != nil || args.ServerID != "" || args.NodeID != "" {
		return false, nil
	}
	return true, c.mayHere()
}

func getHost(c *call) (any, error) {
	args, out := &structs.AgentRequest{}, &structs.AgentHostResponse{}
	local, err := c.agentAsked(args)
	switch {
	case err != nil:
		return nil, err
	case local:
		return &structs.AgentHostResponse{AgentID: c.client.NodeID(), HostData: host.Describe()}, nil
	}
	if err := c.call("Agent.Host", args, out); err != nil {
		return nil, err
	}
	return out, nil
}

// getProfile answers with a profile as the runtime makes it.
func getProfile(c *call) (any, error) {
	args, out := &structs.AgentProfileRequest{Kind: c.params["kind"]}, &structs.AgentProfileResponse{}
	local, err := c.agentAsked(&args.AgentRequest)
	if err != nil {
		return nil, err
	}
	var gc int
	for name, n := range map[string]*int{"seconds": &args.Seconds, "debug": &args.Debug, "gc": &gc} {
		if *n, err = c.number(name); err != nil {
			return nil, err
		}
	}
	args.GC = gc != 0
	if err := host.CheckProfile(args); err != nil {
		return nil, err
	}
	switch {
	case !local:
		err = c.call("Agent.Profile", args, out)
	case !c.cfg.EnableDebug && !c.cfg.ACL.Enabled: // with ACLs on, the caller has shown that it may
		err = host.ErrProfilesOff
	default:
		out, err = host.Profile(c.ctx, args, host.MaxProfileBytes)
	}
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", textType)
		h.Set("X-Content-Type-Options", "nosniff")
		if !out.Text {
			h.Set("Content-Type", "application/octet-stream")
			h.Set("Content-Disposition", "attachment; filename="+strconv.Quote(args.Kind))
		}
		h.Set("Content-Length", strconv.Itoa(len(out.Payload)))
		if _, err := w.Write(out.Payload); err != nil {
			c.log.Debug("profile not delivered", "error", err)
		}
	}), nil
}

// number reads a whole number that is not negative; 0 when it is not given.
func (c *call) number(name string) (int, error) {
	s := c.query.Get(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, badRequest("Invalid %s: want a whole number", name)
	}
	return int(n), nil
}
