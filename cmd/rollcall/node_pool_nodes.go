package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

func (a *app) nodePoolNodesCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "nodes", usage: "list the nodes of a pool", args: "NAME", least: 1, most: 1,
		help:    "The pool \"all\" holds every node.",
		example: "node pool nodes default",
		flags:   listFlags(verboseFlag(), boolFlag("quiet", "list IDs alone")),
	}, func(ctx context.Context, v *invocation) error {
		q, err := v.page()
		if err != nil {
			return err
		}
		name := v.Args().First()
		res, err := v.client.NodePoolNodes(ctx, name, q)
		if err != nil {
			return fmt.Errorf("list nodes of pool %q: %w", name, err)
		}
		return v.printNodes(res, "No nodes")
	})
}
