package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

func (a *app) aclTokenUpdateCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "update", usage: "change what a token may do", args: "ACCESSOR", least: 1, most: 1,
		help:    "What no flag names stays as it is. The secret, the type and the end of a token can't be changed.",
		example: "acl token update -policy ops 9a4e1f3c-0d5b-4a0e-8f5e-6f0c1d2b3a49",
		flags:   outputFlags(tokenFlags()...),
	}, func(ctx context.Context, v *invocation) error {
		accessor, err := v.accessorID(ctx, v.Args().First())
		if err != nil {
			return err
		}
		res, err := v.client.ACLToken(ctx, accessor, nil)
		if err != nil {
			return fmt.Errorf("find ACL token: %w", err) // what was given may be a secret
		}
		v.tokenFromFlags(res.Value)
		changed, err := v.client.UpdateACLToken(ctx, res.Value, nil)
		if err != nil {
			return fmt.Errorf("change ACL token: %w", err)
		}
		return v.showACLToken(changed)
	})
}
