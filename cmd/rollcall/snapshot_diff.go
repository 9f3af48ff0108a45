package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/snapshot"
)

func (a *app) snapshotDiffCommand() *cli.Command {
	return a.command(spec{
		name: "diff", usage: "compare two snapshots", args: "A B", least: 2, most: 2,
		help: `Shows which nodes, node pools, keys, namespaces and settings were added, removed or changed from A to B, and for other records
how many there are. Fields that only one version of the format has are equal if they are empty.

The exit code is 0 if the states are the same, 6 if they are not.`,
		example: "operator snapshot diff before-upgrade.snap after-upgrade.snap",
		flags:   outputFlags(&cli.IntFlag{Name: "most", Usage: "list at most `N` changes of each kind (default 1000); all are counted", HideDefault: true}),
	}, func(ctx context.Context, v *invocation) error {
		if v.Int("most") < 0 {
			return usagef(v.Command, "-most %d: want a number of changes", v.Int("most"))
		}
		return v.archive(ctx, 0, nil, func(before *snapshot.Verified) error {
			return v.archive(ctx, 1, nil, func(after *snapshot.Verified) error {
				d, err := snapshot.Diff(ctx, before, after, snapshot.DiffOptions{MaxListed: v.Int("most")})
				if err != nil {
					return err
				}
				if err := v.result(d, func(w io.Writer) { v.showDiff(w, d) }); err != nil {
					return err
				}
				if !d.Equal() {
					return errDiffers
				}
				return nil
			})
		})
	})
}

var opSigns = map[snapshot.Op]string{snapshot.Added: "+", snapshot.Removed: "-", snapshot.Changed: "~"}

func (v *invocation) showDiff(w io.Writer, d *snapshot.Difference) {
	rows := [][]string{{"", "File", "ID", "Index", "Term", "Size"}}
	for name, s := range map[string]snapshot.Side{"A": d.A, "B": d.B} {
		rows = append(rows, append([]string{name, s.Name, s.ID}, numbers(s.Index, s.Term, uint64(s.Size))...))
	}
	if rows[1][0] == "B" {
		rows[1], rows[2] = rows[2], rows[1]
	}
	v.table(w, rows)
	if d.Equal() {
		fmt.Fprintln(w, "\nThe states are the same")
		return
	}
	for _, kind := range []struct {
		name string
		c    snapshot.Changes
	}{
		{"Nodes", d.Nodes}, {"Node pools", d.NodePools}, {"Root keys", d.RootKeys}, {"Namespaces", d.Namespaces}, {"Settings", d.Settings},
		{"Indexes of tables", d.Indexes},
	} {
		v.showChanges(w, kind.name, kind.c)
	}
	if len(d.Others) > 0 {
		v.section(w, "Other records that are not the same")
		rows := [][]string{{"Type", "In A", "In B"}}
		for _, o := range d.Others {
			rows = append(rows, append([]string{o.Name}, numbers(o.A, o.B)...))
		}
		v.table(w, rows)
	}
}

func (v *invocation) showChanges(w io.Writer, name string, c snapshot.Changes) {
	all := c.Added + c.Removed + c.Changed
	if all == 0 {
		return
	}
	v.section(w, fmt.Sprintf("%s: %d added, %d removed, %d changed", name, c.Added, c.Removed, c.Changed))
	for _, change := range c.List {
		fmt.Fprintf(w, "%s %s\n", opSigns[change.Op], printable(change.ID))
		for _, f := range change.Fields {
			fmt.Fprintf(w, "    %s: %s -> %s\n", printable(f.Name), printable(orNone(f.From)), printable(orNone(f.To)))
		}
	}
	if more := all - uint64(len(c.List)); more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
}
