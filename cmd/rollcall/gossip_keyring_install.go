package main

import (
	"context"

	"github.com/urfave/cli/v3"
)

func (a *app) gossipKeyringInstallCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "install", usage: "give all servers another gossip key", args: "KEY|-", least: 1, most: 1,
		help:    "The servers can read what it encrypts from then on. They go on encrypting with the one in use.\n" + gossipKeyHelp,
		example: "operator gossip keyring install - < gossip.key",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		key, err := v.gossipKey()
		if err != nil {
			return err
		}
		res, err := v.client.InstallGossipKey(ctx, key)
		if err != nil {
			return err
		}
		return v.done(res, "Installed the gossip key on all servers")
	})
}
