package main

import (
	"context"

	"github.com/urfave/cli/v3"
)

func (a *app) gossipKeyringUseCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "use", usage: "make all servers encrypt with a gossip key", args: "KEY|-", least: 1, most: 1,
		help:    "All servers must have the key; see 'rollcall operator gossip keyring install'.\n" + gossipKeyHelp,
		example: "operator gossip keyring use - < gossip.key",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		key, err := v.gossipKey()
		if err != nil {
			return err
		}
		res, err := v.client.UseGossipKey(ctx, key)
		if err != nil {
			return err
		}
		return v.done(res, "All servers encrypt with this gossip key now")
	})
}
