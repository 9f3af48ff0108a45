package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/replay"
)

func (a *app) raftStateCommand() *cli.Command {
	return a.command(spec{
		name: "state", usage: "print the state that a stopped server's data come to", args: "DATA_DIR", least: 1, most: 1,
		help: "Loads the newest usable snapshot, applies the log entries after it and prints the state as JSON: nodes, pools, keys without their\n" +
			"material, settings, table indexes and the state digest. Entries that were not committed yet are in it too; -last-index leaves them out.\n\n" +
			dataDirHelp + "\n\nIf something is wrong with the log no state is printed and the exit code is 1.",
		example: "operator raft state -last-index 1200 /var/lib/rollcall",
		flags: []cli.Flag{
			&cli.Uint64Flag{Name: "last-index", Usage: "stop after the entry at `INDEX`", HideDefault: true},
			&cli.StringFlag{Name: "t", Usage: "print with a Go `TEMPLATE`", HideDefault: true},
		},
	}, func(ctx context.Context, v *invocation) error {
		return withDataDir(v, func(d *replay.Dir) error {
			show, end := v.replayProgress()
			defer end()
			r, err := d.Run(ctx, replay.Options{Until: v.Uint64("last-index"), Progress: show})
			end()
			var p *replay.Problem
			if errors.As(err, &p) {
				return fmt.Errorf("%w; see 'operator raft replay' for what can be made of it", err)
			}
			if err != nil {
				return err
			}
			v.warnOfSnapshots(r)
			view, err := r.View()
			if err != nil {
				return err
			}
			if t := v.String("t"); t != "" {
				return v.printTemplate(t, view)
			}
			return v.printJSON(view)
		})
	})
}

// warnOfSnapshots says which snapshots could not be used.
func (v *invocation) warnOfSnapshots(r *replay.Result) {
	for _, s := range r.UnusableSnapshots {
		fmt.Fprintf(v.err, "Warning: snapshot %s is not usable: %s\n", printable(s.ID), printable(s.Problem))
	}
}
