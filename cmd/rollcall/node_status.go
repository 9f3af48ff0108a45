package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) nodeStatusCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "status", usage: "list nodes, or show one", args: "[NODE_ID]", most: 1,
		help: "Without an ID it lists the nodes. An ID may be shortened to its first characters;\n" +
			"if several nodes match, they are listed.",
		example: "node status -filter 'Status == \"down\"'\n  rollcall node status 4d01",
		flags: listFlags(
			boolFlag("self", "show the node of the agent that is asked"), boolFlag("short", "leave out events and metadata"),
			boolFlag("stats", "show what the node's machine is busy with"), boolFlag("allocs", "list the number of allocations, which is 0"),
			verboseFlag(), boolFlag("os", "list the operating system"), boolFlag("quiet", "list IDs alone"),
		),
	}, func(ctx context.Context, v *invocation) error {
		switch {
		case v.Bool("self") && v.NArg() == 1:
			return usagef(v.Command, "give either a node ID or -self")
		case v.Bool("self"):
			id, err := v.self(ctx)
			if err != nil {
				return err
			}
			return v.showNode(ctx, id)
		case v.NArg() == 0:
			return v.listNodes(ctx)
		}
		id, err := v.nodeID(ctx, v.Args().First())
		var several *ambiguousError
		if errors.As(err, &several) && !v.Bool("json") && v.String("t") == "" {
			several.show(v.out)
			return nil
		}
		if err != nil {
			return v.showMatches(err)
		}
		return v.showNode(ctx, id)
	})
}

// page reads the options of a list.
func (v *invocation) page() (*api.QueryOptions, error) {
	n := v.Int("per-page")
	if n < 0 {
		return nil, usagef(v.Command, "-per-page can't be negative")
	}
	return &api.QueryOptions{Filter: v.String("filter"), PerPage: n, NextToken: v.String("page-token")}, nil
}

func (v *invocation) listNodes(ctx context.Context) error {
	q, err := v.page()
	if err != nil {
		return err
	}
	q.OS = v.Bool("os")
	res, err := v.client.Nodes(ctx, q)
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	return v.printNodes(res, "No nodes registered")
}

func (v *invocation) printNodes(res *api.Result[[]*structs.NodeListStub], empty string) error {
	return v.result(res.Value, func(w io.Writer) {
		switch {
		case v.Bool("quiet"):
			for _, n := range res.Value {
				fmt.Fprintln(w, v.short(n.ID))
			}
		case len(res.Value) == 0:
			fmt.Fprintln(w, empty)
		default:
			v.table(w, v.nodeRows(res.Value))
		}
		v.nextPage(res.Meta)
	})
}

// nextPage says how to go on after a page that was not the last.
func (v *invocation) nextPage(m api.QueryMeta) {
	if m.NextToken != "" {
		fmt.Fprintf(v.err, "\nThere is more: -page-token %s\n", printable(m.NextToken))
	}
}

func (v *invocation) nodeRows(nodes []*structs.NodeListStub) [][]string {
	osName, verbose, allocs := v.Bool("os"), v.Bool("verbose"), v.Bool("allocs")
	row := func(id, pool, dc, name, class, osText, address, version, drain, eligibility, status, running string) []string {
		out := []string{id, pool, dc, name, class}
		if osName {
			out = append(out, osText)
		}
		if verbose {
			out = append(out, address, version)
		}
		out = append(out, drain, eligibility, status)
		if allocs {
			out = append(out, running)
		}
		return out
	}
	rows := [][]string{row("ID", "Node Pool", "DC", "Name", "Class", "OS", "Address", "Version", "Drain", "Eligibility", "Status", "Running Allocs")}
	for _, n := range nodes {
		rows = append(rows, row(v.short(n.ID), n.NodePool, n.Datacenter, n.Name, orNone(n.NodeClass), orNone(n.Attributes["os.name"]),
			orNone(n.Address), orNone(n.Version), strconv.FormatBool(n.Drain), n.SchedulingEligibility, n.Status, "0"))
	}
	return rows
}

func unixTime(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0)
}

// rawNames lists the keys of a map that this system keeps without reading.
func rawNames(r structs.Raw) string {
	var m map[string]any
	if len(r) == 0 || structs.Decode(r, &m) != nil || len(m) == 0 {
		return none
	}
	return strings.Join(slices.Sorted(maps.Keys(m)), ",")
}

// showEvents prints the newest first.
func (v *invocation) showEvents(w io.Writer, events []*structs.NodeEvent) {
	if len(events) == 0 {
		return
	}
	v.section(w, "Node Events")
	rows := [][]string{{"Time", "Subsystem", "Message"}}
	if v.Bool("verbose") {
		rows[0] = append(rows[0], "Details")
	}
	for _, e := range slices.Backward(events) {
		row := []string{stamp(e.Timestamp), e.Subsystem, e.Message}
		if v.Bool("verbose") {
			row = append(row, orNone(joinMap(e.Details, " = ", ", ")))
		}
		rows = append(rows, row)
	}
	v.table(w, rows)
}

func joinMap(m map[string]string, equals, between string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+equals+m[k])
	}
	return strings.Join(parts, between)
}

func (v *invocation) showMap(w io.Writer, title string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	v.section(w, title)
	v.pairs(w, mapPairs(m))
}

// mapPairs sorts a map for pairs.
func mapPairs(m map[string]string) [][2]string {
	rows := make([][2]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		rows = append(rows, [2]string{k, m[k]})
	}
	return rows
}
