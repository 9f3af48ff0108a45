package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) autopilotSetCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "set-config", usage: "change autopilot's configuration",
		help:    "What is not given stays as it is. If somebody else changes it in between, nothing is written.",
		example: "operator autopilot set-config -cleanup-dead-servers=false -min-quorum 3",
		flags: outputFlags(
			boolFlag("cleanup-dead-servers", "remove failed servers when replacements are healthy (=false to keep them)"),
			&cli.Uint64Flag{Name: "max-trailing-logs", Usage: "a healthy server trails the leader by at most `N` log entries", HideDefault: true},
			&cli.DurationFlag{Name: "last-contact-threshold", Usage: "a healthy server heard of the leader `DURATION` ago at most", HideDefault: true},
			&cli.DurationFlag{Name: "server-stabilization-time", Usage: "a new server votes when it was healthy for `DURATION`", HideDefault: true},
			&cli.Uint64Flag{Name: "min-quorum", Usage: "never clean up below `N` servers", HideDefault: true},
		),
	}, func(ctx context.Context, v *invocation) error {
		set := map[string]func(*structs.AutopilotConfig){
			"cleanup-dead-servers":      func(c *structs.AutopilotConfig) { c.CleanupDeadServers = v.Bool("cleanup-dead-servers") },
			"max-trailing-logs":         func(c *structs.AutopilotConfig) { c.MaxTrailingLogs = v.Uint64("max-trailing-logs") },
			"last-contact-threshold":    func(c *structs.AutopilotConfig) { c.LastContactThreshold = v.Duration("last-contact-threshold") },
			"server-stabilization-time": func(c *structs.AutopilotConfig) { c.ServerStabilizationTime = v.Duration("server-stabilization-time") },
			"min-quorum":                func(c *structs.AutopilotConfig) { c.MinQuorum = v.Uint64("min-quorum") },
		}
		given := 0
		for name := range set {
			if v.IsSet(name) {
				given++
			}
		}
		if given == 0 {
			return usagef(v.Command, "give at least one setting")
		}
		c, err := v.client.AutopilotConfiguration(ctx, nil)
		if err != nil {
			return fmt.Errorf("read autopilot configuration: %w", err)
		}
		for name, apply := range set {
			if v.IsSet(name) {
				apply(c)
			}
		}
		if err := c.Validate(); err != nil {
			return usagef(v.Command, "%s", err)
		}
		updated, err := v.client.SetAutopilotConfiguration(ctx, c, nil)
		if err != nil {
			return fmt.Errorf("write autopilot configuration: %w", err)
		}
		if !updated {
			return fmt.Errorf("write autopilot configuration: %w: somebody else changed it at the same time; try again", structs.ErrConflict)
		}
		return v.done(c, "Configuration updated!")
	})
}
