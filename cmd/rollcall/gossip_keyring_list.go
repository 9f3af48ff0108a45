package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/urfave/cli/v3"
)

func (a *app) gossipKeyringListCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "list", usage: "list the keys of the gossip pool",
		help:    "The keys are secrets and shown in full. A key that not all servers have is on its way in or out.",
		example: "operator gossip keyring list",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		keys, err := v.client.GossipKeys(ctx)
		if err != nil {
			return fmt.Errorf("list gossip keys: %w", err)
		}
		return v.result(keys, func(w io.Writer) {
			rows := [][]string{{"Key", "Servers"}}
			for _, key := range slices.Sorted(maps.Keys(keys.Keys)) {
				rows = append(rows, []string{key, fmt.Sprintf("%d of %d", keys.Keys[key], keys.NumNodes)})
			}
			v.table(w, rows)
		})
	})
}
