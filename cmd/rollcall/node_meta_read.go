package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

func nodeIDFlag() cli.Flag {
	return stringFlag("node-id", "`ID` of the node, or its beginning; default: the node of the agent that is asked")
}

// flaggedNode is the node of -node-id, "" for that of the agent.
func (v *invocation) flaggedNode(ctx context.Context) (string, error) {
	if prefix := v.String("node-id"); prefix != "" {
		return v.oneNode(ctx, prefix)
	}
	return "", nil
}

func (a *app) nodeMetaReadCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "read", usage: "show the metadata of a node",
		help: "The node itself is asked, so it must be connected to a server. What was applied to it since it started stands\n" +
			"over what its configuration says; servers learn of a change when the node registers again, a moment later.",
		example: "node meta read -node-id 4d01",
		flags:   outputFlags(nodeIDFlag()),
	}, func(ctx context.Context, v *invocation) error {
		id, err := v.flaggedNode(ctx)
		if err != nil {
			return err
		}
		meta, err := v.client.NodeMeta(ctx, id, nil)
		if err != nil {
			return fmt.Errorf("read node metadata: %w", err)
		}
		return v.showNodeMeta(meta)
	})
}

// showNodeMeta prints what is in force, and where it comes from.
func (v *invocation) showNodeMeta(m *structs.NodeMetaResponse) error {
	return v.result(m, func(w io.Writer) {
		dynamic := make(map[string]string, len(m.Dynamic))
		for k, value := range m.Dynamic {
			if dynamic[k] = "<unset>"; value != nil {
				dynamic[k] = *value
			}
		}
		for i, part := range []struct {
			title string
			meta  map[string]string
		}{{"All Meta", m.Meta}, {"Dynamic Meta", dynamic}, {"Static Meta", m.Static}} {
			if i > 0 {
				fmt.Fprintln(w)
			}
			v.heading(w, part.title)
			if len(part.meta) == 0 {
				fmt.Fprintln(w, none)
			}
			v.pairs(w, mapPairs(part.meta))
		}
	})
}
