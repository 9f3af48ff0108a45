package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/internal/version"
)

func (a *app) versionCommand() *cli.Command {
	return a.command(spec{
		name: "version", usage: "show what this program is",
		help:    "Release, commit, compiler, and the level of the wire protocol it speaks.",
		example: "version",
		flags:   outputFlags(),
	}, func(_ context.Context, v *invocation) error {
		return v.result(version.Get(), func(w io.Writer) { fmt.Fprintln(w, version.Human()) })
	})
}
