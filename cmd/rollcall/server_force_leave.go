package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
)

func (a *app) serverForceLeaveCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "force-leave", usage: "mark a failed server as gone", args: "NAME", least: 1, most: 1,
		help:    "The name is that of 'rollcall server members', with or without the region. A server that still lives comes back.",
		example: "server force-leave -prune server-3.global",
		flags:   outputFlags(boolFlag("prune", "also take it off the list of members")),
	}, func(ctx context.Context, v *invocation) error {
		name, err := v.memberName(ctx, v.Args().First())
		if err != nil {
			return err
		}
		if err := v.client.ForceLeave(ctx, name, api.Departure(v.Bool("prune"))); err != nil {
			return fmt.Errorf("force %s to leave: %w", name, err)
		}
		return v.result(struct{ Name string }{name}, func(io.Writer) {})
	})
}

// memberName finds the member's full name.
func (v *invocation) memberName(ctx context.Context, name string) (string, error) {
	res, err := v.client.Members(ctx, nil)
	if err != nil {
		return "", fmt.Errorf("find server %s: %w", name, err)
	}
	for _, m := range res.Members {
		if m.Name == name || m.Name == name+"."+res.ServerRegion {
			return m.Name, nil
		}
	}
	return "", &notFoundError{fmt.Sprintf("no server is named %q; see 'rollcall server members'", name)}
}
