package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// serverFile is the configuration file of a server.
func (s *Server) serverFile(c ClusterConfig, join []string, issuer string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name = %q\ndata_dir = %q\nbind_addr = \"127.0.0.1\"\n", s.Name, s.Dir)
	fmt.Fprintf(&b, "ports {\n  http = %d\n  rpc = %d\n  serf = %d\n}\n", s.ports[0], s.ports[1], s.ports[2])
	fmt.Fprintf(&b, "server {\n  enabled = true\n  bootstrap_expect = %d\n", c.Servers)
	fmt.Fprintf(&b, "  server_join {\n    retry_join = [%s]\n    retry_interval = \"1s\"\n  }\n", quoted(join))
	fmt.Fprintf(&b, "  encrypt = %q\n  oidc_issuer = %q\n", s.cluster.GossipKey, issuer)
	fmt.Fprint(&b, indent(c.ServerBlock), "}\n", s.cluster.Certificates.block("server"), s.cluster.aclBlock())
	// A whole fleet comes from one address here.
	fmt.Fprint(&b, "limits {\n  rpc_max_conns_per_client = 0\n  http_max_conns_per_client = 0\n}\n")
	// Where a disk syncs fast, a server that comes back should be a voter again soon.
	fmt.Fprint(&b, "autopilot {\n  server_stabilization_time = \"1s\"\n}\n")
	return b.String()
}

// agentFile is the configuration file of a node's agent.
func (a *Agent) agentFile(c AgentConfig) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name = %q\ndata_dir = %q\nbind_addr = \"127.0.0.1\"\n", c.Name, a.Dir)
	fmt.Fprintf(&b, "ports {\n  http = %d\n}\n", a.port)
	fmt.Fprintf(&b, "client {\n  enabled = true\n  servers = [%s]\n", quoted(c.Servers))
	if c.Pool != "" {
		fmt.Fprintf(&b, "  node_pool = %q\n", c.Pool)
	}
	if c.Class != "" {
		fmt.Fprintf(&b, "  node_class = %q\n", c.Class)
	}
	fmt.Fprint(&b, "}\n", a.cluster.Certificates.block("client"), a.cluster.aclBlock())
	return b.String()
}

func quoted(values []string) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strconv.Quote(v)
	}
	return strings.Join(out, ", ")
}

// indent puts every line of text into a block.
func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

func writeConfig(dir, name, text string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("create folder of %s: %w", name, err)
	}
	path := filepath.Join(dir, name+".hcl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write configuration of %s: %w", name, err)
	}
	return path, nil
}
