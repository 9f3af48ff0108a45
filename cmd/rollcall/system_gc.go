package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"
)

func (a *app) systemGCCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "gc", usage: "collect what is no longer used, now",
		help:    "Nodes that are down and keys that nothing uses are removed. Nothing is printed on success.",
		example: "system gc",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		if err := v.client.CollectGarbage(ctx, nil); err != nil {
			return fmt.Errorf("collect garbage: %w", err)
		}
		return v.result(struct{}{}, func(io.Writer) {})
	})
}
