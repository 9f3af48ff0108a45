package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"
)

func (a *app) nodeIdentityRenewCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "renew", usage: "make a node renew its identity", args: "NODE_ID", least: 1, most: 1,
		help:    "The node asks for a new identity with its next heartbeat. Nothing is printed on success.",
		example: "node identity renew 4d01",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		id, err := v.oneNode(ctx, v.Args().First())
		if err != nil {
			return err
		}
		if err := v.client.RenewNodeIdentity(ctx, id, nil); err != nil {
			return fmt.Errorf("renew identity of node %s: %w", id, err)
		}
		return v.result(struct{ NodeID string }{id}, func(io.Writer) {})
	})
}
