package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/urfave/cli/v3"
)

func (a *app) agentInfoCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "agent-info", usage: "show what an agent is doing",
		help: "Groups of numbers: of a server its Raft, gossip and leadership, of a node its registration and heartbeats.\n" +
			"With -json it is the whole of what the agent tells, its configuration without secrets included.",
		example: "agent-info\n  rollcall agent-info -t '{{.Stats.raft.state}}'",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		self, err := v.client.Self(ctx)
		if err != nil {
			return fmt.Errorf("ask the agent about itself: %w", err)
		}
		return v.result(self, func(w io.Writer) {
			for i, group := range slices.Sorted(maps.Keys(self.Stats)) {
				if i > 0 {
					fmt.Fprintln(w)
				}
				v.heading(w, group)
				v.pairs(w, mapPairs(self.Stats[group]))
			}
		})
	})
}
