package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strconv"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/host"
	"github.com/rollcall-id/rollcall/internal/version"
	"github.com/rollcall-id/rollcall/structs"
)

// DefaultRPCPort is assumed for a server given without a port.
const DefaultRPCPort = "4647"

// Config is what a node is and where its servers are. It has one field for each setting of the client block that this
// package acts on.
type Config struct {
	Region     string // required
	Datacenter string // required
	Name       string // default: the host name
	NodePool   string // empty: that of the introduction, else the default one
	NodeClass  string
	Meta       map[string]string

	// StateDir holds the node's ID, secret and identity. It is created with mode 0700. It may be empty if Dev is set: then
	// all of it is in memory and gone with the process.
	StateDir string
	// Servers are host:port of RPC ports to begin with; the port may be left out. Replies of servers extend the
	// list, and these stay as a fallback.
	Servers []string
	// HTTPAddr is the host:port of the agent's HTTP API that the node advertises, HTTPTLS whether it is HTTPS.
	HTTPAddr string
	HTTPTLS  bool
	// IntroToken introduces a machine that has never registered. When empty, the file intro_token.jwt in
	// StateDir is read before every registration that could use it.
	IntroToken string
	// Dev retries within a second, for servers that start in the same process.
	Dev bool
	// EnableDebug lets servers take profiles of this agent for operators.
	EnableDebug bool
	// Version is our own release, reported as attribute rollcall.version. Default: that of the binary.
	Version string
	Logger  hclog.Logger // nil: no logging
	// Logs is the log of the whole process, for servers that follow it; nil: they can't.
	Logs hclog.InterceptLogger
	// Reports tell servers about the whole agent; nil: nobody does.
	Reports host.Reports

	// DialTLS is the client configuration for a connection to a server; nil, or a nil result: plain.
	DialTLS func(addr string) *tls.Config
	// Dial opens the connections to servers; nil: TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
}

// withDefaults returns a copy with defaults and its own maps, or everything that is wrong with cfg.
func (cfg Config) withDefaults(hostname string) (Config, error) {
	if cfg.Name == "" {
		cfg.Name = hostname
	}
	if cfg.Version == "" {
		cfg.Version = version.Version
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	cfg.Meta = maps.Clone(cfg.Meta)
	var errs []error
	add := func(bad bool, text string) {
		if bad {
			errs = append(errs, errors.New(text))
		}
	}
	add(cfg.Region == "", "region is missing")
	add(cfg.Datacenter == "", "datacenter is missing")
	add(cfg.Name == "", "node name is missing and the machine has no host name")
	add(cfg.StateDir == "" && !cfg.Dev, "state directory is missing")
	add(cfg.NodePool == structs.NodePoolAll, `node pool "all" holds every node; name another one`)
	if cfg.NodePool != "" && cfg.NodePool != structs.NodePoolAll {
		if err := structs.ValidateNodePoolName(cfg.NodePool); err != nil {
			errs = append(errs, err)
		}
	}
	servers, err := normalizeServers(cfg.Servers)
	if err != nil {
		errs = append(errs, err)
	}
	cfg.Servers = servers
	if err := errors.Join(errs...); err != nil {
		return Config{}, fmt.Errorf("client configuration: %w", err)
	}
	return cfg, nil
}

// normalizeServers returns the addresses as host:port, without repetitions, or what is wrong with any of them.
func normalizeServers(addrs []string) ([]string, error) {
	var out []string
	var errs []error
	seen := make(map[string]bool, len(addrs))
	for _, addr := range addrs {
		a, err := normalizeServer(addr)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !seen[a] {
			seen[a] = true
			out = append(out, a)
		}
	}
	return out, errors.Join(errs...)
}

func normalizeServer(addr string) (string, error) {
	if ip, err := netip.ParseAddr(addr); err == nil {
		return net.JoinHostPort(ip.String(), DefaultRPCPort), nil
	}
	host, port, err := net.SplitHostPort(addr)
	var ae *net.AddrError
	if errors.As(err, &ae) && ae.Err == "missing port in address" {
		host, port, err = net.SplitHostPort(addr + ":" + DefaultRPCPort)
	}
	if err != nil {
		return "", fmt.Errorf("server address %q: %w", addr, err)
	}
	if host == "" {
		return "", fmt.Errorf("server address %q: host is missing", addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("server address %q: port %q is not a number from 1 to 65535", addr, port)
	}
	return net.JoinHostPort(host, port), nil
}
