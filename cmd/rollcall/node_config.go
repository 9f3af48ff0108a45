package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"
)

func (a *app) nodeConfigCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "config", usage: "show or replace the servers of a node", args: "[SERVER ...]", most: -1,
		help: "It asks the agent of the node, not a server. Replaced servers count until the agent stops; what the servers tell\n" +
			"of each other is added to them.",
		example: "node config -servers\n  rollcall node config -update-servers 10.0.0.11:4647 10.0.0.12:4647",
		flags:   outputFlags(boolFlag("servers", "list the known servers"), boolFlag("update-servers", "replace them with those given")),
	}, func(ctx context.Context, v *invocation) error {
		update := v.Bool("update-servers")
		switch {
		case v.Bool("servers") == update:
			return usagef(v.Command, "give exactly one of -servers and -update-servers")
		case !update && v.NArg() > 0:
			return usagef(v.Command, "-servers takes no arguments")
		case update && v.NArg() == 0:
			return usagef(v.Command, "-update-servers needs the address of at least one server")
		}
		if update {
			if err := v.client.SetServers(ctx, v.Args().Slice()); err != nil {
				return fmt.Errorf("replace the node's servers: %w", err)
			}
			return v.done(v.Args().Slice(), "Servers replaced: %d", v.NArg())
		}
		servers, err := v.client.Servers(ctx)
		if err != nil {
			return fmt.Errorf("list the node's servers: %w", err)
		}
		return v.result(servers, func(w io.Writer) {
			for _, s := range servers {
				fmt.Fprintln(w, printable(s))
			}
		})
	})
}
