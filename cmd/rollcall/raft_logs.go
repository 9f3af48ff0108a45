package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/replay"
)

// shownBody is how many characters of a body a line shows without -verbose.
const shownBody = 100

func (a *app) raftLogsCommand() *cli.Command {
	return a.command(spec{
		name: "logs", usage: "list the log entries of a stopped server", args: "DATA_DIR", least: 1, most: 1,
		help: "Shows every entry with its decoded body, one a line; -json prints a JSON object a line. What is named like a secret is masked:\n" +
			"secret IDs and their hashes, tokens, key material, passwords, environments.\n\n" + dataDirHelp + "\n\n" + problemHelp,
		example: "operator raft logs -from 1000 -type NodeRegister,NodeUpdateStatus /var/lib/rollcall",
		flags: []cli.Flag{
			&cli.Uint64Flag{Name: "from", Usage: "`INDEX` of the first entry", HideDefault: true},
			&cli.Uint64Flag{Name: "to", Usage: "`INDEX` of the last entry", HideDefault: true},
			stringFlag("type", "only these `TYPES`, separated by commas: names or numbers of message types, or noop, barrier, configuration, command"),
			boolFlag("json", "print a JSON object a line"),
			boolFlag("verbose", "show bodies in full"),
		},
	}, func(ctx context.Context, v *invocation) error {
		filter := replay.Filter{From: v.Uint64("from"), To: v.Uint64("to")}
		if filter.To > 0 && filter.From > filter.To {
			return usagef(v.Command, "-from %d is after -to %d", filter.From, filter.To)
		}
		for name := range strings.SplitSeq(v.String("type"), ",") {
			if name = strings.TrimSpace(name); name != "" {
				filter.Types = append(filter.Types, name)
			}
		}
		return withDataDir(v, func(d *replay.Dir) error { return v.listEntries(ctx, d, filter) })
	})
}

func (v *invocation) listEntries(ctx context.Context, d *replay.Dir, filter replay.Filter) error {
	out := bufio.NewWriter(v.out)
	var show func(*replay.Entry) error
	if v.Bool("json") {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		show = func(e *replay.Entry) error { return enc.Encode(e) }
	} else {
		fmt.Fprintf(out, "%-10s %-6s %-20s  %-8s %-26s %s\n", "Index", "Term", "Appended", "Bytes", "Type", "Body")
		show = func(e *replay.Entry) error { return v.showEntry(out, e) }
	}
	bad := false
	err := d.Entries(ctx, filter, func(e *replay.Entry) error {
		if e.Error != "" {
			bad = true
		}
		return show(e)
	}, func(p *replay.Problem) error {
		bad = true
		if err := out.Flush(); err != nil { // so that the problem stands where it belongs
			return err
		}
		_ = v.tell([]*replay.Problem{p}, 0) // the error is for later
		return nil
	})
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	if err != nil {
		return fmt.Errorf("list log entries: %w", err)
	}
	if bad {
		return errReported
	}
	return nil
}

func (v *invocation) showEntry(w io.Writer, e *replay.Entry) error {
	kind, body, appended := e.LogType, string(e.Body), none
	if e.Message != "" {
		kind = e.Message
	}
	if e.Error != "" {
		body = "error: " + e.Error
		fmt.Fprintf(v.err, "Problem: entry %d (%s): %s\n", e.Index, kind, printable(e.Error))
	}
	if e.AppendedAt != nil {
		appended = stamp(*e.AppendedAt)
	}
	body = strings.NewReplacer("\n", " ", "\t", " ").Replace(printable(body))
	if r := []rune(body); !v.Bool("verbose") && len(r) > shownBody {
		body = string(r[:shownBody]) + "..."
	}
	_, err := fmt.Fprintf(w, "%-10d %-6d %-20s  %-8d %-26s %s\n", e.Index, e.Term, appended, e.Bytes, kind, body)
	return err
}
