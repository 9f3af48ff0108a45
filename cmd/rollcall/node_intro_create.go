package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
)

func (a *app) nodeIntroCreateCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "create", usage: "introduce a machine that is not registered yet",
		help: "Prints a token by which one machine, or with -node-name the one of that name, may register. Give it to the agent as\n" +
			"ROLLCALL_CLIENT_INTRO_TOKEN or in the file intro_token.jwt of its state directory, and keep it secret until then.\n" +
			"The node gets the pool that the token names, and the class and datacenter if it names them.",
		example: "node intro create -node-name web-1 -node-pool web -ttl 10m\n  rollcall node intro create -t '{{.JWT}}'",
		flags: outputFlags(
			&cli.DurationFlag{Name: "ttl", Usage: "valid for `DURATION` (default and longest are the servers')", HideDefault: true},
			stringFlag("node-name", "only for the node of that `NAME`"),
			stringFlag("node-pool", "`POOL` that the node joins (default: default)"),
			stringFlag("node-class", "`CLASS` that the node gets"),
			stringFlag("node-dc", "`DATACENTER` that the node gets"),
		),
	}, func(ctx context.Context, v *invocation) error {
		token, err := v.client.CreateIntroduction(ctx, api.Introduction{
			TTL: v.Duration("ttl"), NodeName: v.String("node-name"), NodePool: v.String("node-pool"),
			NodeClass: v.String("node-class"), NodeDatacenter: v.String("node-dc"),
		}, nil)
		if err != nil {
			return fmt.Errorf("create introduction: %w", err)
		}
		return v.result(struct{ JWT string }{token}, func(w io.Writer) {
			fmt.Fprintf(w, "%s\n", printable(token))
		})
	})
}
