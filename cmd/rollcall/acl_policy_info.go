package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"
)

func (a *app) aclPolicyInfoCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "info", usage: "show a policy", args: "NAME", least: 1, most: 1,
		help:    "Only management tokens see policies that are not their own.",
		example: "acl policy info read",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		name := v.Args().First()
		res, err := v.client.ACLPolicy(ctx, name, nil)
		if err != nil {
			return fmt.Errorf("show ACL policy %q: %w", name, err)
		}
		p := res.Value
		return v.result(p, func(w io.Writer) {
			v.pairs(w, [][2]string{
				{"Name", p.Name}, {"Description", orNone(p.Description)}, {"CreateIndex", fmt.Sprint(p.CreateIndex)}, {"ModifyIndex", fmt.Sprint(p.ModifyIndex)},
			})
			v.section(w, "Rules")
			fmt.Fprintln(w, printable(p.Rules))
		})
	})
}
