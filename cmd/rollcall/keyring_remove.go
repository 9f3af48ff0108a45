package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
)

func (a *app) keyringRemoveCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "remove", usage: "remove a root key", args: "KEY_ID", least: 1, most: 1,
		help: "The active key can't be removed, nor one that signed an identity which is still valid. -force removes a key\n" +
			"that still encrypts records; those can't be read afterwards.",
		example: "operator root keyring remove 6bbe",
		flags:   outputFlags(boolFlag("force", "even if records are encrypted with it"), verboseFlag()),
	}, func(ctx context.Context, v *invocation) error {
		id, err := v.keyID(ctx, v.Args().First())
		if err != nil {
			return err
		}
		if err := v.client.DeleteKey(ctx, id, api.KeyDeletion(v.Bool("force")), nil); err != nil {
			return fmt.Errorf("remove root key %s: %w", id, err)
		}
		return v.done(struct{ KeyID string }{id}, "Removed encryption key %s", id)
	})
}
