package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

func (a *app) aclTokenDeleteCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "delete", usage: "end a token", args: "ACCESSOR", least: 1, most: 1,
		help:    "It opens nothing from then on.",
		example: "acl token delete 9a4e1f3c-0d5b-4a0e-8f5e-6f0c1d2b3a49",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		accessor, err := v.accessorID(ctx, v.Args().First())
		if err != nil {
			return err
		}
		if err := v.client.DeleteACLToken(ctx, accessor, nil); err != nil {
			return fmt.Errorf("delete ACL token: %w", err) // what was given may be a secret
		}
		return v.done(struct{ AccessorID string }{accessor}, "Token %s successfully deleted", accessor)
	})
}
