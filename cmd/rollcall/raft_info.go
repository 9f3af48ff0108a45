package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/internal/progress"
	"github.com/rollcall-id/rollcall/replay"
)

// dataDirHelp is what the commands that look at a stopped server have in common.
const dataDirHelp = `DATA_DIR is the data directory of a stopped server, or a copy of one: the directory itself, its server or raft folder,
or the file raft.db. Nothing is written there, and a directory that a running server holds is refused.`

// problemHelp says how damage shows.
const problemHelp = `Whatever is wrong with the log (an entry that can't be decoded or is of a future type, a gap, a file that was cut off)
is told with its place on standard error, and the exit code is 1.`

// withDataDir opens a data directory for a command.
func withDataDir(v *invocation, use func(d *replay.Dir) error) error {
	d, err := replay.Open(v.Args().First())
	if err != nil {
		return err
	}
	if err := use(d); err != nil {
		_ = d.Close() // only read from
		return err
	}
	return d.Close()
}

// replayProgress shows on a terminal how far a replay is.
func (v *invocation) replayProgress() (show func(phase string, done, total int64), end func()) {
	bar := progress.New(v.err, "", 0)
	return bar.Set, bar.Done
}

// tell reports problems on standard error, and returns an error if there are any.
func (v *invocation) tell(problems []*replay.Problem, more int) error {
	for _, p := range problems {
		fmt.Fprintln(v.err, "Problem: "+printable(p.Error()))
	}
	if more > 0 {
		fmt.Fprintf(v.err, "and %d more problems\n", more)
	}
	if len(problems) > 0 {
		return errReported
	}
	return nil
}

func (a *app) raftInfoCommand() *cli.Command {
	return a.command(spec{
		name: "info", usage: "describe the Raft log and the snapshots of a stopped server", args: "DATA_DIR", least: 1, most: 1,
		help:    "Shows indexes, terms, vote, configuration, snapshots and the number of entries of each type.\n\n" + dataDirHelp + "\n\n" + problemHelp,
		example: "operator raft info /var/lib/rollcall",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		return withDataDir(v, func(d *replay.Dir) error {
			info, err := d.Info(ctx)
			if err != nil {
				return fmt.Errorf("describe Raft log: %w", err)
			}
			if err := v.result(info, func(w io.Writer) { v.showRaftInfo(w, info) }); err != nil {
				return err
			}
			return v.tell(info.Problems, info.MoreProblems)
		})
	})
}

func (v *invocation) showRaftInfo(w io.Writer, i *replay.Info) {
	var ranges []string
	for _, r := range i.Ranges {
		ranges = append(ranges, fmt.Sprintf("%d to %d", r.First, r.Last))
	}
	v.pairs(w, [][2]string{
		{"Log", i.Path}, {"Server ID", orNone(i.ServerID)}, {"Size", fmt.Sprintf("%d bytes, of which entries have %d", i.FileBytes, i.EntryBytes)},
		{"Entries", strconv.FormatUint(i.Entries, 10)}, {"Indexes", orNone(strings.Join(ranges, ", "))},
		{"Current term", strconv.FormatUint(i.CurrentTerm, 10)}, {"Last vote", fmt.Sprintf("%s in term %d", orNone(i.LastVoteCand), i.LastVoteTerm)},
	})
	v.section(w, "Terms")
	rows := [][]string{{"Term", "First", "Last", "Entries"}}
	for _, t := range i.Terms {
		rows = append(rows, numbers(t.Term, t.First, t.Last, t.Entries))
	}
	v.table(w, rows)
	v.section(w, "Snapshots")
	rows = [][]string{{"ID", "Index", "Term", "Bytes", "Created", "Age", "Usable"}}
	for _, s := range i.Snapshots {
		usable, age := "yes", none
		if !s.Usable {
			usable = "no: " + s.Problem
		}
		if !s.Created.IsZero() {
			age = time.Since(s.Created).Round(time.Second).String()
		}
		rows = append(rows, append(append([]string{s.ID}, numbers(s.Index, s.Term, uint64(max(s.Size, 0)))...), stamp(s.Created), age, usable))
	}
	v.table(w, rows)
	v.section(w, fmt.Sprintf("Configuration at index %d", i.ConfigurationIndex))
	v.raftServers(w, i.Configuration)
	v.section(w, "Entries by log type")
	v.raftCounts(w, i.LogTypes)
	v.section(w, "Commands by message type")
	v.raftCounts(w, i.MessageTypes)
}

func (v *invocation) raftServers(w io.Writer, servers []replay.Server) {
	rows := [][]string{{"ID", "Address", "Suffrage"}}
	for _, s := range servers {
		rows = append(rows, []string{s.ID, s.Address, s.Suffrage})
	}
	v.table(w, rows)
}

func (v *invocation) raftCounts(w io.Writer, counts []replay.Count) {
	rows := [][]string{{"Type", "Number", "Entries", "Bytes"}}
	for _, c := range counts {
		rows = append(rows, append([]string{c.Type}, numbers(uint64(c.Number), c.Entries, c.Bytes)...))
	}
	v.table(w, rows)
}

func numbers(list ...uint64) []string {
	var cells []string
	for _, n := range list {
		cells = append(cells, strconv.FormatUint(n, 10))
	}
	return cells
}
