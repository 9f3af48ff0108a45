package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) aclPolicyApplyCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "apply", usage: "create or change a policy", args: "NAME FILE", least: 2, most: 2,
		help:    "The file holds the rules in HCL; - reads standard input. A mistake is told with its line.",
		example: "acl policy apply -description 'look, do not touch' read read.hcl",
		flags: outputFlags(stringFlag("description", "`TEXT` for people"), stringFlag("namespace", "of the workloads that have the policy; kept"),
			stringFlag("job", "the same of their job"), stringFlag("group", "the same of their group"), stringFlag("task", "the same of their task")),
	}, func(ctx context.Context, v *invocation) error {
		name := v.Args().First()
		rules, err := v.readSpec(v.Args().Get(1))
		if err != nil {
			return fmt.Errorf("read policy: %w", err)
		}
		policy := &structs.ACLPolicy{Name: name, Description: v.String("description"), Rules: string(rules)}
		if j := (structs.JobACL{JobID: v.String("job"), Group: v.String("group"), Task: v.String("task")}); j != (structs.JobACL{}) {
			j.Namespace = v.String("namespace")
			policy.JobACL = &j
		}
		if err := v.client.ApplyACLPolicy(ctx, policy, nil); err != nil {
			return fmt.Errorf("apply ACL policy %q: %w", name, err)
		}
		return v.done(struct{ Name string }{name}, "Successfully wrote %q ACL policy!", name)
	})
}
