package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/snapshot"
)

func (a *app) snapshotInspectCommand() *cli.Command {
	return a.command(spec{
		name: "inspect", usage: "describe a snapshot", args: "FILE", least: 1, most: 1,
		help: archiveHelp + "\n\n" +
			"Shows when and where it was taken and how much of what is in it. Of each type it says what a restore does with it: loaded;\n" +
			"opaque, kept and saved again as it is but without effect; unknown, likewise, of a type that no version knows; discarded.",
		example: "operator snapshot inspect before-upgrade.snap",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		var seen snapshot.Inspector
		return v.archive(ctx, 0, seen.Record, func(a *snapshot.Verified) error {
			summary := seen.Summary(a)
			return v.result(summary, func(w io.Writer) { v.showSummary(w, summary) })
		})
	})
}

func (v *invocation) showSummary(w io.Writer, s *snapshot.Summary) {
	created := none
	if s.Created != nil {
		created = stamp(*s.Created)
	}
	v.pairs(w, [][2]string{
		{"Created", created}, {"ID", s.ID}, {"Size", strconv.FormatInt(s.Size, 10)}, {"Index", strconv.FormatUint(s.Index, 10)},
		{"Term", strconv.FormatUint(s.Term, 10)}, {"Version", strconv.Itoa(s.Version)}, {"Digest", s.Digest}, {"Cluster ID", orNone(s.ClusterID)},
		{"Servers", strconv.Itoa(len(s.Servers))}, {"Nodes", strconv.FormatUint(s.Nodes.Total, 10)},
	})
	fmt.Fprintln(w)
	rows := [][]string{{"Type", "Count", "Size", "On Restore"}}
	var total [2]uint64
	named := map[snapshot.Meaning][]string{}
	for _, t := range s.Types {
		rows = append(rows, append(append([]string{t.Name}, numbers(t.Count, t.Bytes)...), string(t.Meaning)))
		total[0], total[1] = total[0]+t.Count, total[1]+t.Bytes
		named[t.Meaning] = append(named[t.Meaning], fmt.Sprintf("%d %s", t.Count, t.Name))
	}
	v.table(w, append(rows, append(append([]string{"Total"}, numbers(total[0], total[1])...), "")))
	for _, note := range []struct {
		of   snapshot.Meaning
		text string
	}{
		{snapshot.Opaque, "Kept as they are, without effect here"}, {snapshot.Unknown, "Kept as they are, of types that this version does not know"},
		{snapshot.Discarded, "Left out at a restore, of obsolete types"},
	} {
		if list := named[note.of]; len(list) > 0 {
			fmt.Fprintf(w, "\n%s: %s\n", note.text, strings.Join(list, ", "))
		}
	}
}
