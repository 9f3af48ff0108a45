//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// command runs the binary to its end and returns what it printed and its exit code.
func command(t *testing.T, ctx context.Context, c *Cluster, args ...string) (stdout string, code int) {
	t.Helper()
	out, err := os.CreateTemp(c.dir, "stdout-*")
	must(t, err)
	defer out.Close()
	p, err := c.Group.Start(Command{Name: "command", Path: c.Binary(), Args: args, Env: c.tokenEnv(), Stdout: out})
	must(t, err)
	code, err = p.Exit(ctx)
	must(t, err)
	text, err := os.ReadFile(out.Name())
	must(t, err)
	return string(text), code
}

// commandOK runs a command that must succeed and decodes what it printed, unless result is nil.
func commandOK(t *testing.T, ctx context.Context, c *Cluster, result any, args ...string) {
	t.Helper()
	text, code := command(t, ctx, c, args...)
	if code != 0 {
		t.Fatalf("rollcall %q ended with code %d: %s", args, code, text)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal([]byte(text), result); err != nil {
		t.Fatalf("rollcall %q: %v in %s", args, err, text)
	}
}

// snapshotSummary is some of what inspect says.
type snapshotSummary struct {
	Index       uint64
	ArchiveSize int64
	Nodes       struct{ Total int }
}

// inspect verifies an archive and describes it, with the commands.
func inspect(t *testing.T, ctx context.Context, c *Cluster, archive []byte) *snapshotSummary {
	t.Helper()
	path := filepath.Join(c.dir, "inspected.snap")
	must(t, os.WriteFile(path, archive, 0o600))
	commandOK(t, ctx, c, nil, "operator", "snapshot", "verify", path)
	summary := new(snapshotSummary)
	commandOK(t, ctx, c, summary, "operator", "snapshot", "inspect", "-json", path)
	if summary.ArchiveSize != int64(len(archive)) {
		t.Errorf("inspect says that the archive has %d bytes, want %d", summary.ArchiveSize, len(archive))
	}
	return summary
}
