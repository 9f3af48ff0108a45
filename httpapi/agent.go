package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// healthTimeout bounds how long a health check waits to hear of the leader.
const healthTimeout = 5 * time.Second

func listMembers(c *call) (any, error) {
	var out structs.ServerMembersResponse
	if err := c.read("Status.Members", &structs.GenericRequest{}, &out); err != nil {
		return nil, err
	}
	out.Members = list(out.Members)
	return &out, nil
}

type healthPart struct {
	OK      bool   `json:"ok"`
	Message string `json:"message"`
}

// agentHealth has only the parts that were asked for.
type agentHealth struct {
	Client *healthPart `json:"client,omitempty"`
	Server *healthPart `json:"server,omitempty"`
}

func getAgentHealth(c *call) (any, error) {
	kind := c.query.Get("type")
	switch kind {
	case "", "client", "server":
	default:
		return nil, badRequest("Invalid type %q: want client or server", kind)
	}
	var h agentHealth
	if kind == "client" || kind == "" && c.client != nil {
		h.Client = c.clientHealth()
	}
	if kind == "server" || kind == "" && c.server != nil {
		h.Server = c.serverHealth()
	}
	for _, p := range []*healthPart{h.Client, h.Server} {
		if p != nil && !p.OK {
			return &reply{code: http.StatusInternalServerError, value: h}, nil
		}
	}
	return h, nil
}

func (c *call) clientHealth() *healthPart {
	if c.client == nil {
		return &healthPart{Message: "client not enabled"}
	}
	ok, message := c.client.Health()
	return &healthPart{OK: ok, Message: message}
}

func (c *call) serverHealth() *healthPart {
	if c.server == nil {
		return &healthPart{Message: "server not enabled"}
	}
	ctx, cancel := context.WithTimeout(c.ctx, healthTimeout)
	defer cancel()
	args := &structs.GenericRequest{QueryOptions: structs.QueryOptions{Region: c.cfg.Region, AllowStale: true, AuthToken: c.token()}}
	var leader string
	if err := c.rpc.RPC(ctx, "Status.Leader", args, &leader); err != nil {
		_, message := structs.HTTPStatus(err)
		return &healthPart{Message: message}
	}
	if leader == "" {
		return &healthPart{Message: "no leader"}
	}
	return &healthPart{OK: true, Message: "ok"}
}

func (c *call) needServer() error {
	if c.server == nil {
		return fail(http.StatusNotImplemented, "this agent is not a server")
	}
	return nil
}

func (c *call) needClient() error {
	if c.client == nil {
		return fail(http.StatusNotImplemented, "this agent is not a client")
	}
	return nil
}

type joinResult struct {
	NumJoined int    `json:"num_joined"`
	Error     string `json:"error"`
	Warning   string `json:"warning"`
}

func joinServers(c *call) (any, error) {
	if err := c.needServer(); err != nil {
		return nil, err
	}
	addrs := c.addresses()
	if len(addrs) == 0 {
		return nil, badRequest("missing address to join")
	}
	var res joinResult
	var err error
	if res.NumJoined, err = c.server.Join(c.ctx, addrs); err != nil {
		res.Error = err.Error()
	}
	return res, nil
}

// addresses returns the address parameters that are not empty.
func (c *call) addresses() []string {
	var addrs []string
	for _, a := range c.query["address"] {
		if a != "" {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

func forceLeave(c *call) (any, error) {
	if err := c.needServer(); err != nil {
		return nil, err
	}
	name := c.query.Get("node")
	if name == "" {
		return nil, badRequest("missing node to force leave")
	}
	prune, err := c.flag("prune")
	if err != nil {
		return nil, err
	}
	return nil, c.server.ForceLeave(c.ctx, name, prune)
}

func listServers(c *call) (any, error) {
	if err := c.needClient(); err != nil {
		return nil, err
	}
	return list(c.client.Servers()), nil
}

func setServers(c *call) (any, error) {
	if err := c.needClient(); err != nil {
		return nil, err
	}
	addrs := c.addresses()
	if len(addrs) == 0 {
		return nil, badRequest("missing server address")
	}
	if err := c.client.SetServers(addrs); err != nil {
		return nil, badRequest("%s", err)
	}
	return nil, nil
}

// reloadAgent does what SIGHUP does, and says how it went.
func reloadAgent(c *call) (any, error) {
	if c.cfg.Reload == nil {
		return nil, fail(http.StatusNotImplemented, "this agent can't be told to reload its configuration")
	}
	if err := c.cfg.Reload(c.ctx); err != nil {
		return nil, badRequest("%s", err)
	}
	return nil, nil
}
