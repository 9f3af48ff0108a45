package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"
)

func (a *app) nodeMetaApplyCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "apply", usage: "change the metadata of a running node", args: "[KEY=VALUE ...]", most: -1,
		help: "The node keeps the change over restarts of its agent and registers again. A key of its configuration that is unset\n" +
			"stays hidden until it is set again.",
		example: "node meta apply -node-id 4d01 rack=r2 disk=new\n  rollcall node meta apply -unset rack,disk",
		flags: outputFlags(nodeIDFlag(), &cli.StringSliceFlag{
			Name: "unset", Usage: "remove these `KEYS`, with commas between them; repeatable", HideDefault: true,
		}),
	}, func(ctx context.Context, v *invocation) error {
		changes, err := v.metaChanges()
		if err != nil {
			return err
		}
		id, err := v.flaggedNode(ctx)
		if err != nil {
			return err
		}
		meta, err := v.client.ApplyNodeMeta(ctx, id, changes, nil)
		if err != nil {
			return fmt.Errorf("apply node metadata: %w", err)
		}
		return v.showNodeMeta(meta)
	})
}

// metaChanges reads the arguments and -unset.
func (v *invocation) metaChanges() (map[string]*string, error) {
	changes := map[string]*string{}
	for _, kv := range v.Args().Slice() {
		key, value, ok := strings.Cut(kv, "=")
		if !ok || key == "" {
			return nil, usagef(v.Command, "%q is not of the form KEY=VALUE; flags stand before the first", kv)
		}
		changes[key] = &value
	}
	for _, keys := range v.StringSlice("unset") {
		for key := range strings.SplitSeq(keys, ",") {
			if changes[key] != nil {
				return nil, usagef(v.Command, "%q is both set and unset", key)
			}
			changes[key] = nil
		}
	}
	if len(changes) == 0 {
		return nil, usagef(v.Command, "give at least one KEY=VALUE or -unset KEY")
	}
	return changes, nil
}
