package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

func (a *app) aclTokenInfoCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "info", usage: "show a token", args: "ACCESSOR", least: 1, most: 1,
		help:    "Its secret can't be shown: servers keep a hash of it.",
		example: "acl token info 9a4e1f3c-0d5b-4a0e-8f5e-6f0c1d2b3a49",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		accessor, err := v.accessorID(ctx, v.Args().First())
		if err != nil {
			return err
		}
		res, err := v.client.ACLToken(ctx, accessor, nil)
		if err != nil {
			return fmt.Errorf("show ACL token: %w", err) // what was given may be a secret
		}
		return v.showACLToken(res.Value)
	})
}
