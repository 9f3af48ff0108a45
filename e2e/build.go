package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// buildTags are what every build of the binary needs: without it Raft's metrics vanish.
const buildTags = "hashicorpmetrics"

// Build builds the program ./cmd/rollcall into dir and returns its path, or the one that ROLLCALL_E2E_BINARY names.
func Build(ctx context.Context, dir string) (string, error) {
	if path := os.Getenv("ROLLCALL_E2E_BINARY"); path != "" {
		path, err := filepath.Abs(path)
		if err == nil {
			_, err = os.Stat(path)
		}
		if err != nil {
			return "", fmt.Errorf("ROLLCALL_E2E_BINARY: %w", err)
		}
		return path, nil
	}
	return build(ctx, dir, "cmd/rollcall")
}

// BuildFleet builds the program ./e2e/fleet into dir and returns its path.
func BuildFleet(ctx context.Context, dir string) (string, error) { return build(ctx, dir, "e2e/fleet") }

func build(ctx context.Context, dir, pkg string) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, filepath.Base(pkg))
	args := []string{"build", "-trimpath", "-buildvcs=false", "-tags", buildTags, "-ldflags", "-s -w", "-o", path}
	env := append(os.Environ(), "CGO_ENABLED=0")
	if os.Getenv("ROLLCALL_E2E_RACE") == "1" {
		args, env = append(args, "-race"), append(os.Environ(), "CGO_ENABLED=1")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+pkg)...)
	cmd.Dir, cmd.Env = root, env
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build ./%s: %w\n%s", pkg, err, bytes.TrimSpace(out))
	}
	return path, nil
}

// moduleRoot is the folder of go.mod.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("ask go for the module: %w", err)
	}
	gomod := string(bytes.TrimSpace(out))
	if gomod == "" || gomod == os.DevNull {
		return "", fmt.Errorf("no go.mod found: run this inside a checkout of Rollcall")
	}
	return filepath.Dir(gomod), nil
}
