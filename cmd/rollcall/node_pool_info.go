package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"
)

func (a *app) nodePoolInfoCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "info", usage: "show a node pool", args: "NAME", least: 1, most: 1,
		help:    "The TTL is how long an identity of a node in the pool is valid.",
		example: "node pool info default",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		return v.showNodePool(ctx, v.Args().First())
	})
}

func (v *invocation) showNodePool(ctx context.Context, name string) error {
	res, err := v.client.NodePool(ctx, name, nil)
	if err != nil {
		return fmt.Errorf("show node pool %q: %w", name, err)
	}
	p := res.Value
	return v.result(p, func(w io.Writer) {
		rows := [][2]string{{"Name", p.Name}, {"Description", orNone(p.Description)}}
		if p.NodeIdentityTTL > 0 {
			rows = append(rows, [2]string{"Node Identity TTL", p.NodeIdentityTTL.String()})
		}
		v.pairs(w, rows)
		if len(p.Meta) == 0 {
			v.section(w, "Metadata")
			fmt.Fprintln(w, "No metadata")
		}
		v.showMap(w, "Metadata", p.Meta)
		v.section(w, "Scheduler Configuration")
		if c := p.SchedulerConfiguration; c != nil {
			v.pairs(w, [][2]string{{"Scheduler Algorithm", orNone(c.SchedulerAlgorithm)}})
		} else {
			fmt.Fprintln(w, "No scheduler configuration")
		}
	})
}
