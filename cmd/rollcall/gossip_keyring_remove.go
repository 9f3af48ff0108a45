package main

import (
	"context"

	"github.com/urfave/cli/v3"
)

func (a *app) gossipKeyringRemoveCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "remove", usage: "take a gossip key from all servers", args: "KEY|-", least: 1, most: 1,
		help:    "The key in use can't be removed.\n" + gossipKeyHelp,
		example: "operator gossip keyring remove - < gossip.key",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		key, err := v.gossipKey()
		if err != nil {
			return err
		}
		res, err := v.client.RemoveGossipKey(ctx, key)
		if err != nil {
			return err
		}
		return v.done(res, "Removed the gossip key from all servers")
	})
}
