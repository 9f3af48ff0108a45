package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"
)

func (a *app) aclRoleListCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "list", usage: "list roles", help: "With a management token all, else the token's own.",
		example: "acl role list",
		flags:   listFlags(),
	}, func(ctx context.Context, v *invocation) error {
		q, err := v.page()
		if err != nil {
			return err
		}
		res, err := v.client.ACLRoles(ctx, q)
		if err != nil {
			return fmt.Errorf("list ACL roles: %w", err)
		}
		return v.result(res.Value, func(w io.Writer) { v.table(w, aclRoleRows(res.Value)) })
	})
}
