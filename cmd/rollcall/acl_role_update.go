package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

func (a *app) aclRoleUpdateCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "update", usage: "change a role", args: "ID", least: 1, most: 1,
		help:    "Policies are added to those that the role has; with -no-merge they take their place.",
		example: "acl role update -policy keys 5c0a7f6e-98d2-4ac4-8b26-4a5a5b7f2a11",
		flags:   outputFlags(append(roleFlags(), boolFlag("no-merge", "replace everything by what the flags say"))...),
	}, func(ctx context.Context, v *invocation) error {
		id, err := v.roleID(ctx, v.Args().First())
		if err != nil {
			return err
		}
		res, err := v.client.ACLRole(ctx, id, nil)
		if err != nil {
			return fmt.Errorf("find ACL role %s: %w", id, err)
		}
		role := res.Value
		if v.Bool("no-merge") {
			role.Description, role.Policies = "", nil
		}
		v.roleFromFlags(role)
		changed, err := v.client.ApplyACLRole(ctx, role, nil)
		if err != nil {
			return fmt.Errorf("change ACL role %s: %w", id, err)
		}
		return v.showACLRole(changed)
	})
}
