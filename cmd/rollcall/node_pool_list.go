package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"
)

func (a *app) nodePoolListCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "list", usage: "list node pools", help: "Pools are sorted by name.",
		example: "node pool list -filter 'Name matches \"^edge\"'",
		flags:   listFlags(),
	}, func(ctx context.Context, v *invocation) error {
		q, err := v.page()
		if err != nil {
			return err
		}
		res, err := v.client.NodePools(ctx, q)
		if err != nil {
			return fmt.Errorf("list node pools: %w", err)
		}
		return v.result(res.Value, func(w io.Writer) {
			rows := [][]string{{"Name", "Description"}}
			for _, p := range res.Value {
				rows = append(rows, []string{p.Name, orNone(p.Description)})
			}
			v.table(w, rows)
			v.nextPage(res.Meta)
		})
	})
}
