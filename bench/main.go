package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/rollcall-id/rollcall/rpc/transport"
)

// poolsPerServer is how many connections the load uses to each server.
const poolsPerServer = 4

type options struct {
	nodes   []int
	states  []int // sizes of the states that are saved and restored
	callers int
	json    bool
	dir     string
}

func main() {
	sizes := flag.String("nodes", "1000,50000", "fleet sizes, separated by commas")
	states := flag.String("snapshots", "50000,500000", "sizes of states to save and restore, separated by commas; empty for none")
	callers := flag.Int("callers", 128, "calls in flight at the same time")
	asJSON := flag.Bool("json", false, "print JSON lines instead of a table")
	dir := flag.String("dir", "", "folder on the disk to measure; default: a temporary one")
	echoServer := flag.Bool("serve-echo", false, "internal: serve the bare echo")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := func() error {
		if *echoServer {
			return serveEcho()
		}
		opts := options{callers: *callers, json: *asJSON, dir: *dir}
		var err error
		if opts.nodes, err = parseSizes("-nodes", *sizes); err != nil {
			return err
		}
		if opts.states, err = parseSizes("-snapshots", *states); err != nil {
			return err
		}
		if opts.callers < 1 {
			return fmt.Errorf("-callers: %d is not a number of callers", opts.callers)
		}
		return run(ctx, opts)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseSizes(name, list string) ([]int, error) {
	var out []int
	for _, s := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%s: %q is not a number of nodes", name, s)
		}
		out = append(out, n)
	}
	return out, nil
}

// run measures the machine first, then the parts, then a whole cluster for each fleet size.
func run(ctx context.Context, opts options) error {
	dir, err := os.MkdirTemp(opts.dir, "rollcall-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out := report{w: os.Stdout, json: opts.json}
	out.title(machine())

	limits, err := measureLimits(ctx, dir, opts.callers)
	if err != nil {
		return err
	}
	out.section("This machine", limits)

	parts, err := measureParts(opts.nodes)
	if err != nil {
		return err
	}
	out.section("In one process, one core", parts)

	failed := false
	for _, n := range opts.nodes {
		results, err := measureCluster(ctx, dir, n, opts.callers)
		if err != nil {
			return fmt.Errorf("%d nodes: %w", n, err)
		}
		out.phases(fmt.Sprintf("Three servers, %d nodes, %d callers", n, opts.callers), results)
		for _, r := range results {
			failed = failed || r.Errors > 0
		}
	}
	for _, n := range opts.states {
		results, err := measureSnapshots(ctx, dir, n)
		if err != nil {
			return fmt.Errorf("snapshot of %d nodes: %w", n, err)
		}
		out.transfers(fmt.Sprintf("Snapshots of %d nodes, three servers", n), results)
	}
	if failed {
		return fmt.Errorf("some calls failed, so the figures don't count")
	}
	return nil
}

// figure is one measured rate.
type figure struct {
	Name      string  `json:"name"`
	PerSecond float64 `json:"per_second"`
}

func measureLimits(ctx context.Context, dir string, callers int) ([]figure, error) {
	fsync, err := measureFsync(dir)
	if err != nil {
		return nil, fmt.Errorf("measure fsync: %w", err)
	}
	signatures, err := measureSignatures()
	if err != nil {
		return nil, fmt.Errorf("measure signatures: %w", err)
	}
	heartbeats, registrations, err := measureEcho(ctx, callers)
	if err != nil {
		return nil, fmt.Errorf("measure echo: %w", err)
	}
	return []figure{
		{"fsync of 4 KiB", fsync}, {"bare ES256 signatures, one core", signatures},
		{heartbeats.Phase, heartbeats.PerSecond}, {registrations.Phase, registrations.PerSecond},
	}, nil
}

func measureParts(sizes []int) ([]figure, error) {
	var out []figure
	for _, n := range sizes {
		rate, err := measureApply(n)
		if err != nil {
			return nil, fmt.Errorf("measure FSM: %w", err)
		}
		out = append(out, figure{fmt.Sprintf("FSM applies, %d nodes", n), rate})
	}
	sign, verify, again, err := measureKeyring()
	if err != nil {
		return nil, fmt.Errorf("measure keyring: %w", err)
	}
	return append(out, figure{"identities signed", sign}, figure{"identities verified", verify}, figure{"identities verified again", again}), nil
}

// report prints for people, or a JSON object a line for programs.
type report struct {
	w    io.Writer
	json bool
}

func (r report) line(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of numbers and strings
	}
	fmt.Fprintln(r.w, string(b))
}

func (r report) title(text string) {
	if r.json {
		r.line(map[string]string{"machine": text})
		return
	}
	fmt.Fprintln(r.w, text)
}

func (r report) section(title string, figures []figure) {
	if r.json {
		for _, f := range figures {
			r.line(f)
		}
		return
	}
	fmt.Fprintf(r.w, "\n%s\n", title)
	for _, f := range figures {
		fmt.Fprintf(r.w, "  %-34s %10.0f/s\n", f.Name, f.PerSecond)
	}
}

func (r report) phases(title string, results []result) {
	if r.json {
		for _, p := range results {
			r.line(p)
		}
		return
	}
	fmt.Fprintf(r.w, "\n%s\n  %-34s %12s %9s %9s %9s %7s\n", title, "", "", "p50 ms", "p99 ms", "max ms", "errors")
	for _, p := range results {
		fmt.Fprintf(r.w, "  %-34s %10.0f/s %9.1f %9.1f %9.1f %7d %s\n", p.Phase, p.PerSecond, p.P50Ms, p.P99Ms, p.MaxMs, p.Errors, p.FirstErr)
	}
}

func (r report) transfers(title string, results []transfer) {
	if r.json {
		for _, t := range results {
			r.line(t)
		}
		return
	}
	fmt.Fprintf(r.w, "\n%s\n  %-34s %9s %9s %9s\n", title, "", "seconds", "MB/s", "peak MiB")
	for _, t := range results {
		fmt.Fprintf(r.w, "  %-34s %9.1f %9.0f %9d %s\n", t.Work, t.Seconds, t.MBps, t.PeakMiB, t.Note)
	}
}

// machine describes where the figures come from.
func machine() string {
	cpu := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for _, l := range strings.Split(string(b), "\n") {
			if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == "model name" {
				cpu = strings.TrimSpace(v)
				break
			}
		}
	}
	return fmt.Sprintf("%s/%s, %d cores (%s), %s; servers and load share the machine", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), cpu, runtime.Version())
}

func newPools(n int) []*transport.Pool {
	pools := make([]*transport.Pool, n)
	for i := range pools {
		pools[i] = transport.NewPool(transport.PoolConfig{MaxIdleStreams: 1024})
	}
	return pools
}

func closePools(pools []*transport.Pool) {
	for _, p := range pools {
		p.Close()
	}
}
