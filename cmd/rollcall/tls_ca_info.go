package main

import (
	"context"

	"github.com/urfave/cli/v3"
)

func (a *app) tlsCAInfoCommand() *cli.Command {
	return a.command(spec{
		name: "info", usage: "show a certificate authority", args: "[FILE]", most: 1,
		help:    "Without a file, nomad-agent-ca.pem in the current folder. A file with several authorities shows all.",
		example: "tls ca info\n  rollcall tls ca info /etc/rollcall/tls/ca.pem",
		flags:   outputFlags(),
	}, func(_ context.Context, v *invocation) error {
		file := defaultDomain + "-agent-ca.pem"
		if v.NArg() == 1 {
			file = v.Args().First()
		}
		return v.showCertificates(file, true)
	})
}
