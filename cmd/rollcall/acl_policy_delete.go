package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

func (a *app) aclPolicyDeleteCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "delete", usage: "delete a policy", args: "NAME", least: 1, most: 1,
		help:    "Tokens that have it lose what it grants, and what it refuses.",
		example: "acl policy delete read",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		name := v.Args().First()
		if err := v.client.DeleteACLPolicy(ctx, name, nil); err != nil {
			return fmt.Errorf("delete ACL policy %q: %w", name, err)
		}
		return v.done(struct{ Name string }{name}, "Successfully deleted %q policy!", name)
	})
}
