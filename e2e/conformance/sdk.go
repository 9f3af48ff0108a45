package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const sdkModule = "github.com/hashicorp/nomad/api"

// sdkCopy is the SDK's source outside of the repository.
type sdkCopy struct {
	dir, version string
	// server holds the tests that start a server.
	server map[string]bool
}

// copySDK copies the SDK as go.mod names it from the module cache, which is read-only.
func copySDK(ctx context.Context, dir string) (*sdkCopy, error) {
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", sdkModule).Output()
	if err != nil {
		return nil, fmt.Errorf("download %s: %w\n%s", sdkModule, err, out)
	}
	var mod struct{ Dir, Version string }
	if err := json.Unmarshal(out, &mod); err != nil {
		return nil, fmt.Errorf("download %s: %w", sdkModule, err)
	}
	if err := os.CopyFS(dir, os.DirFS(mod.Dir)); err != nil {
		return nil, fmt.Errorf("copy %s: %w", sdkModule, err)
	}
	server, err := serverTests(dir)
	if err != nil {
		return nil, err
	}
	return &sdkCopy{dir: dir, version: mod.Version, server: server}, nil
}

// serverTests finds the tests that start a server: they call one of the SDK's helpers for it.
func serverTests(dir string) (map[string]bool, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, path := range files {
		src, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return nil, fmt.Errorf("read tests: %w", err)
		}
		for _, d := range src.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") && startsServer(f) {
				found[f.Name.Name] = true
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("none of the tests in %s starts a server; do they still use makeClient?", dir)
	}
	return found, nil
}

func startsServer(f *ast.FuncDecl) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			switch id.Name {
			case "makeClient", "makeACLClient", "NewTestServer":
				found = true
			}
		}
		return !found
	})
	return found
}

// tests lists the names of the tests that a build has.
func (s *sdkCopy) tests(ctx context.Context, env []string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-list", ".", ".")
	cmd.Dir, cmd.Env = s.dir, env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the tests of the SDK: %w\n%s%s", err, out, stderr.Bytes())
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "Test") {
			names = append(names, line)
		}
	}
	return names, nil
}
