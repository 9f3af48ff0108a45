package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"
)

func (a *app) aclPolicyListCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "list", usage: "list policies", help: "With a management token all, else the token's own.",
		example: "acl policy list",
		flags:   listFlags(),
	}, func(ctx context.Context, v *invocation) error { return v.listACLPolicies(ctx) })
}

func (a *app) aclPolicySelfCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "self", usage: "list the policies of the token that is presented", help: "With a management token, which needs none, all there are.",
		example: "acl policy self",
		flags:   listFlags(),
	}, func(ctx context.Context, v *invocation) error { return v.listACLPolicies(ctx) })
}

func (v *invocation) listACLPolicies(ctx context.Context) error {
	q, err := v.page()
	if err != nil {
		return err
	}
	res, err := v.client.ACLPolicies(ctx, q)
	if err != nil {
		return fmt.Errorf("list ACL policies: %w", err)
	}
	return v.result(res.Value, func(w io.Writer) {
		rows := [][]string{{"Name", "Description"}}
		for _, p := range res.Value {
			rows = append(rows, []string{p.Name, orNone(p.Description)})
		}
		v.table(w, rows)
	})
}
