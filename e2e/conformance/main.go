package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/rollcall-id/rollcall/e2e"
)

func main() {
	run := flag.String("run", "", "only the tests whose name this regular expression matches")
	verbose := flag.Bool("v", false, "print what the tests print")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := conformance(ctx, *run, *verbose, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
	if err != nil || !ok {
		stop()
		os.Exit(1)
	}
}

// conformance runs the suite and reports whether all that must pass did.
func conformance(ctx context.Context, only string, verbose bool, out io.Writer) (ok bool, err error) {
	dir, err := os.MkdirTemp("", "rollcall-conformance-")
	if err != nil {
		return false, err
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	sdk, err := copySDK(ctx, filepath.Join(dir, "api"))
	if err != nil {
		return false, err
	}
	binary, err := e2e.Build(ctx, dir)
	if err != nil {
		return false, err
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return false, err
	}
	if err := os.Symlink(binary, filepath.Join(bin, "nomad")); err != nil {
		return false, err
	}
	excluded, err := parseExclusions(notApplicable)
	if err != nil {
		return false, err
	}
	s := suite{sdk: sdk, bin: bin, tmp: dir, excluded: excluded, verbose: verbose}
	report, err := s.run(ctx, only)
	if err != nil {
		return false, err
	}
	report.print(out)
	return report.ok(), nil
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
