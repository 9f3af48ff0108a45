package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/replay"
	"github.com/rollcall-id/rollcall/snapshot"
)

func (a *app) raftReplayCommand() *cli.Command {
	return a.command(spec{
		name: "replay", usage: "apply a stopped server's log with this version", args: "DATA_DIR", least: 1, most: 1,
		help: "Loads the newest usable snapshot, applies the log entries after it as a server of this version would, and reports what became of\n" +
			"them: counts of each type, entries that are skipped or failed, what was brought up to date, and the digest of the state. A failed\n" +
			"entry is one that the state refused, as it did when it was first applied; it is no problem.\n\n" + dataDirHelp + "\n\n" + problemHelp +
			"\nThe replay stops there; -keep-going leaves out what can't be applied. With -compare the exit code is 1 if the states differ, too.",
		example: "operator raft replay -to-snapshot rehearsal.snap /var/lib/nomad",
		flags: outputFlags(
			boolFlag("from-start", "use no snapshot, only the log"),
			&cli.Uint64Flag{Name: "until", Usage: "stop after the entry at `INDEX`", HideDefault: true},
			boolFlag("keep-going", "go on after a problem"),
			&cli.IntFlag{Name: "batch", Usage: "apply `N` entries in one transaction; 1 applies them singly", Value: replay.DefaultBatch},
			stringFlag("to-snapshot", "write the state to a new `FILE` as a snapshot archive"),
			stringFlag("compare", "compare with the state of a `FILE` (a snapshot archive) or of another data directory"),
		),
	}, func(ctx context.Context, v *invocation) error {
		if v.Int("batch") < 1 {
			return usagef(v.Command, "-batch is %d, want at least 1", v.Int("batch"))
		}
		if path := v.String("to-snapshot"); path != "" {
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				return usagef(v.Command, "-to-snapshot %s: there is such a file already; name another", path)
			}
		}
		return withDataDir(v, func(d *replay.Dir) error { return v.replay(ctx, d) })
	})
}

// replayReport is what the command prints.
type replayReport struct {
	*replay.Result
	Archive    string             `json:",omitempty"`
	Comparison *replay.Comparison `json:",omitempty"`
}

func (v *invocation) replay(ctx context.Context, d *replay.Dir) error {
	show, end := v.replayProgress()
	defer end()
	opts := replay.Options{
		FromStart: v.Bool("from-start"), Until: v.Uint64("until"), Batch: v.Int("batch"), KeepGoing: v.Bool("keep-going"), Progress: show,
	}
	r, stopped := d.Run(ctx, opts)
	if stopped != nil && !errors.Is(stopped, replay.ErrProblem) {
		return stopped
	}
	report := &replayReport{Result: r}
	if stopped == nil {
		if err := v.useReplay(ctx, report, opts); err != nil {
			return err
		}
	}
	end()
	v.warnOfSnapshots(r)
	if err := v.result(report, func(w io.Writer) { v.showReplay(w, report) }); err != nil {
		return err
	}
	if stopped != nil && (v.String("to-snapshot") != "" || v.String("compare") != "") {
		fmt.Fprintln(v.err, "The replay did not get to the end: nothing is written or compared. -keep-going leaves out what can't be applied.")
	}
	if err := v.tell(r.Problems, r.MoreProblems); err != nil {
		return err
	}
	if c := report.Comparison; c != nil && !c.Equal {
		return errReported
	}
	return nil
}

// useReplay does what is to be done with the state.
func (v *invocation) useReplay(ctx context.Context, report *replayReport, opts replay.Options) error {
	if path := v.String("to-snapshot"); path != "" {
		if _, err := report.WriteArchive(ctx, path); err != nil {
			return err
		}
		report.Archive = path
	}
	if path := v.String("compare"); path != "" {
		c, err := report.Compare(ctx, path, opts)
		if err != nil {
			return err
		}
		report.Comparison = c
	}
	return nil
}

func (v *invocation) showReplay(w io.Writer, r *replayReport) {
	from := "the start"
	if s := r.Snapshot; s != nil {
		from = fmt.Sprintf("snapshot %s at index %d", s.ID, s.Index)
	}
	applied := "none"
	if r.Entries > 0 {
		applied = fmt.Sprintf("%d, from %d to %d", r.Entries, r.First, r.LastIndex)
	}
	seconds := func(s float64) string {
		return time.Duration(s * float64(time.Second)).Round(time.Microsecond).String()
	}
	b := r.Backfills
	v.pairs(w, [][2]string{
		{"Log", r.Path}, {"Started from", from}, {"Entries applied", applied}, {"Failed entries", strconv.FormatUint(r.Failed, 10)},
		{"Problems", strconv.Itoa(len(r.Problems) + r.MoreProblems)},
		{"Pools given a TTL", fmt.Sprintf("%d in the snapshot, %d in the log, %d created by registrations", b.SnapshotPools, b.LogPools, b.LogCreatedPools)},
		{"Secrets converted", fmt.Sprintf("%d in the snapshot, %d in the log", b.SnapshotSecrets, b.LogSecrets)},
		{"Time", fmt.Sprintf("%s for the snapshot, %s for the log, %.0f entries/s", seconds(r.RestoreSeconds), seconds(r.ReplaySeconds), r.EntriesPerSecond)},
		{"Digest", fmt.Sprintf("%s at index %d", r.Digest, r.LastIndex)},
	})
	if len(r.Types) > 0 {
		v.section(w, "Commands")
		rows := [][]string{{"Type", "Entries", "Applied", "Failed", "Skipped", "Undecodable"}}
		for _, t := range r.Types {
			rows = append(rows, append([]string{t.Type}, numbers(t.Entries, t.Applied, t.Failed, t.Skipped, t.Undecodable)...))
		}
		v.table(w, rows)
	}
	if len(r.OtherLogTypes) > 0 {
		v.section(w, "Other entries")
		rows := [][]string{{"Type", "Entries"}}
		for _, c := range r.OtherLogTypes {
			rows = append(rows, []string{c.Type, strconv.FormatUint(c.Entries, 10)})
		}
		v.table(w, rows)
	}
	if r.Snapshot != nil && len(r.Snapshot.Opaque)+len(r.Snapshot.Discarded) > 0 {
		v.section(w, "Snapshot records without an effect here")
		rows := [][]string{{"Type", "Records", "Bytes", "What becomes of them"}}
		for _, group := range []struct {
			counts []replay.Count
			fate   string
		}{{r.Snapshot.Opaque, "kept as they are"}, {r.Snapshot.Discarded, "discarded"}} {
			for _, c := range group.counts {
				rows = append(rows, append(append([]string{c.Type}, numbers(c.Entries, c.Bytes)...), group.fate))
			}
		}
		v.table(w, rows)
	}
	if len(r.Failures) > 0 {
		v.section(w, "Failed entries")
		rows := [][]string{{"Index", "Type", "Error"}}
		for _, f := range r.Failures {
			rows = append(rows, []string{strconv.FormatUint(f.Index, 10), f.Type, f.Error})
		}
		v.table(w, rows)
		if more := r.Failed - uint64(len(r.Failures)); more > 0 {
			fmt.Fprintf(w, "and %d more\n", more)
		}
	}
	if r.Archive != "" {
		fmt.Fprintf(w, "\nWrote the state to %s\n", printable(r.Archive))
	}
	if r.Comparison != nil {
		v.showComparison(w, r.Comparison)
	}
}

func (v *invocation) showComparison(w io.Writer, c *replay.Comparison) {
	if c.Equal {
		fmt.Fprintf(w, "\nThe state of %s at index %d is the same\n", printable(c.Other), c.OtherIndex)
		return
	}
	v.section(w, fmt.Sprintf("Differences from %s at index %d, with digest %s", printable(c.Other), c.OtherIndex, c.OtherDigest))
	rows := [][]string{{"What", "Change", "ID", "Fields"}}
	for _, kind := range []struct {
		name    string
		changes snapshot.Changes
	}{
		{"node", c.Difference.Nodes}, {"node pool", c.Difference.NodePools}, {"root key", c.Difference.RootKeys},
		{"namespace", c.Difference.Namespaces}, {"setting", c.Difference.Settings}, {"table index", c.Difference.Indexes},
	} {
		for _, change := range kind.changes.List {
			fields := ""
			for i, f := range change.Fields {
				if i > 0 {
					fields += ", "
				}
				fields += fmt.Sprintf("%s: %v -> %v", f.Name, f.From, f.To)
			}
			rows = append(rows, []string{kind.name, string(change.Op), change.ID, fields})
		}
		if all := kind.changes.Added + kind.changes.Removed + kind.changes.Changed; all > uint64(len(kind.changes.List)) {
			rows = append(rows, []string{kind.name, "", fmt.Sprintf("%d changes in all", all), ""})
		}
	}
	for _, o := range c.Difference.Others {
		rows = append(rows, []string{o.Name, string(snapshot.Changed), "", fmt.Sprintf("%d -> %d records", o.A, o.B)})
	}
	v.table(w, rows)
}
