package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
)

// maxDebugDuration bounds a capture: what it gathers of logs is held in memory.
const maxDebugDuration = time.Hour

func (a *app) operatorDebugCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "debug", usage: "gather what helps to understand a cluster, in one archive",
		help: "The archive has, of the cluster: members, Raft and autopilot configuration, health, keys without their material, nodes and\n" +
			"pools; of each agent: configuration without secrets, state digest, metrics, machine, goroutines, heap, a processor profile and\n" +
			"its log while the command runs. All servers of the region are asked, by way of the one at -address. What could not be had is\n" +
			"listed in manifest.json with the reason; if an agent did not answer at all the exit code is 1. After Ctrl-C the archive has\n" +
			"what was gathered until then, and says so; it appears under its name only when it is finished.",
		example: "operator debug -duration 30s -interval 10s\n" +
			"  rollcall operator debug -agent-address 10.0.0.12:4646 -agent-address 10.0.0.13:4646 -output /tmp",
		flags: outputFlags(
			&cli.DurationFlag{Name: "duration", Usage: "gather for `DURATION`", Value: 2 * time.Minute},
			&cli.DurationFlag{Name: "interval", Usage: "look at what changes every `DURATION`", Value: 30 * time.Second},
			&cli.DurationFlag{Name: "pprof-duration", Usage: "take a processor profile of `DURATION`", Value: time.Second},
			&cli.StringFlag{Name: "log-level", Usage: "`LEVEL` of the log: trace, debug, info, warn or error", Value: "debug"},
			stringFlag("output", "`FILE` to write, or the directory to write it to (default: rollcall-debug-<time>.tar.gz here)"),
			&cli.StringFlag{Name: "server-id", Usage: "`IDS` or names of servers, with commas between them, leader or all", Value: "all"},
			stringFlag("node-id", "`IDS` of nodes to look at as well, with commas between them"),
			&cli.StringSliceFlag{Name: "agent-address", Usage: "HTTP `ADDRESS` of another agent to ask; repeatable", HideDefault: true},
		),
	}, func(ctx context.Context, v *invocation) error {
		start := time.Now().UTC()
		path, err := v.debugOptions(start)
		if err != nil {
			return err
		}
		cfg, err := clientConfig(v.Command)
		if err != nil {
			return err
		}
		archive, err := createBundle(path, cfg.Token)
		if err != nil {
			return err
		}
		defer archive.discard()
		d, err := v.newDebugRun(ctx, archive, start)
		if err != nil {
			return err
		}
		defer d.close()
		d.run(ctx)
		if err := archive.finish(d.manifest(ctx)); err != nil {
			return err
		}
		failed := ""
		if n := len(archive.failures); n > 0 {
			failed = fmt.Sprintf("; %d parts could not be had, see manifest.json in it", n)
		}
		if ctx.Err() != nil {
			fmt.Fprintln(v.err, "Interrupted; the archive has what was gathered until then")
		}
		unreachable := d.unreachable()
		err = v.done(struct {
			Archive     string
			Unreachable []string
			Failures    []debugFailure
		}{path, unreachable, archive.failures}, "Created debug archive: %s%s", path, failed)
		if err == nil && len(unreachable) > 0 {
			err = fmt.Errorf("no answer from %s; the archive has the rest", strings.Join(unreachable, ", "))
		}
		return err
	})
}

// debugOptions checks the flags and returns where the archive goes.
func (v *invocation) debugOptions(now time.Time) (string, error) {
	duration, interval, profile := v.Duration("duration"), v.Duration("interval"), v.Duration("pprof-duration")
	switch {
	case duration <= 0 || duration > maxDebugDuration:
		return "", usagef(v.Command, "-duration must be positive and at most %s", maxDebugDuration)
	case interval < time.Second || interval > duration:
		return "", usagef(v.Command, "-interval must be at least 1s and at most -duration")
	case profile < time.Second || profile > duration:
		return "", usagef(v.Command, "-pprof-duration must be at least 1s and at most -duration")
	}
	switch level := v.String("log-level"); strings.ToLower(level) {
	case "trace", "debug", "info", "warn", "error":
	default:
		return "", usagef(v.Command, "-log-level %q is not known; want trace, debug, info, warn or error", level)
	}
	path := v.String("output")
	name := "rollcall-debug-" + now.Format("2006-01-02-150405Z") + ".tar.gz"
	if info, err := os.Stat(path); path == "" || err == nil && info.IsDir() {
		path = filepath.Join(path, name)
	}
	if _, err := os.Lstat(path); err == nil {
		return "", fmt.Errorf("create debug archive: %s exists already", path)
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("create debug archive: %w", err)
	}
	return path, nil
}

// newDebugRun finds out whom to ask. An agent at an address that does not answer is an error: it was named.
func (v *invocation) newDebugRun(ctx context.Context, archive *bundle, start time.Time) (*debugRun, error) {
	d := &debugRun{v: v, archive: archive, start: start, slots: make(chan struct{}, debugParallel), limit: debugPartLimit + v.Duration("pprof-duration")}
	d.agents = append(d.agents, &debugAgent{client: v.client})
	for _, address := range v.StringSlice("agent-address") {
		cfg, err := clientConfig(v.Command)
		if err != nil {
			return nil, err
		}
		cfg.Address = address
		client, err := api.New(cfg)
		if err != nil {
			return nil, usagef(v.Command, "-agent-address: %s", err)
		}
		d.agents = append(d.agents, &debugAgent{client: client, opened: true})
	}
	for _, a := range d.agents {
		if err := a.introduce(ctx); err != nil {
			d.close()
			return nil, err
		}
	}
	if err := d.addServers(ctx, v.String("server-id")); err != nil {
		d.close()
		return nil, err
	}
	return d, d.addNodes(ctx, v.String("node-id"))
}
