package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
)

func (a *app) monitorCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "monitor", usage: "follow the log of an agent",
		help: "The log of the agent asked is shown as it is written, at a level of its own; or that of a server, by name, ID or\n" +
			"\"leader\", or that of a node. It ends when it is interrupted. Lines that come faster than they can be sent are left\n" +
			"out, and a line says how many.",
		example: "monitor -log-level debug -server-id leader",
		flags: []cli.Flag{
			stringFlag("log-level", "show this `LEVEL` and what is graver: trace, debug, info, warn or error; info if not given"),
			boolFlag("log-include-location", "show file and line of the code that logs"),
			stringFlag("node-id", "follow the agent of the node with this `ID`, or the start of one"),
			stringFlag("server-id", "follow the server with this `ID`, or name, or \"leader\""),
			boolFlag("json", "show lines of JSON"),
		},
	}, func(ctx context.Context, v *invocation) error {
		o := &api.MonitorOptions{
			LogLevel: v.String("log-level"), JSON: v.Bool("json"), IncludeLocation: v.Bool("log-include-location"), ServerID: v.String("server-id"),
		}
		if prefix := v.String("node-id"); prefix != "" {
			var err error
			if o.NodeID, err = v.oneNode(ctx, prefix); err != nil {
				return err
			}
		}
		log, err := v.client.Monitor(ctx, o)
		if err == nil {
			defer func() { _ = log.Close() }() // only read from
			err = v.copyLog(bufio.NewReader(log))
		}
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("follow log: %w", err)
	})
}

// copyLog shows line after line; what could make a terminal do something is replaced.
func (v *invocation) copyLog(log *bufio.Reader) error {
	for {
		line, err := log.ReadString('\n')
		if line != "" {
			if _, err := fmt.Fprintln(v.out, printable(strings.TrimSuffix(line, "\n"))); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}
