package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
)

// globalFlags are understood by every command, before or after its name.
func globalFlags() []cli.Flag {
	const connection = "Connection"
	text := func(name, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, Usage: usage, Category: connection, HideDefault: true}
	}
	return []cli.Flag{
		text("address", "agent's `ADDRESS`: http, https or unix (ROLLCALL_ADDR; default "+api.DefaultAddress+")"),
		text("region", "`REGION` to ask (ROLLCALL_REGION)"),
		text("namespace", "`NAMESPACE` to ask (ROLLCALL_NAMESPACE)"),
		text("token", "`TOKEN` to present (ROLLCALL_TOKEN)"),
		text("ca-cert", "PEM `FILE` with the authority of the agent's certificate (ROLLCALL_CACERT)"),
		text("ca-path", "`DIR` of such files (ROLLCALL_CAPATH)"),
		text("client-cert", "PEM `FILE` with our certificate (ROLLCALL_CLIENT_CERT)"),
		text("client-key", "PEM `FILE` with its key (ROLLCALL_CLIENT_KEY)"),
		text("tls-server-name", "`NAME` that the agent's certificate must have (ROLLCALL_TLS_SERVER_NAME)"),
		&cli.BoolFlag{
			Name: "tls-skip-verify", Aliases: []string{"insecure"}, Category: connection,
			Usage: "accept any certificate (ROLLCALL_SKIP_VERIFY)", HideDefault: true,
		},
		&cli.BoolFlag{Name: "no-color", Usage: "never colour the output (NO_COLOR)", HideDefault: true},
		&cli.BoolFlag{Name: "force-color", Usage: "colour the output even if it is no terminal", HideDefault: true},
	}
}

// outputFlags are -json and -t.
func outputFlags(more ...cli.Flag) []cli.Flag {
	return append(more,
		&cli.BoolFlag{Name: "json", Usage: "print JSON", HideDefault: true},
		&cli.StringFlag{Name: "t", Usage: "print with a Go `TEMPLATE`", HideDefault: true},
	)
}

// listFlags are those of lists that the server pages and filters.
func listFlags(more ...cli.Flag) []cli.Flag {
	return outputFlags(append(more,
		&cli.StringFlag{Name: "filter", Usage: "show only what matches the `EXPRESSION`, as in 'Name matches \"^web\"'", HideDefault: true},
		&cli.IntFlag{Name: "per-page", Usage: "show so many", HideDefault: true},
		&cli.StringFlag{Name: "page-token", Usage: "go on where the page before ended", HideDefault: true},
	)...)
}

func verboseFlag() cli.Flag {
	return &cli.BoolFlag{Name: "verbose", Usage: "full IDs and all there is", HideDefault: true}
}

func boolFlag(name, usage string) cli.Flag {
	return &cli.BoolFlag{Name: name, Usage: usage, HideDefault: true}
}

func stringFlag(name, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, Usage: usage, HideDefault: true}
}

// spec is an API command: what it is called and what it takes.
type spec struct {
	name, usage string
	args        string // as shown in the usage line
	least, most int    // number of arguments
	help        string
	example     string // lines without "rollcall"
	flags       []cli.Flag
}

// invocation is one run of an API command.
type invocation struct {
	*app
	*cli.Command
	client *api.Client
}

// apiCommand builds a command that has a client.
func (a *app) apiCommand(s spec, run func(context.Context, *invocation) error) *cli.Command {
	return a.command(s, func(ctx context.Context, v *invocation) error {
		client, err := newClient(v.Command)
		if err != nil {
			return err
		}
		defer client.Close()
		v.client = client
		return run(ctx, v)
	})
}

// command builds a command and checks what all have in common.
func (a *app) command(s spec, run func(context.Context, *invocation) error) *cli.Command {
	return &cli.Command{
		Name: s.name, Usage: s.usage, ArgsUsage: s.args, Flags: s.flags,
		Description: s.help + "\n\nExample:\n\n  rollcall " + s.example + "\n\n" + exitCodeHelp,
		Action: func(ctx context.Context, c *cli.Command) error {
			if n := c.NArg(); n < s.least || s.most >= 0 && n > s.most {
				return usagef(c, "%s, got %d", expected(s), n)
			}
			if c.Bool("json") && c.String("t") != "" {
				return usagef(c, "-json and -t can't be combined")
			}
			if err := run(ctx, &invocation{app: a, Command: c}); err != nil {
				return err
			}
			return nil
		},
	}
}

func expected(s spec) string {
	switch {
	case s.most == 0:
		return "this command takes no arguments"
	case s.most < 0:
		return fmt.Sprintf("want at least %d argument(s): %s", s.least, s.args)
	case s.least == s.most:
		return fmt.Sprintf("want %d argument(s): %s", s.least, s.args)
	}
	return fmt.Sprintf("want %d to %d arguments: %s", s.least, s.most, s.args)
}

func newClient(c *cli.Command) (*api.Client, error) {
	cfg, err := clientConfig(c)
	if err != nil {
		return nil, err
	}
	client, err := api.New(cfg)
	if err != nil {
		return nil, usagef(c, "%s", err)
	}
	return client, nil
}

// clientConfig merges the flags over the environment.
func clientConfig(c *cli.Command) (api.Config, error) {
	cfg, err := api.ConfigFromEnv()
	if err != nil {
		return cfg, err
	}
	for name, value := range map[string]*string{
		"address": &cfg.Address, "region": &cfg.Region, "namespace": &cfg.Namespace, "token": &cfg.Token,
		"ca-cert": &cfg.TLS.CACert, "ca-path": &cfg.TLS.CAPath, "client-cert": &cfg.TLS.ClientCert,
		"client-key": &cfg.TLS.ClientKey, "tls-server-name": &cfg.TLS.ServerName,
	} {
		if c.IsSet(name) {
			*value = c.String(name)
		}
	}
	if c.IsSet("tls-skip-verify") {
		cfg.TLS.SkipVerify = c.Bool("tls-skip-verify")
	}
	return cfg, nil
}
