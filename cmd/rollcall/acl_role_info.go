package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

func (a *app) aclRoleInfoCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "info", usage: "show a role", args: "ID", least: 1, most: 1,
		help:    "Only management tokens see roles that are not their own.",
		example: "acl role info 5c0a7f6e-98d2-4ac4-8b26-4a5a5b7f2a11",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		id, err := v.roleID(ctx, v.Args().First())
		if err != nil {
			return err
		}
		res, err := v.client.ACLRole(ctx, id, nil)
		if err != nil {
			return fmt.Errorf("show ACL role %s: %w", id, err)
		}
		return v.showACLRole(res.Value)
	})
}
