package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// lastLines is how much of a failed test's output is shown.
const lastLines = 30

// report is the outcome of a run.
type report struct {
	version  string
	results  map[string]*result
	excluded map[string]string
	stale    []string // excluded, and no test
	alone    int      // tests that start no server, which were not run
}

// failed lists what should have passed.
func (r *report) failed() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(r.results)) {
		if r.results[name].action != "pass" {
			out = append(out, name)
		}
	}
	return out
}

func (r *report) ok() bool { return len(r.failed()) == 0 && len(r.stale) == 0 }

func (r *report) print(w io.Writer) {
	passed := 0
	for _, name := range slices.Sorted(maps.Keys(r.results)) {
		if t := r.results[name]; t.action == "pass" {
			passed++
			fmt.Fprintf(w, "passed          %s (%.1fs)\n", name, t.seconds)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.excluded)) {
		fmt.Fprintf(w, "not applicable  %s: %s\n", name, r.excluded[name])
	}
	for _, name := range r.failed() {
		t := r.results[name]
		fmt.Fprintf(w, "failed          %s: %s\n", name, t.action)
		for _, line := range t.output[max(0, len(t.output)-lastLines):] {
			fmt.Fprintf(w, "    %s\n", strings.TrimRight(line, "\n"))
		}
	}
	for _, name := range r.stale {
		fmt.Fprintf(w, "failed          %s: is in not_applicable.txt, and the SDK has no such test\n", name)
	}
	fmt.Fprintf(w, "\n%s %s: %d passed, %d failed, %d not applicable; %d more start no server\n",
		sdkModule, r.version, passed, len(r.failed())+len(r.stale), len(r.excluded)-len(r.stale), r.alone)
}
