package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/urfave/cli/v3"
)

func (a *app) autopilotGetCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "get-config", usage: "show autopilot's configuration",
		help:    "The configuration is replicated; what configuration files say counts for a new cluster only.",
		example: "operator autopilot get-config",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		c, err := v.client.AutopilotConfiguration(ctx, nil)
		if err != nil {
			return fmt.Errorf("read autopilot configuration: %w", err)
		}
		return v.result(c, func(w io.Writer) {
			number := func(n uint64) string { return strconv.FormatUint(n, 10) }
			for _, row := range [][2]string{
				{"CleanupDeadServers", strconv.FormatBool(c.CleanupDeadServers)},
				{"LastContactThreshold", c.LastContactThreshold.String()},
				{"MaxTrailingLogs", number(c.MaxTrailingLogs)},
				{"MinQuorum", number(c.MinQuorum)},
				{"ServerStabilizationTime", c.ServerStabilizationTime.String()},
			} {
				fmt.Fprintf(w, "%s = %s\n", row[0], row[1])
			}
		})
	})
}
