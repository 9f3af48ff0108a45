package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/snapshot"
)

func (a *app) snapshotRedactCommand() *cli.Command {
	return a.command(spec{
		name: "redact", usage: "take keys and secrets out of a snapshot", args: "FILE", least: 1, most: 1,
		help: archiveHelp + "\n\n" +
			"FILE is replaced, or another file written with -out. Root keys lose their material and their IDs end in [REDACTED]; nodes\n" +
			"and ACL tokens lose their secrets. What is left shows the fleet but can't be restored. Secrets that users have written\n" +
			"into names, metadata or jobs stay.",
		example: "operator snapshot redact -out for-support.snap before-upgrade.snap",
		flags:   outputFlags(stringFlag("out", "write to `FILE` instead, which must not exist yet unless -force is given"), boolFlag("force", "replace the file of -out")),
	}, func(ctx context.Context, v *invocation) error {
		saved := &savedSnapshot{File: v.Args().First(), Redacted: true}
		if out := v.String("out"); out != "" {
			saved.File = out
			if err := v.mayWrite(out); err != nil {
				return fmt.Errorf("redact snapshot: %w", err)
			}
		}
		return v.archive(ctx, 0, nil, func(a *snapshot.Verified) error {
			if err := v.writeRedacted(ctx, saved, a); err != nil {
				return fmt.Errorf("redact snapshot: %w", err)
			}
			return v.done(saved, "Redacted snapshot written to %s", saved.File)
		})
	})
}
