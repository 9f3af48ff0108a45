package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/snapshot"
)

func (a *app) snapshotVerifyCommand() *cli.Command {
	return a.command(spec{
		name: "verify", usage: "check that a snapshot is whole and restores", args: "FILE", least: 1, most: 1,
		help: archiveHelp + "\n\n" +
			"Checks sums, sizes and names of the archive, and that a restore would take every record. The exit code is 0 only if there\n" +
			"is no doubt; otherwise the error names member, record and byte. Whether this cluster's key-encryption keys open the root\n" +
			"keys in it shows only at a restore.",
		example: "operator snapshot verify before-upgrade.snap",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		var seen snapshot.Inspector
		return v.archive(ctx, 0, seen.Record, func(a *snapshot.Verified) error {
			summary := seen.Summary(a)
			records := uint64(0)
			for _, t := range summary.Types {
				records += t.Count
			}
			return v.done(summary, "Snapshot %s is whole: index %d, %d records, %d bytes, %s", a.Name, summary.Index, records, summary.ArchiveSize, summary.Digest)
		})
	})
}
