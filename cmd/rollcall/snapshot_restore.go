package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/internal/progress"
	"github.com/rollcall-id/rollcall/snapshot"
)

// redactedSuffix is what redacting puts behind the IDs of keys (wire.md §7.1).
const redactedSuffix = " [REDACTED]"

// errRedacted: the archive can't be a backup.
var errRedacted = errors.New("the snapshot was redacted: it has no keys and no secrets, so a cluster with it could sign nothing and know no node")

func (a *app) snapshotRestoreCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "restore", usage: "replace the cluster's state by that of a file", args: "FILE", least: 1, most: 1,
		help: archiveHelp + "\n\n" +
			"The state of all servers is replaced, nodes, keys and settings alike. The leader verifies the archive once more before\n" +
			"anything changes; a restore that fails or is interrupted leaves the old state or the new one, never a mixture.\n" +
			"On a terminal it asks first.",
		example: "operator snapshot restore before-upgrade.snap",
		flags:   outputFlags(boolFlag("yes", "do not ask")),
	}, func(ctx context.Context, v *invocation) error {
		name := v.Args().First()
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read from
		info, err := f.Stat()
		if err != nil {
			return err
		}
		summary, err := v.whatRestores(ctx, name, f, info.Size())
		if err != nil {
			return err
		}
		taken := ""
		if summary.Created != nil {
			taken = " taken " + stamp(*summary.Created)
		}
		fmt.Fprintln(v.err, printable(fmt.Sprintf("Snapshot %s%s at index %d has %d nodes, %d node pools and %d root keys.",
			name, taken, summary.Index, summary.Nodes.Total, len(summary.NodePools), len(summary.RootKeys))))
		if !v.confirm(fmt.Sprintf("Replace the whole state of the cluster at %s by it?", v.client.Address())) {
			return errReported
		}
		bar := progress.New(v.err, "Sending", info.Size())
		err = v.client.RestoreSnapshot(ctx, nil, counting{io.NewSectionReader(f, 0, info.Size()), bar}, info.Size())
		bar.Done()
		if err != nil {
			return fmt.Errorf("restore snapshot: %w", err)
		}
		return v.done(summary, "Snapshot Restored")
	})
}

// whatRestores verifies the archive and says what is in it.
func (v *invocation) whatRestores(ctx context.Context, name string, f io.ReaderAt, size int64) (*snapshot.Summary, error) {
	var seen snapshot.Inspector
	a, err := v.verify(ctx, name, io.NewSectionReader(f, 0, size), size, seen.Record)
	if err != nil {
		return nil, err
	}
	summary := seen.Summary(a)
	if err := a.Close(); err != nil {
		return nil, err
	}
	for _, k := range summary.RootKeys {
		if strings.HasSuffix(k.KeyID, redactedSuffix) {
			return nil, fmt.Errorf("%s: %w", name, errRedacted)
		}
	}
	return summary, nil
}
