package main

import (
	"context"
	_ "embed"
	"fmt"
	"slices"

	"github.com/urfave/cli/v3"
)

// completionFlag is what completion scripts put at the end of the line to learn what could stand there.
const completionFlag = "--generate-shell-completion"

// bashCompletion takes the place of the library's, which evaluates the line and needs the package bash-completion.
//
//go:embed completion.bash
var bashCompletion string

// configureCompletion makes the library's command for completion scripts one of ours.
func (a *app) configureCompletion(c *cli.Command) {
	c.Hidden = false
	c.Action = chooseCommand
	for _, shell := range c.Commands {
		if shell.Name == "bash" {
			shell.Action = func(context.Context, *cli.Command) error {
				_, err := fmt.Fprint(a.out, bashCompletion)
				return err
			}
		}
	}
}

// completesPastFlags reports whether a completion script asks about a line with "--" in it. The library would run
// such a line instead of completing it.
func completesPastFlags(args []string) bool {
	return len(args) > 0 && args[len(args)-1] == completionFlag && slices.Contains(args, "--")
}
