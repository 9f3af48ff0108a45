package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/agent"
	"github.com/rollcall-id/rollcall/config"
)

// setting is a flag that stands for one setting of the configuration.
type setting struct {
	flag, key, usage string
	kind             settingKind
}

type settingKind int

const (
	textSetting settingKind = iota
	boolSetting
	numberSetting
	listSetting // repeatable
)

// settings are in the order of the help. The key's type is that of the configuration.
var settings = []setting{
	{"data-dir", "data_dir", "`DIR` for everything that is kept", textSetting},
	{"bind", "bind_addr", "`ADDRESS` to listen on", textSetting},
	{"region", "region", "`REGION` of the agent", textSetting},
	{"dc", "datacenter", "`DATACENTER` of the agent", textSetting},
	{"node", "name", "`NAME` of the agent (default: the host's)", textSetting},
	{"log-level", "log_level", "`LEVEL`: trace, debug, info, warn, error or off", textSetting},
	{"log-json", "log_json", "log in JSON", boolSetting},
	{"server", "server.enabled", "be a server", boolSetting},
	{"bootstrap-expect", "server.bootstrap_expect", "first elect a leader among `N` servers", numberSetting},
	{"retry-join", "server.server_join.retry_join", "join the server at `ADDRESS`, again and again; repeatable", listSetting},
	{"join", "server.server_join.start_join", "join the server at `ADDRESS` once; repeatable", listSetting},
	{"encrypt", "server.encrypt", "gossip `KEY` in base64; better in a file", textSetting},
	{"oidc-issuer", "server.oidc_issuer", "`URL` that becomes the issuer of identities", textSetting},
	{"client", "client.enabled", "be a node", boolSetting},
	{"servers", "client.servers", "register with the server at `ADDRESS`; repeatable", listSetting},
	{"state-dir", "client.state_dir", "`DIR` for what the node keeps", textSetting},
	{"node-pool", "client.node_pool", "`POOL` of the node", textSetting},
	{"node-class", "client.node_class", "`CLASS` of the node", textSetting},
	{"meta", "client.meta", "`KEY=VALUE` of the node; repeatable", listSetting},
}

func (a *app) agentCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringSliceFlag{Name: "config", Usage: "read `FILE` or directory; repeatable", HideDefault: true},
		boolFlag("dev", "server and node in one process, state in memory"),
		stringFlag("client-intro-token", "`TOKEN` that introduces a node that was never registered; better in ROLLCALL_CLIENT_INTRO_TOKEN"),
	}
	for _, s := range settings {
		flags = append(flags, s.cliFlag())
	}
	return a.command(spec{
		name: "agent", usage: "run a server, a node or both", flags: flags,
		help: "Flags win over files, later files over earlier ones. SIGHUP reads the files again and takes over the log level\n" +
			"and heartbeat settings; SIGINT and SIGTERM stop the agent. An introduction is taken from ROLLCALL_CLIENT_INTRO_TOKEN, else from\n" +
			"-client-intro-token, which others on the machine can see, else from the file intro_token.jwt in the node's state directory.",
		example: "agent -dev\n  rollcall agent -config /etc/rollcall",
	}, func(ctx context.Context, v *invocation) error {
		cfg, err := agentConfig(v.Command)
		if err != nil {
			return err
		}
		reload := func() (*config.Config, error) { return agentConfig(v.Command) }
		if len(v.StringSlice("config")) == 0 {
			reload = nil
		}
		// The agent tells the signals apart, so it must not be ended by the first of them here.
		return agent.Run(context.WithoutCancel(ctx), agent.Options{
			Config: cfg, Reload: reload, IntroToken: introToken(v.String("client-intro-token")), Log: v.err, Signals: v.signals,
		})
	})
}

// introToken is the introduction that the environment gives, else that of the flag (wire.md §3.6). The client reads its file
// when there is neither.
func introToken(flag string) string {
	if token, _ := config.Env("CLIENT_INTRO_TOKEN"); token != "" {
		return token
	}
	return flag
}

func (s setting) cliFlag() cli.Flag {
	switch s.kind {
	case boolSetting:
		return boolFlag(s.flag, s.usage)
	case numberSetting:
		return &cli.IntFlag{Name: s.flag, Usage: s.usage, HideDefault: true}
	case listSetting:
		return &cli.StringSliceFlag{Name: s.flag, Usage: s.usage, HideDefault: true}
	}
	return stringFlag(s.flag, s.usage)
}

// values is what the flag was given as, in the text form of config.Override.
func (s setting) values(c *cli.Command) []string {
	switch s.kind {
	case boolSetting:
		return []string{strconv.FormatBool(c.Bool(s.flag))}
	case numberSetting:
		return []string{strconv.Itoa(c.Int(s.flag))}
	case listSetting:
		return c.StringSlice(s.flag)
	}
	return []string{c.String(s.flag)}
}

// agentConfig reads the configuration as files and flags give it, checked and ready to run.
func agentConfig(c *cli.Command) (*config.Config, error) {
	base, files := config.DefaultConfig(), c.StringSlice("config")
	if c.Bool("dev") {
		base = config.DevConfig()
	}
	if !c.Bool("dev") && len(files) == 0 && !c.IsSet("server") && !c.IsSet("client") {
		return nil, usagef(c, "give -config, -dev, -server or -client: there is nothing to run")
	}
	cfg, err := config.Load(base, files...)
	if err != nil {
		return nil, err
	}
	if c.Bool("dev") { // both, whatever files that were made for one of them say
		cfg.Server.Enabled, cfg.Client.Enabled = true, true
	}
	var errs []error
	for _, s := range settings {
		if !c.IsSet(s.flag) {
			continue
		}
		for _, value := range s.values(c) {
			errs = append(errs, cfg.Override(s.key, value, "-"+s.flag))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, usagef(c, "%s", err)
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuration:\n%w", err)
	}
	if err := cfg.Normalize(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return cfg, nil
}
