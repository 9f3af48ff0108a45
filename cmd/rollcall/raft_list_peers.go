package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
)

func (a *app) raftListPeersCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "list-peers", usage: "list the servers in Raft",
		help:    "With -stale any server may answer, which works without a leader too.",
		example: "operator raft list-peers -stale",
		flags:   outputFlags(boolFlag("stale", "let any server answer")),
	}, func(ctx context.Context, v *invocation) error {
		cfg, err := v.client.RaftConfiguration(ctx, &api.QueryOptions{AllowStale: v.Bool("stale")})
		if err != nil {
			return fmt.Errorf("list Raft peers: %w", err)
		}
		return v.result(cfg, func(w io.Writer) {
			rows := [][]string{{"Node", "ID", "Address", "State", "Voter", "RaftProtocol"}}
			for _, s := range cfg.Servers {
				state := "follower"
				if s.Leader {
					state = "leader"
				}
				rows = append(rows, []string{s.Node, s.ID, s.Address, state, strconv.FormatBool(s.Voter), s.RaftProtocol})
			}
			v.table(w, rows)
		})
	})
}
