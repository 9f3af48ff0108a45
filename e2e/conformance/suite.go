package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

//go:embed not_applicable.txt
var notApplicable string

// suiteTimeout bounds the whole run; one test takes seconds.
const suiteTimeout = 20 * time.Minute

// parseExclusions reads lines of a test's name, a colon and the reason; # begins a comment.
func parseExclusions(text string) (map[string]string, error) {
	out := map[string]string{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, ":")
		reason = strings.TrimSpace(reason)
		switch {
		case !ok || !strings.HasPrefix(name, "Test") || reason == "":
			return nil, fmt.Errorf("not_applicable.txt:%d: want the name of a test, a colon and the reason", n)
		case out[name] != "":
			return nil, fmt.Errorf("not_applicable.txt:%d: %s is there twice", n, name)
		}
		out[name] = reason
	}
	return out, nil
}

// suite is one run.
type suite struct {
	sdk      *sdkCopy
	bin, tmp string
	excluded map[string]string
	verbose  bool
}

// env is that of the tests: nothing of ours tells the SDK or the servers anything.
func (s *suite) env() []string {
	env := slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return strings.HasPrefix(name, "NOMAD_") || strings.HasPrefix(name, "ROLLCALL_") ||
			name == "GOFLAGS" || name == "PATH" || name == "TMPDIR" || name == "GOWORK"
	})
	return append(env, "PATH="+s.bin+string(os.PathListSeparator)+os.Getenv("PATH"), "TMPDIR="+s.tmp, "GOWORK=off")
}

// run runs what applies, or of it what only matches.
func (s *suite) run(ctx context.Context, only string) (*report, error) {
	match, err := regexp.Compile(only)
	if err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	all, err := s.sdk.tests(ctx, s.env())
	if err != nil {
		return nil, err
	}
	r := &report{version: s.sdk.version, excluded: s.excluded}
	for name := range s.excluded {
		if !slices.Contains(all, name) {
			r.stale = append(r.stale, name)
		}
	}
	var names []string
	for _, name := range all {
		switch {
		case !s.sdk.server[name]:
			r.alone++
		case s.excluded[name] == "" && match.MatchString(name):
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, errors.New("no test to run")
	}
	if r.results, err = s.test(ctx, names); err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, ok := r.results[name]; !ok {
			r.results[name] = &result{action: "did not run"}
		}
	}
	return r, nil
}

// event is a line of go test -json.
type event struct {
	Action, Test, Output string
	Elapsed              float64
}

// test runs the named tests and returns how each ended. Servers that they left behind are killed.
func (s *suite) test(ctx context.Context, names []string) (map[string]*result, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-timeout", suiteTimeout.String(),
		"-run", "^("+strings.Join(names, "|")+")$", ".")
	cmd.Dir, cmd.Env = s.sdk.dir, s.env()
	kill := ownGroup(cmd)
	defer kill()
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(s.tmp, "stderr"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run the tests of the SDK: %w", err)
	}
	results, err := readEvents(pipe, s.verbose)
	if waitErr := cmd.Wait(); err == nil && len(results) == 0 {
		err = fmt.Errorf("run the tests of the SDK: no test ran: %w", waitErr)
	}
	return results, err
}

// result is how one test ended: pass, fail or skip.
type result struct {
	action  string
	seconds float64
	output  []string
}

func readEvents(r io.Reader, verbose bool) (map[string]*result, error) {
	results := map[string]*result{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Test == "" {
			continue
		}
		if verbose && e.Action == "output" {
			fmt.Print(e.Output)
		}
		name, _, sub := strings.Cut(e.Test, "/")
		if results[name] == nil {
			results[name] = &result{action: "unfinished"}
		}
		t := results[name]
		switch e.Action {
		case "output":
			t.output = append(t.output, e.Output)
		case "pass", "fail", "skip":
			if !sub {
				t.action, t.seconds = e.Action, e.Elapsed
			}
		}
	}
	return results, lines.Err()
}
