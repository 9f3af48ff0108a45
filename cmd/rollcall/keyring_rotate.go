package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) keyringRotateCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "rotate", usage: "create a root key",
		help: "Exactly one of -now and -prepublish is needed. With -prepublish verifiers learn the key for that long before\n" +
			"the first identity is signed with it. Identities signed with older keys stay valid.",
		example: "operator root keyring rotate -prepublish 24h",
		flags: outputFlags(
			boolFlag("now", "make the new key active at once"),
			&cli.DurationFlag{Name: "prepublish", Usage: "make it active after `DURATION`", HideDefault: true},
			boolFlag("full", "re-encrypt what older keys encrypt; with -now"), verboseFlag(),
		),
	}, func(ctx context.Context, v *invocation) error {
		ahead := v.Duration("prepublish")
		switch {
		case v.Bool("now") == v.IsSet("prepublish"):
			return usagef(v.Command, "give exactly one of -now and -prepublish")
		case v.IsSet("prepublish") && ahead <= 0:
			return usagef(v.Command, "-prepublish must be positive")
		case v.Bool("full") && ahead > 0:
			return usagef(v.Command, "-full goes with -now")
		}
		opts := api.RotateOptions{Full: v.Bool("full")}
		if ahead > 0 {
			opts.PublishTime = time.Now().Add(ahead)
		}
		key, err := v.client.RotateKey(ctx, opts, nil)
		if err != nil {
			return fmt.Errorf("rotate root key: %w", err)
		}
		if key == nil {
			return errors.New("rotate root key: the server did not say which key it made; see 'rollcall operator root keyring list'")
		}
		return v.result(key, func(w io.Writer) { v.table(w, v.keyRows([]*structs.RootKeyMeta{key})) })
	})
}
