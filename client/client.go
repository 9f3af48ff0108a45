package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// Client is a node. Its methods are safe for concurrent use.
type Client struct {
	cfg     Config
	log     hclog.Logger
	store   store
	pool    caller
	servers *serverList
	cred    *credentials
	meta    *nodeMeta
	stat    status
	ready   chan struct{} // closed at the first accepted heartbeat with an identity

	wake    chan struct{} // something changed that the run loop should not wait to act on; holds one
	changed atomic.Bool   // the node has changed since it last registered

	hostStats hostStats

	mu   sync.Mutex // guards the fields below
	node *structs.Node

	stop     context.CancelFunc
	stopped  context.Context
	running  sync.WaitGroup
	shutdown sync.Once
}

// New prepares a node: it locks the state directory, reads or makes the node's ID and secret, and looks at the
// machine. Nothing is sent before Run. Shutdown must be called in any case.
//
// Errors are those of the configuration and of the state directory; trying again does not help.
func New(cfg Config) (*Client, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("read the host name: %w", err)
	}
	if cfg, err = cfg.withDefaults(hostname); err != nil {
		return nil, err
	}
	log := cfg.Logger.Named("client")
	st, nodeID, secretID, err := openState(cfg, log)
	if err != nil {
		return nil, err
	}
	c, err := newClient(cfg, st, nodeID, secretID, fingerprint(hostname, cfg.Version))
	if err != nil {
		st.close()
		return nil, err
	}
	c.pool = transport.NewPool(transport.PoolConfig{
		Logger: log, DialTLS: cfg.DialTLS, Dial: cfg.Dial, Reverse: reverse{c},
	})
	return c, nil
}

// openState locks the state directory before it looks for the IDs, so that two agents can't both make them.
func openState(cfg Config, log hclog.Logger) (st store, nodeID, secretID string, err error) {
	if cfg.StateDir == "" {
		return new(memStore), newUUID(), newUUID(), nil
	}
	if err := prepareStateDir(cfg.StateDir, log); err != nil {
		return nil, "", "", err
	}
	db, err := openStore(cfg.StateDir, log)
	if err != nil {
		return nil, "", "", err
	}
	nodeID, err = readOrCreateID(cfg.StateDir, nodeIDFile, log)
	if err == nil {
		secretID, err = readOrCreateID(cfg.StateDir, secretIDFile, log)
	}
	if err != nil {
		db.close()
		return nil, "", "", fmt.Errorf("client state directory: %w", err)
	}
	return db, nodeID, secretID, nil
}

// newClient puts the parts together; the caller sets pool.
func newClient(cfg Config, st store, nodeID, secretID string, attributes map[string]string) (*Client, error) {
	cred, err := loadCredentials(nodeID, secretID, st)
	if err != nil {
		return nil, err
	}
	meta, err := loadNodeMeta(st, cfg.Meta)
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, log: cfg.Logger.Named("client"), store: st, servers: newServerList(cfg.Servers), cred: cred, meta: meta,
		ready: make(chan struct{}), wake: make(chan struct{}, 1),
		node: &structs.Node{
			ID: nodeID, SecretID: secretID, Datacenter: cfg.Datacenter, Name: cfg.Name, NodePool: cfg.NodePool,
			NodeClass: cfg.NodeClass, Meta: structs.NewStringMap(meta.response().Meta), HTTPAddr: cfg.HTTPAddr, TLSEnabled: cfg.HTTPTLS,
			Attributes: structs.NewStringMap(attributes), NodeResources: noResources, ReservedResources: noReservedResources,
			Status: structs.NodeStatusInit,
		},
	}
	c.stopped, c.stop = context.WithCancel(context.Background())
	return c, nil
}

// Shutdown ends Run, waits until everything has stopped, closes the connections and gives the state directory free. It is
// idempotent.
func (c *Client) Shutdown() error {
	var err error
	c.shutdown.Do(func() {
		c.mu.Lock()
		c.stop()
		c.mu.Unlock()
		c.running.Wait()
		err = errors.Join(c.pool.Close(), c.store.close())
	})
	return err
}

// NodeID returns the node's ID, which never changes.
func (c *Client) NodeID() string { return c.cred.nodeID }

// Node returns a copy of the node as it registers, without its secret.
func (c *Client) Node() *structs.Node {
	n := c.registration()
	n.SecretID = ""
	return n
}

// registration returns a copy of the node with its secret.
func (c *Client) registration() *structs.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.node.Copy()
}

// updateNode changes the node under its lock.
func (c *Client) updateNode(f func(*structs.Node)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.node)
}

// Servers returns the known servers in the order of their turn.
func (c *Client) Servers() []string { return c.servers.all() }

// SetServers replaces the configured servers and forgets those learned from replies. A waiting retry is made at
// once. An error names every address that is wrong; then nothing is changed.
func (c *Client) SetServers(addrs []string) error {
	normal, err := normalizeServers(addrs)
	if err != nil {
		return err
	}
	if len(normal) == 0 {
		return errors.New("no server address given")
	}
	c.servers.configure(normal)
	c.wakeUp()
	return nil
}

func (c *Client) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default: // it is going to look anyway
	}
}

// Ready is closed once a heartbeat was accepted while the node had an identity.
func (c *Client) Ready() <-chan struct{} { return c.ready }

// IdentityClaims returns the payload of the node's identity as decoded JSON: numbers are float64. It fails with
// structs.ErrNoIdentity before the first identity.
func (c *Client) IdentityClaims() (map[string]any, error) {
	token, _, _ := c.cred.identity()
	if token == "" {
		return nil, structs.ErrNoIdentity
	}
	payload, err := claimsOf(token)
	if err != nil {
		return nil, fmt.Errorf("read own identity: %w", err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, fmt.Errorf("read own identity: %w", err)
	}
	return claims, nil
}

// Renew asks for a new identity at the next heartbeat, and at every one after it until one arrives.
func (c *Client) Renew() { c.cred.forceRenewal() }

// OnIdentity calls f with the signed identity, if there is one, and then with every new one, after it is on disk. f must not
// block: heartbeats wait for it. It can't be removed.
func (c *Client) OnIdentity(f func(token string)) { c.cred.watch(f) }
