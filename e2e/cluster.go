package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-uuid"

	"github.com/rollcall-id/rollcall/api"
)

// formTime is how long a cluster may take to have a leader that all servers agree on.
const formTime = 60 * time.Second

// ClusterConfig says what a cluster is made of.
type ClusterConfig struct {
	Binary  string
	Dir     string // for configuration, data and logs
	Servers int
	// ServerBlock is text for the server block of every server's configuration, one setting a line.
	ServerBlock string
	// Plain leaves TLS and access control off, for programs that speak to the RPC port without them.
	Plain bool
	// GossipKey encrypts gossip; empty makes one, so that servers of other clusters on this machine, which may look for each other
	// at a port that is this one's by now, do not become members.
	GossipKey string
	// Token is the secret of the management token; empty makes one. A cluster that takes over another's snapshot is given the
	// other's, for it is the one that counts afterwards.
	Token string
}

// Cluster is a set of servers that are, or were, one Raft cluster, and the agents started beside them.
type Cluster struct {
	Servers []*Server
	Group   *Group
	// Issuer is the first server's HTTP address, and the iss claim of every identity.
	Issuer string
	// GossipKey is the key that servers begin with.
	GossipKey string
	// Certificates are those of all agents; nil without TLS.
	Certificates *Certificates
	// Token is the secret of the management token, which WaitLeader bootstraps; empty without access control.
	Token string

	binary string
	dir    string
}

// Server is one server: its place, its addresses, and its process while it runs.
type Server struct {
	*Process // the latest; nil before the first start
	Name     string
	Dir      string // data_dir
	HTTP     string // http://host:port
	RPC      string // host:port
	Config   string // path of the configuration file
	API      *api.Client

	ports   [3]int // HTTP, RPC, gossip
	cluster *Cluster
}

// NewCluster chooses ports and writes configuration files; nothing runs yet. Close it in any case.
func NewCluster(c ClusterConfig) (*Cluster, error) {
	group, err := NewGroup(filepath.Join(c.Dir, "logs"))
	if err != nil {
		return nil, err
	}
	cl := &Cluster{Group: group, GossipKey: c.GossipKey, binary: c.Binary, dir: c.Dir}
	if cl.GossipKey == "" {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		cl.GossipKey = base64.StdEncoding.EncodeToString(key)
	}
	if !c.Plain {
		if cl.Certificates, err = NewCertificates(c.Binary, filepath.Join(c.Dir, "tls")); err != nil {
			return nil, err
		}
		if cl.Token = c.Token; cl.Token == "" {
			if cl.Token, err = uuid.GenerateUUID(); err != nil {
				return nil, fmt.Errorf("make management token: %w", err)
			}
		}
	}
	var join []string
	for i := range c.Servers {
		s := &Server{Name: fmt.Sprintf("server-%d", i+1), cluster: cl}
		s.Dir = filepath.Join(c.Dir, s.Name)
		for j := range s.ports {
			if s.ports[j], err = FreePort(); err != nil {
				return nil, err
			}
		}
		s.HTTP, s.RPC = "http://"+loopback(s.ports[0]), loopback(s.ports[1])
		if s.API, err = api.New(api.Config{Address: s.HTTP, Token: cl.Token}); err != nil {
			return nil, fmt.Errorf("make API client of %s: %w", s.Name, err)
		}
		join = append(join, loopback(s.ports[2]))
		cl.Servers = append(cl.Servers, s)
	}
	cl.Issuer = cl.Servers[0].HTTP
	for _, s := range cl.Servers {
		if s.Config, err = writeConfig(c.Dir, s.Name, s.serverFile(c, join, cl.Issuer)); err != nil {
			return nil, err
		}
	}
	return cl, nil
}

// Start starts the server's process.
func (s *Server) Start() error { return s.StartBy(s.cluster.binary) }

// StartBy starts the server with another program in place of the binary, given the same arguments after its own.
func (s *Server) StartBy(path string, args ...string) error {
	p, err := s.cluster.Group.Start(Command{Name: s.Name, Path: path, Args: append(args, "agent", "-config="+s.Config)})
	if err != nil {
		return err
	}
	s.Process = p
	return nil
}

// Binary is the path of the program under test.
func (c *Cluster) Binary() string { return c.binary }

// Start starts all servers and waits until they have a leader.
func (c *Cluster) Start(ctx context.Context) error {
	for _, s := range c.Servers {
		if err := s.Start(); err != nil {
			return err
		}
	}
	_, err := c.WaitLeader(ctx)
	return err
}

// Close kills every process of the cluster.
func (c *Cluster) Close() {
	c.Group.Close()
	for _, s := range c.Servers {
		s.API.Close()
	}
}

// Running are the servers whose processes run.
func (c *Cluster) Running() []*Server {
	var out []*Server
	for _, s := range c.Servers {
		if s.Process != nil && s.Running() {
			out = append(out, s)
		}
	}
	return out
}

// WaitLeader waits until all running servers name the same running server as leader and can be read from, and returns it. It
// bootstraps access control where the state has no tokens yet.
func (c *Cluster) WaitLeader(ctx context.Context) (*Server, error) {
	var leader *Server
	err := Eventually(ctx, "elect a leader", formTime, func(ctx context.Context) (err error) {
		leader, err = c.agreedLeader(ctx)
		return err
	})
	return leader, err
}

func (c *Cluster) agreedLeader(ctx context.Context) (*Server, error) {
	var leader *Server
	for _, s := range c.Servers {
		if s.Process == nil {
			continue
		}
		if !s.Running() {
			continue
		}
		addr, err := s.API.Leader(ctx, "")
		if err != nil {
			return nil, fmt.Errorf("ask %s for the leader: %w", s.Name, err)
		}
		named := c.byRPC(addr)
		switch {
		case named == nil:
			return nil, fmt.Errorf("%s knows no leader (it says %q)", s.Name, addr)
		case !named.Running():
			return nil, fmt.Errorf("%s names %s as leader, which does not run", s.Name, named.Name)
		case leader != nil && named != leader:
			return nil, fmt.Errorf("%s names %s as leader, another server %s", s.Name, named.Name, leader.Name)
		}
		leader = named
		if err := s.readable(ctx); err != nil {
			return nil, fmt.Errorf("read through %s: %w", s.Name, err)
		}
	}
	if leader == nil {
		return nil, Final(errors.New("no server runs"))
	}
	return leader, nil
}

func (c *Cluster) byRPC(addr string) *Server {
	for _, s := range c.Servers {
		if s.RPC == addr {
			return s
		}
	}
	return nil
}

// Followers are the running servers besides the leader.
func (c *Cluster) Followers(leader *Server) []*Server {
	var out []*Server
	for _, s := range c.Running() {
		if s != leader {
			out = append(out, s)
		}
	}
	return out
}

// RPCAddrs are the RPC addresses of all servers.
func (c *Cluster) RPCAddrs() []string {
	var out []string
	for _, s := range c.Servers {
		out = append(out, s.RPC)
	}
	return out
}

// WaitVoters waits until every server of the cluster is a voter, as autopilot makes them.
func (c *Cluster) WaitVoters(ctx context.Context) error {
	return Eventually(ctx, "make every server a voter", formTime, func(ctx context.Context) error {
		conf, err := c.Running()[0].API.RaftConfiguration(ctx, nil)
		if err != nil {
			return err
		}
		voters := 0
		for _, s := range conf.Servers {
			if s.Voter {
				voters++
			}
		}
		if voters != len(c.Servers) {
			return fmt.Errorf("%d of %d servers are voters", voters, len(c.Servers))
		}
		return nil
	})
}
