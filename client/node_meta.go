package client

import (
	"maps"
	"sync"

	"github.com/rollcall-id/rollcall/structs"
)

// nodeMeta is the node's metadata: what its configuration says, and what was applied to the running node since, which
// survives a restart.
type nodeMeta struct {
	store store

	mu      sync.Mutex // guards the fields below, and orders writes to the store as they are taken over
	static  map[string]string
	dynamic map[string]*string // nil hides a key of static
}

func loadNodeMeta(s store, static map[string]string) (*nodeMeta, error) {
	dynamic, err := s.loadMeta()
	if err != nil {
		return nil, err
	}
	if dynamic == nil {
		dynamic = map[string]*string{}
	}
	return &nodeMeta{store: s, static: maps.Clone(static), dynamic: dynamic}, nil
}

// response returns copies.
func (m *nodeMeta) response() *structs.NodeMetaResponse {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &structs.NodeMetaResponse{
		Meta: structs.MergeNodeMeta(m.static, m.dynamic), Dynamic: maps.Clone(m.dynamic), Static: maps.Clone(m.static),
	}
	if r.Static == nil {
		r.Static = map[string]string{}
	}
	return r
}

// setStatic replaces what the configuration says.
func (m *nodeMeta) setStatic(static map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.static = maps.Clone(static)
}

// apply stores the changes, then takes them over. On an error nothing has changed.
func (m *nodeMeta) apply(changes map[string]*string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next, err := structs.ChangeNodeMeta(m.static, m.dynamic, changes)
	if err != nil {
		return err
	}
	if err := m.store.saveMeta(next); err != nil {
		return err
	}
	m.dynamic = next
	return nil
}

// NodeMeta returns the node's metadata. The node registers again soon after a change, so servers may know it later.
func (c *Client) NodeMeta() *structs.NodeMetaResponse { return c.meta.response() }

// ApplyNodeMeta sets the keys, and removes those with a nil value. It returns once the change is on disk; the node then
// registers again. Errors of bad changes are coded 400.
func (c *Client) ApplyNodeMeta(changes map[string]*string) (*structs.NodeMetaResponse, error) {
	req := structs.NodeMetaApplyRequest{Meta: changes}
	if err := req.Validate(); err != nil {
		return nil, err
	}
	if err := c.meta.apply(changes); err != nil {
		return nil, err
	}
	return c.registerMeta(), nil
}

// SetMeta replaces the metadata of the configuration and registers the node again if that changes anything.
func (c *Client) SetMeta(meta map[string]string) {
	c.meta.setStatic(meta)
	c.registerMeta()
}

// registerMeta puts the metadata into the node's record and has it registered again if that differs. What it returns may
// be newer than the caller's change.
func (c *Client) registerMeta() *structs.NodeMetaResponse {
	c.mu.Lock()
	r := c.meta.response()
	now := structs.NewStringMap(r.Meta)
	same := c.node.Meta.Equal(now)
	if !same {
		c.node.Meta = now
	}
	c.mu.Unlock()
	if !same {
		c.changed.Store(true)
		c.wakeUp()
	}
	return r
}
