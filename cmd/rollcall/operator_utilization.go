package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v3"
)

// errNoUtilization is the whole of the command.
var errNoUtilization = errors.New("utilization reports are not here: they belong to a licence, and there is none")

func (a *app) operatorUtilizationCommand() *cli.Command {
	return a.command(spec{
		name: "utilization", usage: "not here: reports for a licence",
		help:    "The compatible system writes usage reports for its licence. Nothing here is counted or reported to anyone.",
		example: "operator utilization",
		flags: outputFlags(
			stringFlag("message", "`TEXT` for the report"), stringFlag("output", "`FILE` of the report"), boolFlag("today-only", "only of today"),
		),
	}, func(context.Context, *invocation) error { return errNoUtilization })
}
