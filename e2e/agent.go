package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// AgentConfig is a node.
type AgentConfig struct {
	Name    string
	Pool    string   // empty: the default one
	Class   string   // may be empty
	Servers []string // RPC addresses; empty: all of the cluster
}

// Agent is a node's agent: its place, its address, and its process while it runs.
type Agent struct {
	*Process // the latest; nil before the first start
	Name     string
	Dir      string // data_dir
	HTTP     string // http://host:port
	Config   string // path of the configuration file
	API      *api.Client

	port    int
	cluster *Cluster
}

// NewAgent writes the configuration of a node of this cluster; Start starts it.
func (c *Cluster) NewAgent(conf AgentConfig) (*Agent, error) {
	if len(conf.Servers) == 0 {
		conf.Servers = c.RPCAddrs()
	}
	a := &Agent{Name: conf.Name, Dir: filepath.Join(c.dir, conf.Name), cluster: c}
	var err error
	if a.port, err = FreePort(); err != nil {
		return nil, err
	}
	a.HTTP = "http://" + loopback(a.port)
	if a.API, err = api.New(api.Config{Address: a.HTTP, Token: c.Token}); err != nil {
		return nil, fmt.Errorf("make API client of %s: %w", a.Name, err)
	}
	a.Config, err = writeConfig(c.dir, a.Name, a.agentFile(conf))
	return a, err
}

// Start starts the agent's process.
func (a *Agent) Start() error { return a.StartWith(nil) }

// StartWith starts the agent's process with more of an environment, entries of which win, and more flags.
func (a *Agent) StartWith(env []string, flags ...string) error {
	args := append([]string{"agent", "-config=" + a.Config}, flags...)
	p, err := a.cluster.Group.Start(Command{Name: a.Name, Path: a.cluster.binary, Args: args, Env: env})
	if err != nil {
		return err
	}
	a.Process = p
	return nil
}

// StateDir is where the agent keeps its ID, its secret and its identity.
func (a *Agent) StateDir() string { return filepath.Join(a.Dir, "client") }

// NodeID asks the agent which node it is.
func (a *Agent) NodeID(ctx context.Context) (string, error) {
	self, err := a.API.Self(ctx)
	if err != nil {
		return "", fmt.Errorf("ask %s which node it is: %w", a.Name, err)
	}
	return self.NodeID()
}

// Identity returns the signed identity that the agent has on disk.
func (a *Agent) Identity() (string, error) { return ReadIdentity(a.StateDir()) }

// WaitReady waits until the node is ready, as the servers see it through api, and holds an identity.
func (a *Agent) WaitReady(ctx context.Context, limit time.Duration, servers *api.Client) (*structs.Node, error) {
	var node *structs.Node
	err := Eventually(ctx, "get "+a.Name+" ready", limit, func(ctx context.Context) error {
		if !a.Running() {
			return Final(fmt.Errorf("%s has ended\n%s", a.Name, a.Tail(20)))
		}
		id, err := a.NodeID(ctx)
		if err != nil {
			return err
		}
		res, err := servers.Node(ctx, id, nil)
		if err != nil {
			return fmt.Errorf("look up node of %s: %w", a.Name, err)
		}
		if res.Value.Status != structs.NodeStatusReady {
			return fmt.Errorf("node of %s is %s", a.Name, res.Value.Status)
		}
		if _, err := a.API.NodeIdentity(ctx, "", nil); err != nil {
			return fmt.Errorf("identity of %s: %w", a.Name, err)
		}
		node = res.Value
		return nil
	})
	return node, err
}
