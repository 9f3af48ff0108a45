package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/urfave/cli/v3"
)

const poolExampleHCL = `node_pool "example" {
  description = "Machines of one kind"

  # How long an identity of a node in this pool is valid. Nodes renew theirs when
  # two thirds of the time are over.
  node_identity_ttl = "24h"

  # Anything you want to remember.
  meta {
    owner = "platform"
  }
}
`

const poolExampleJSON = `{
    "Name": "example",
    "Description": "Machines of one kind",
    "NodeIdentityTTL": "24h",
    "Meta": {
        "owner": "platform"
    }
}
`

func (a *app) nodePoolInitCommand() *cli.Command {
	return a.command(spec{
		name: "init", usage: "write an example of a node pool's file", args: "[FILE]", most: 1,
		help:    "An existing file is left alone. The default name is pool.nomad.hcl, with -out json pool.nomad.json.",
		example: "node pool init pool.hcl",
		flags:   outputFlags(stringFlag("out", "`FORMAT`: hcl (default) or json"), boolFlag("quiet", "say nothing")),
	}, func(_ context.Context, v *invocation) error {
		name, content := "pool.nomad.hcl", poolExampleHCL
		switch v.String("out") {
		case "", "hcl":
		case "json":
			name, content = "pool.nomad.json", poolExampleJSON
		default:
			return usagef(v.Command, "-out %q is not known: want hcl or json", v.String("out"))
		}
		if v.NArg() == 1 {
			name = v.Args().First()
		}
		if err := createFile(name, content); err != nil {
			return fmt.Errorf("write example: %w", err)
		}
		if v.Bool("quiet") {
			return nil
		}
		return v.done(struct{ File string }{name}, "Example node pool written to %s", name)
	})
}

// createFile writes a file that must not exist yet, and removes it again if that fails half way.
func createFile(name, content string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already; name another file", name)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(name)
	}
	return err
}
