package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
)

func (a *app) operatorMetricsCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "metrics", usage: "show what an agent measures",
		help: "It asks one agent, not the cluster. Prometheus' format needs prometheus_metrics in the agent's telemetry block.\n" +
			"docs/operations.md says what the names mean.",
		example: "operator metrics\n  rollcall operator metrics -format prometheus",
		flags: outputFlags(
			stringFlag("format", "`FORMAT` as the agent has it: prometheus or json"), boolFlag("pretty", "the same as -json"),
		),
	}, func(ctx context.Context, v *invocation) error {
		switch format := v.String("format"); format {
		case "prometheus":
			if v.Bool("json") || v.Bool("pretty") || v.String("t") != "" {
				return usagef(v.Command, "-format prometheus can't be combined with -json, -pretty or -t")
			}
			if err := v.client.PrometheusMetrics(ctx, v.out); err != nil {
				return fmt.Errorf("read metrics: %w", err)
			}
			return nil
		case "", "json":
		default:
			return usagef(v.Command, "-format %q is not known; want prometheus or json", format)
		}
		m, err := v.client.Metrics(ctx)
		if err != nil {
			return fmt.Errorf("read metrics: %w", err)
		}
		if v.Bool("pretty") || v.String("format") == "json" {
			return v.printJSON(m)
		}
		return v.result(m, func(w io.Writer) { v.showMetrics(w, m) })
	})
}

func (v *invocation) showMetrics(w io.Writer, m *api.Metrics) {
	fmt.Fprintln(w, printable("Interval from "+m.Timestamp))
	number := func(f float64) string { return strconv.FormatFloat(f, 'g', 6, 64) }
	if len(m.Gauges) > 0 {
		v.section(w, "Gauges")
		rows := [][]string{{"Name", "Labels", "Value"}}
		for _, g := range m.Gauges {
			rows = append(rows, []string{g.Name, orNone(joinMap(g.Labels, "=", ",")), number(g.Value)})
		}
		v.table(w, rows)
	}
	for _, part := range []struct {
		title   string
		samples []api.MetricsSample
	}{{"Counters", m.Counters}, {"Samples", m.Samples}} {
		if len(part.samples) == 0 {
			continue
		}
		v.section(w, part.title)
		rows := [][]string{{"Name", "Labels", "Count", "Rate", "Mean", "Min", "Max", "Stddev"}}
		for _, s := range part.samples {
			rows = append(rows, []string{
				s.Name, orNone(joinMap(s.Labels, "=", ",")), strconv.Itoa(s.Count), number(s.Rate), number(s.Mean), number(s.Min), number(s.Max),
				number(s.Stddev),
			})
		}
		v.table(w, rows)
	}
}
