package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) keyringListCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "list", usage: "list root keys",
		help:    "New identities are signed with the active key. The others stay until nothing uses them.",
		example: "operator root keyring list -verbose",
		flags:   outputFlags(verboseFlag()),
	}, func(ctx context.Context, v *invocation) error {
		res, err := v.client.Keys(ctx, nil)
		if err != nil {
			return fmt.Errorf("list root keys: %w", err)
		}
		rows := v.keyRows(res.Value)
		if v.Bool("verbose") && !v.Bool("json") && v.String("t") == "" {
			if status, err := v.client.KeyringStatus(ctx, nil); err == nil {
				rows = keyCustodyRows(rows, res.Value, status.Value)
			} else { // a server of another kind, or one that is older
				fmt.Fprintln(v.err, printable("Not shown is what wrapped them: "+err.Error()))
			}
		}
		return v.result(res.Value, func(w io.Writer) { v.table(w, rows) })
	})
}

func (v *invocation) keyRows(keys []*structs.RootKeyMeta) [][]string {
	rows := [][]string{{"Key", "State", "Create Time", "Publish Time"}}
	for _, k := range keys {
		rows = append(rows, []string{v.short(k.KeyID), string(k.State), stampNano(k.CreateTime), stampNano(k.PublishTime)})
	}
	return rows
}
