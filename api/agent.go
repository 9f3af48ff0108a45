package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

// AgentSelf is what an agent tells of itself.
type AgentSelf struct {
	Config map[string]any               `json:"config"`
	Member *structs.ServerMember        `json:"member"` // nil on an agent that is only a client
	Stats  map[string]map[string]string `json:"stats"`
}

// Self asks the agent about itself.
func (c *Client) Self(ctx context.Context) (*AgentSelf, error) {
	res, err := query[*AgentSelf](ctx, c, "/v1/agent/self", nil)
	if err != nil {
		return nil, err
	}
	return res.Value, nil
}

// NodeID returns the ID of the node that the asked agent runs; an error if it runs none.
func (s *AgentSelf) NodeID() (string, error) {
	if id := s.Stats["client"]["node_id"]; id != "" {
		return id, nil
	}
	return "", errors.New("the agent at this address is not a client, so it is no node itself")
}

// Members returns the servers as gossip sees them.
func (c *Client) Members(ctx context.Context, q *QueryOptions) (*structs.ServerMembersResponse, error) {
	res, err := query[*structs.ServerMembersResponse](ctx, c, "/v1/agent/members", c.queryParams(q))
	if err != nil {
		return nil, err
	}
	return res.Value, nil
}

// Join makes the server join the pools of addrs and returns how many answered. With an error, some may have.
func (c *Client) Join(ctx context.Context, addrs []string) (joined int, err error) {
	p := c.writeParams(nil)
	p["address"] = addrs
	out, err := write[struct {
		NumJoined int    `json:"num_joined"`
		Error     string `json:"error"`
	}](ctx, c, http.MethodPut, "/v1/agent/join", p, nil)
	if err != nil {
		return 0, err
	}
	if out.Error != "" {
		return out.NumJoined, fmt.Errorf("join: %s", out.Error)
	}
	return out.NumJoined, nil
}

// Departure says how thoroughly a member is forgotten.
type Departure bool

// How a member leaves.
const (
	KeepRecord Departure = false
	Prune      Departure = true // also out of the list of members
)

// ForceLeave marks a failed server as gone.
func (c *Client) ForceLeave(ctx context.Context, name string, how Departure) error {
	p := c.writeParams(nil)
	p.Set("node", name)
	if how {
		p.Set("prune", "true")
	}
	_, err := c.do(ctx, http.MethodPut, "/v1/agent/force-leave", p, nil, nil)
	return err
}

// Servers returns the RPC addresses of the servers that the asked agent, a node's, uses.
func (c *Client) Servers(ctx context.Context) ([]string, error) {
	res, err := query[[]string](ctx, c, "/v1/agent/servers", nil)
	if err != nil {
		return nil, err
	}
	return res.Value, nil
}

// SetServers replaces the servers of the asked agent, a node's.
func (c *Client) SetServers(ctx context.Context, addrs []string) error {
	p := c.writeParams(nil)
	p["address"] = addrs
	_, err := c.do(ctx, http.MethodPut, "/v1/agent/servers", p, nil, nil)
	return err
}
