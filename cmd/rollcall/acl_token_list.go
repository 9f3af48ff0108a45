package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"
)

func (a *app) aclTokenListCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "list", usage: "list tokens",
		help:    "Tokens are sorted by accessor ID.",
		example: "acl token list",
		flags:   listFlags(),
	}, func(ctx context.Context, v *invocation) error {
		q, err := v.page()
		if err != nil {
			return err
		}
		res, err := v.client.ACLTokens(ctx, q)
		if err != nil {
			return fmt.Errorf("list ACL tokens: %w", err)
		}
		return v.result(res.Value, func(w io.Writer) { v.table(w, aclTokenRows(res.Value)) })
	})
}
