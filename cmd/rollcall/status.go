package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) statusCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "status", usage: "show whatever an ID or name begins with", args: "[PREFIX]", most: 1,
		help: "It looks through nodes, by ID, and node pools, by name. One match is shown, several are listed. Without a prefix it\n" +
			"lists the nodes.",
		example: "status 4d01\n  rollcall status edge",
		flags:   outputFlags(verboseFlag()),
	}, func(ctx context.Context, v *invocation) error {
		prefix := v.Args().First()
		if prefix == "" {
			return v.listNodes(ctx)
		}
		found, err := v.client.Search(ctx, prefix, structs.SearchAll, nil)
		if err != nil {
			return fmt.Errorf("search for %q: %w", prefix, err)
		}
		nodes, pools := found.Matches[structs.SearchNodes], found.Matches[structs.SearchNodePools]
		exact := slices.Contains(pools, prefix)
		switch {
		case len(nodes)+len(pools) == 0:
			return &notFoundError{fmt.Sprintf("nothing has an ID or name that begins with %q", prefix)}
		case len(nodes) == 1 && len(pools) == 0:
			return v.showNode(ctx, nodes[0])
		case exact && len(nodes) == 0:
			return v.showNodePool(ctx, prefix)
		case len(nodes) == 0 && len(pools) == 1:
			return v.showNodePool(ctx, pools[0])
		}
		return v.result(found, func(w io.Writer) {
			rows := [][]string{{"Kind", "Match"}}
			for _, kind := range slices.Sorted(maps.Keys(found.Matches)) {
				for _, match := range found.Matches[kind] {
					rows = append(rows, []string{string(kind), match})
				}
				if found.Truncations[kind] {
					rows = append(rows, []string{string(kind), "... and more"})
				}
			}
			v.table(w, rows)
		})
	})
}
