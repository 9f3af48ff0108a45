package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/go-bexpr"
	"github.com/mitchellh/pointerstructure"
	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/replay"
	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) snapshotStateCommand() *cli.Command {
	return a.command(spec{
		name: "state", usage: "print the records of a snapshot as JSON", args: "FILE", least: 1, most: 1,
		help: archiveHelp + "\n\n" +
			"Prints one object with a list of records for each type, their fields named as in the archive; durations and times that\n" +
			"are numbers are nanoseconds or, of nodes, Unix seconds. Secrets are masked. A filter is applied to each record; one that\n" +
			"lacks a field of the filter does not match.",
		example: `operator snapshot state -type Node -filter 'NodePool == "edge"' before-upgrade.snap`,
		flags: []cli.Flag{
			stringFlag("filter", "print only what matches the `EXPRESSION`"),
			&cli.StringSliceFlag{Name: "type", Usage: "print only records of `TYPE`, as inspect names it; repeatable", HideDefault: true},
		},
	}, func(ctx context.Context, v *invocation) error {
		p := &statePrinter{w: bufio.NewWriter(v.out)}
		if text := v.String("filter"); text != "" {
			var err error
			if p.filter, err = bexpr.CreateEvaluator(text, bexpr.WithMaxExpressions(50_000)); err != nil {
				return usagef(v.Command, "-filter: %s", err)
			}
		}
		var parts stateParts
		return v.archive(ctx, 0, parts.add, func(a *snapshot.Verified) error {
			types, err := parts.types(v.StringSlice("type"))
			if err != nil {
				return usagef(v.Command, "%s", err)
			}
			if err := p.print(ctx, a, &parts, types); err != nil {
				return fmt.Errorf("print state of %s: %w", a.Name, err)
			}
			return nil
		})
	})
}

// statePart is a piece of state.bin in which all records are of one type.
type statePart struct{ from, to int64 }

// stateParts says where the records of each type are, so that each type can be read by itself. Writers keep the records of a
// type together, so there are few parts.
type stateParts struct {
	byType [256][]statePart
	last   structs.RecordType
	end    int64
}

func (s *stateParts) add(rec snapshot.Record) error {
	end := rec.Offset + 1 + int64(len(rec.Raw))
	parts := &s.byType[rec.Type]
	if s.end == rec.Offset && s.last == rec.Type && len(*parts) > 0 {
		(*parts)[len(*parts)-1].to = end
	} else {
		*parts = append(*parts, statePart{rec.Offset, end})
	}
	s.last, s.end = rec.Type, end
	return nil
}

// types returns those with records, in the order in which they are written, or those that are asked for.
func (s *stateParts) types(asked []string) ([]structs.RecordType, error) {
	var list []structs.RecordType
	for n := range s.byType {
		t := structs.RecordType(n)
		wanted := slices.ContainsFunc(asked, func(a string) bool { return strings.EqualFold(a, t.String()) })
		if len(s.byType[n]) > 0 && (wanted || len(asked) == 0) {
			list = append(list, t)
		}
	}
	for _, a := range asked {
		if !slices.ContainsFunc(list, func(t structs.RecordType) bool { return strings.EqualFold(a, t.String()) }) {
			return nil, fmt.Errorf("the snapshot has no records of type %q; inspect lists those that it has", a)
		}
	}
	slices.SortFunc(list, func(x, y structs.RecordType) int { return cmp.Compare(snapshot.Order(x), snapshot.Order(y)) })
	return list, nil
}

// statePrinter holds one record in memory at a time.
type statePrinter struct {
	w      *bufio.Writer
	filter *bexpr.Evaluator // nil: everything
}

func (p *statePrinter) print(ctx context.Context, a *snapshot.Verified, parts *stateParts, types []structs.RecordType) error {
	// A bufio.Writer keeps its first error until Flush.
	p.w.WriteByte('{')
	for n, t := range types {
		if n > 0 {
			p.w.WriteByte(',')
		}
		fmt.Fprintf(p.w, "\n    %q: [", t)
		if err := p.records(ctx, a, parts.byType[t]); err != nil {
			return err
		}
		p.w.WriteByte(']')
	}
	if len(types) > 0 {
		p.w.WriteByte('\n')
	}
	p.w.WriteString("}\n")
	return p.w.Flush()
}

func (p *statePrinter) records(ctx context.Context, a *snapshot.Verified, parts []statePart) error {
	separator := "\n        "
	for _, part := range parts {
		in := snapshot.NewReader(io.MultiReader(strings.NewReader("\x80"), io.NewSectionReader(a.State(), part.from, part.to-part.from)))
		for {
			rec, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			text, err := p.record(rec)
			if err != nil {
				return err
			}
			if text != nil {
				p.w.WriteString(separator)
				p.w.Write(text)
				separator = ",\n        "
			}
		}
	}
	if strings.HasPrefix(separator, ",") {
		p.w.WriteString("\n    ")
	}
	return nil
}

// record returns the record's JSON, nil if the filter does not match.
func (p *statePrinter) record(rec snapshot.Record) ([]byte, error) {
	value, err := shownRecord(rec)
	if err != nil {
		return nil, err
	}
	if p.filter != nil {
		match, err := p.filter.Evaluate(withoutNull(value))
		switch {
		case errors.Is(err, pointerstructure.ErrNotFound):
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("-filter: %w", err)
		case !match:
			return nil, nil
		}
	}
	return json.Marshal(value)
}

// shownRecord masks what looks like a secret, which the name of a table does not.
func shownRecord(rec snapshot.Record) (any, error) {
	if rec.Type != structs.IndexRecord {
		return replay.MaskBody(rec.Raw)
	}
	var e structs.IndexEntry
	if err := structs.Decode(rec.Raw, &e); err != nil {
		return nil, err
	}
	return map[string]any{"Key": e.Key, "Value": e.Value}, nil
}

// withoutNull leaves out what is null, which filters can't take.
func withoutNull(v any) any {
	switch t := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(t))
		for k, e := range t {
			if e != nil {
				out[k] = withoutNull(e)
			}
		}
		return out
	case []any:
		out := make([]any, 0, len(t))
		for _, e := range t {
			if e != nil {
				out = append(out, withoutNull(e))
			}
		}
		return out
	case nil:
		return map[string]any{}
	}
	return v
}
