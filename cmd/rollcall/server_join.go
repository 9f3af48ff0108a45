package main

import (
	"context"

	"github.com/urfave/cli/v3"
)

func (a *app) serverJoinCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "join", usage: "join the servers at other addresses", args: "ADDRESS...", least: 1, most: -1,
		help:    "The agent that is asked must be a server. Addresses are those of gossip, port 4648 unless given.",
		example: "server join 10.0.0.1 10.0.0.2:4648",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		n, err := v.client.Join(ctx, v.Args().Slice())
		if err != nil {
			return err
		}
		return v.done(struct{ NumJoined int }{n}, "Joined %d servers successfully", n)
	})
}
