package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

func (a *app) aclRoleDeleteCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "delete", usage: "delete a role", args: "ID", least: 1, most: 1,
		help:    "Tokens that have it lose its policies.",
		example: "acl role delete 5c0a7f6e-98d2-4ac4-8b26-4a5a5b7f2a11",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		id, err := v.roleID(ctx, v.Args().First())
		if err != nil {
			return err
		}
		if err := v.client.DeleteACLRole(ctx, id, nil); err != nil {
			return fmt.Errorf("delete ACL role %s: %w", id, err)
		}
		return v.done(struct{ ID string }{id}, "ACL role %q successfully deleted", id)
	})
}
