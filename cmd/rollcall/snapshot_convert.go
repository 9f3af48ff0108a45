package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/internal/progress"
	"github.com/rollcall-id/rollcall/snapshot"
)

func (a *app) snapshotConvertCommand() *cli.Command {
	return a.command(spec{
		name: "convert", usage: "make a snapshot that other readers of the format take", args: "FILE", least: 1, most: 1,
		help: archiveHelp + "\n\n" +
			"Readers of Nomad's format refuse an archive with records that they don't know, and servers of this system write some. The\n" +
			"copy is without those, and without ACL tokens, of which only the secret's hash is kept. It is told what was left out and what a\n" +
			"restore is then without, here as there: keep the original to restore here. Root keys whose signing key is an EC one can't sign\n" +
			"elsewhere; a key made under signing_algorithm = \"RS256\" or \"EdDSA\" can.",
		example: "operator snapshot convert -out for-nomad.snap before-upgrade.snap",
		flags: outputFlags(&cli.StringFlag{Name: "out", Usage: "write to `FILE`, which must not exist yet unless -force is given", Required: true},
			boolFlag("force", "replace the file of -out")),
	}, func(ctx context.Context, v *invocation) error {
		saved := &savedSnapshot{File: v.String("out")}
		if err := v.mayWrite(saved.File); err != nil {
			return fmt.Errorf("convert snapshot: %w", err)
		}
		return v.archive(ctx, 0, nil, func(a *snapshot.Verified) error {
			if err := v.writeCompatible(ctx, saved, a); err != nil {
				return fmt.Errorf("convert snapshot: %w", err)
			}
			v.printLeftOut(saved)
			return v.done(saved, "Compatible snapshot written to %s", saved.File)
		})
	})
}

func (v *invocation) writeCompatible(ctx context.Context, saved *savedSnapshot, a *snapshot.Verified) error {
	bar := progress.New(v.err, "", 0)
	defer bar.Done()
	return snapshot.WriteFile(saved.File, func(f *os.File) error {
		out, err := snapshot.WriteCompatible(ctx, f, a, snapshot.WriteOptions{Progress: func(done, total int64) { bar.Set("Converting", done, total) }})
		if err != nil {
			return err
		}
		saved.Index, saved.Term, saved.Size, saved.Digest = out.Meta.Index, out.Meta.Term, out.Size, out.DigestHeader()
		saved.LeftOut = out.LeftOut
		return nil
	})
}

func records(n uint64) string {
	if n == 1 {
		return "1 record"
	}
	return strconv.FormatUint(n, 10) + " records"
}

// printLeftOut says what the archive is without, beside what is printed for programs.
func (v *invocation) printLeftOut(saved *savedSnapshot) {
	for _, l := range saved.LeftOut {
		fmt.Fprintf(v.err, "Left out: %s, %s; a restore is without %s\n", l.Type, records(l.Records), l.Loses)
	}
}
