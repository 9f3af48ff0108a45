package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/config"
)

// verdict is what is said of configuration files.
type verdict struct {
	Valid    bool
	Problems []string
	Warnings []string
}

func (a *app) configValidateCommand() *cli.Command {
	return a.command(spec{
		name: "validate", usage: "check configuration files", args: "FILE|DIRECTORY...", least: 1, most: -1,
		help: "The files are read as 'rollcall agent' would read them together, and all mistakes are told with file and line.\n" +
			"The exit code is 1 if there are any.",
		example: "config validate /etc/rollcall",
		flags:   outputFlags(),
	}, func(_ context.Context, v *invocation) error {
		said := verdict{Problems: []string{}, Warnings: []string{}}
		cfg, err := config.Load(config.DefaultConfig(), v.Args().Slice()...)
		if err == nil {
			for _, w := range cfg.Warnings() {
				said.Warnings = append(said.Warnings, w.Error())
			}
			err = cfg.Validate()
		}
		for _, e := range parts(err) {
			said.Problems = append(said.Problems, e.Error())
		}
		said.Valid = err == nil
		if err := v.result(said, func(w io.Writer) { v.sayVerdict(w, said) }); err != nil || said.Valid {
			return err
		}
		return errReported
	})
}

func (v *invocation) sayVerdict(w io.Writer, said verdict) {
	for _, text := range said.Warnings {
		fmt.Fprintln(v.err, printable("Warning: "+text))
	}
	for _, text := range said.Problems {
		fmt.Fprintln(v.err, printable("Error: "+text))
	}
	if said.Valid {
		fmt.Fprintln(w, "Configuration is valid")
	}
}

// parts takes joined errors apart.
func parts(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, parts(e)...)
	}
	return out
}
