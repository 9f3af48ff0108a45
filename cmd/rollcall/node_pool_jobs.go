package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"
)

func (a *app) nodePoolJobsCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "jobs", usage: "list the jobs of a pool", args: "NAME", least: 1, most: 1,
		help:    "There are none: nothing here runs jobs. The command exists for scripts that call it.",
		example: "node pool jobs default",
		flags:   listFlags(verboseFlag()),
	}, func(ctx context.Context, v *invocation) error {
		q, err := v.page()
		if err != nil {
			return err
		}
		name := v.Args().First()
		res, err := v.client.NodePoolJobs(ctx, name, q)
		if err != nil {
			return fmt.Errorf("list jobs of pool %q: %w", name, err)
		}
		return v.result(res.Value, func(w io.Writer) { fmt.Fprintln(w, "No jobs") })
	})
}
