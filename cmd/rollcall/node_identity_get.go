package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
)

func (a *app) nodeIdentityGetCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "get", usage: "show the claims of a node's identity", args: "NODE_ID", least: 1, most: 1,
		help:    "The node itself is asked, so it must be connected to a server.",
		example: "node identity get 4d01\n  rollcall node identity get -t '{{.sub}}' 4d01",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		id, err := v.oneNode(ctx, v.Args().First())
		if err != nil {
			return err
		}
		claims, err := v.client.NodeIdentity(ctx, id, nil)
		if err != nil {
			return fmt.Errorf("get identity of node %s: %w", id, err)
		}
		return v.result(claims, func(w io.Writer) { v.table(w, claimRows(claims)) })
	})
}

// claimRows lists the registered claims, then those about the node.
func claimRows(claims map[string]any) [][]string {
	rows := [][]string{{"Claim Key", "Claim Value"}}
	names := slices.SortedFunc(maps.Keys(claims), func(a, b string) int {
		if x, y := strings.HasPrefix(a, "nomad"), strings.HasPrefix(b, "nomad"); x != y {
			if y {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		text := fmt.Sprint(claims[name])
		switch value := claims[name].(type) {
		case float64: // all numbers in these claims are times
			text = stamp(time.Unix(int64(value), 0))
		case []any:
			parts := make([]string, len(value))
			for i, p := range value {
				parts[i] = fmt.Sprint(p)
			}
			text = strings.Join(parts, ", ")
		}
		rows = append(rows, []string{name, text})
	}
	return rows
}
