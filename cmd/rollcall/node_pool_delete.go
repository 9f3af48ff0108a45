package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

func (a *app) nodePoolDeleteCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "delete", usage: "delete a node pool", args: "NAME", least: 1, most: 1,
		help:    "A pool that has nodes can't be deleted, nor can the built-in pools.",
		example: "node pool delete edge",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		name := v.Args().First()
		if err := v.client.DeleteNodePool(ctx, name, nil); err != nil {
			return fmt.Errorf("delete node pool %q: %w", name, err)
		}
		return v.done(struct{ Name string }{name}, "Successfully deleted node pool %q!", name)
	})
}
