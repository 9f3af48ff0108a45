package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

func (a *app) raftRemovePeerCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "remove-peer", usage: "remove a server from Raft",
		help: "For a server that is gone for good and was not cleaned up by itself. A server that still runs is lost to the\n" +
			"cluster until it starts with an empty data directory.",
		example: "operator raft remove-peer -peer-id 0b7e4ff3-5f4b-3f3e-2c7b-5a0a3c2b1d11",
		flags:   outputFlags(stringFlag("peer-id", "`ID` of the server; see list-peers")),
	}, func(ctx context.Context, v *invocation) error {
		id := v.String("peer-id")
		if id == "" {
			return usagef(v.Command, "-peer-id is missing")
		}
		if err := v.client.RemoveRaftPeer(ctx, id, nil); err != nil {
			return fmt.Errorf("remove Raft peer: %w", err)
		}
		return v.done(struct{ ID string }{id}, "Removed peer with id %q", id)
	})
}
