package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) raftTransferCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "transfer-leadership", usage: "make another server the leader",
		help:    "Exactly one of -peer-id and -peer-address is needed; see list-peers.",
		example: "operator raft transfer-leadership -peer-address 10.0.0.2:4647",
		flags: outputFlags(
			stringFlag("peer-id", "`ID` of the server that is to lead"), stringFlag("peer-address", "`ADDRESS` of the server that is to lead"),
		),
	}, func(ctx context.Context, v *invocation) error {
		to := structs.RaftIDAddress{ID: v.String("peer-id"), Address: v.String("peer-address")}
		if (to.ID == "") == (to.Address == "") {
			return usagef(v.Command, "give exactly one of -peer-id and -peer-address")
		}
		res, err := v.client.TransferLeadership(ctx, to, nil)
		if err != nil {
			return fmt.Errorf("transfer leadership: %w", err)
		}
		if res.Noop {
			return v.done(res, "%s (%s) leads already", res.To.Address, res.To.ID)
		}
		return v.done(res, "Leadership went from %s (%s) to %s (%s)", res.From.Address, res.From.ID, res.To.Address, res.To.ID)
	})
}
