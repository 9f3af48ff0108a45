package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

func (a *app) aclTokenSelfCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "self", usage: "show the token that is presented",
		help:    "With its secret, which whoever asks has shown.",
		example: "acl token self",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		res, err := v.client.OwnACLToken(ctx, nil)
		if err != nil {
			return fmt.Errorf("show own ACL token: %w", err)
		}
		return v.showACLToken(res.Value)
	})
}
