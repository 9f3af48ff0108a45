package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) nodeEligibilityCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "eligibility", usage: "say whether a node may be given new work", args: "NODE_ID", most: 1,
		help:    "Exactly one of -enable and -disable is needed.",
		example: "node eligibility -disable 4d01",
		flags: outputFlags(
			boolFlag("enable", "mark it eligible"), boolFlag("disable", "mark it ineligible"),
			boolFlag("self", "the node of the agent that is asked"), verboseFlag(),
		),
	}, func(ctx context.Context, v *invocation) error {
		if v.Bool("enable") == v.Bool("disable") {
			return usagef(v.Command, "give exactly one of -enable and -disable")
		}
		id, err := v.oneNodeOrSelf(ctx)
		if err != nil {
			return err
		}
		eligibility, word := structs.NodeIneligible, "ineligible"
		if v.Bool("enable") {
			eligibility, word = structs.NodeEligible, "eligible"
		}
		res, err := v.client.SetNodeEligibility(ctx, id, eligibility, nil)
		if err != nil {
			return fmt.Errorf("set eligibility of node %s: %w", id, err)
		}
		return v.done(res, "Node %q scheduling eligibility set: %s for scheduling", id, word)
	})
}
