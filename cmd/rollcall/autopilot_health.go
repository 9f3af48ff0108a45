package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) autopilotHealthCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "health", usage: "show the health of the servers",
		help:    "The exit code is 1 if a server is not healthy.",
		example: "operator autopilot health",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		h, err := v.client.ServerHealth(ctx, nil)
		if err != nil {
			return fmt.Errorf("read health of servers: %w", err)
		}
		err = v.result(h, func(w io.Writer) {
			v.pairs(w, [][2]string{
				{"Healthy", strconv.FormatBool(h.Healthy)}, {"FailureTolerance", strconv.Itoa(h.FailureTolerance)}, {"Leader", orNone(h.Leader)},
			})
			fmt.Fprintln(w)
			v.table(w, healthRows(h.Servers))
		})
		if err == nil && !h.Healthy {
			return errReported
		}
		return err
	})
}

func healthRows(servers []structs.ServerHealth) [][]string {
	rows := [][]string{{
		"ID", "Name", "Address", "SerfStatus", "Version", "Leader", "Voter", "Healthy", "LastContact", "LastTerm", "LastIndex", "StableSince",
	}}
	for _, s := range servers {
		rows = append(rows, []string{
			s.ID, s.Name, s.Address, s.SerfStatus, s.Version, strconv.FormatBool(s.Leader), strconv.FormatBool(s.Voter),
			strconv.FormatBool(s.Healthy), s.LastContact.String(), strconv.FormatUint(s.LastTerm, 10), strconv.FormatUint(s.LastIndex, 10),
			stamp(s.StableSince),
		})
	}
	return rows
}
