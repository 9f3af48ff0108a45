package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// certTime is how long a command that makes a certificate may take.
const certTime = time.Minute

// Certificates is a folder with what one authority made: its own certificate and sets for servers and nodes.
type Certificates struct {
	Dir    string
	binary string
}

// NewCertificates makes an authority, and a certificate for servers and for nodes, with the program's own commands.
func NewCertificates(binary, dir string) (*Certificates, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create folder for certificates: %w", err)
	}
	c := &Certificates{Dir: dir, binary: binary}
	for _, args := range []string{"tls ca create", "tls cert create -server", "tls cert create -client"} {
		if err := c.run(strings.Fields(args)...); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// run runs a command in the folder.
func (c *Certificates) run(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), certTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.binary, args...)
	cmd.Dir = c.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// CA is the file of the authority's certificate.
func (c *Certificates) CA() string { return filepath.Join(c.Dir, "nomad-agent-ca.pem") }

// Pair are the files of a certificate and its key; role is "server" or "client".
func (c *Certificates) Pair(role string) (cert, key string) {
	base := filepath.Join(c.Dir, "global-"+role+"-nomad")
	return base + ".pem", base + "-key.pem"
}

// block is the tls block of an agent's configuration; empty without certificates.
func (c *Certificates) block(role string) string {
	if c == nil {
		return ""
	}
	cert, key := c.Pair(role)
	return fmt.Sprintf("tls {\n  rpc = true\n  verify_server_hostname = true\n  ca_file = %q\n  cert_file = %q\n  key_file = %q\n}\n", c.CA(), cert, key)
}
