package main

import (
	"context"
	"io"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/internal/version"
)

// app is one run of the program.
type app struct {
	in          io.Reader
	out, err    io.Writer
	terminal    bool // out is a terminal
	interactive bool // in is a terminal
	// signals replaces those of the process for the agent; nil outside of tests.
	signals <-chan os.Signal
}

const rootHelp = `Rollcall gives every machine of a fleet a short-lived, signed identity.

Commands talk to the agent at ROLLCALL_ADDR (NOMAD_ADDR is read as well), or on this machine if that is not set.

Example:

  rollcall agent -dev
  rollcall node status
  rollcall node identity get 4d01

` + exitCodeHelp

// run executes the command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	if completesPastFlags(args) {
		return exitOK
	}
	root := a.root()
	// Walk fails only if the function does.
	_ = root.Walk(func(c *cli.Command) error {
		c.OnUsageError = usageErrorOf
		c.DisableSliceFlagSeparator = true
		c.HideHelpCommand = c != root
		return nil
	})
	return a.report(ctx, root.Run(ctx, args))
}

// root holds every command.
func (a *app) root() *cli.Command {
	return &cli.Command{
		Name: "rollcall", Usage: "short-lived, signed identities for machines", Description: rootHelp, Version: version.Version,
		Reader: a.in, Writer: a.out, ErrWriter: a.err,
		Flags: globalFlags(), Action: chooseCommand,
		Commands: []*cli.Command{
			a.agentCommand(),
			group("node", "nodes and their identities",
				a.nodeStatusCommand(), a.nodeDrainCommand(), a.nodeEligibilityCommand(), a.nodeConfigCommand(),
				group("meta", "metadata of a running node", a.nodeMetaReadCommand(), a.nodeMetaApplyCommand()),
				group("identity", "the identity that a node holds", a.nodeIdentityGetCommand(), a.nodeIdentityRenewCommand()),
				group("intro", "introductions of machines that are not registered yet", a.nodeIntroCreateCommand()),
				group("pool", "sets of nodes with one identity TTL", a.nodePoolListCommand(), a.nodePoolInfoCommand(),
					a.nodePoolNodesCommand(), a.nodePoolJobsCommand(), a.nodePoolApplyCommand(), a.nodePoolDeleteCommand(), a.nodePoolInitCommand()),
			),
			group("acl", "who may do what", a.aclBootstrapCommand(),
				group("token", "credentials of operators", a.aclTokenCreateCommand(), a.aclTokenUpdateCommand(), a.aclTokenDeleteCommand(),
					a.aclTokenInfoCommand(), a.aclTokenListCommand(), a.aclTokenSelfCommand()),
				group("policy", "what tokens may do", a.aclPolicyApplyCommand(), a.aclPolicyDeleteCommand(), a.aclPolicyInfoCommand(),
					a.aclPolicyListCommand(), a.aclPolicySelfCommand()),
				group("role", "names for several policies", a.aclRoleCreateCommand(), a.aclRoleUpdateCommand(), a.aclRoleDeleteCommand(),
					a.aclRoleInfoCommand(), a.aclRoleListCommand()),
			),
			group("operator", "keys, snapshots, Raft and autopilot",
				group("root", "root keys", group("keyring", "the keys that sign identities",
					a.keyringListCommand(), a.keyringRotateCommand(), a.keyringRemoveCommand(),
					a.keyringStatusCommand(), a.keyringRewrapCommand(),
					group("kek", "the key that wraps them", a.kekGenerateCommand()))),
				group("gossip", "the pool by which servers find each other", group("keyring", "the keys that encrypt it",
					a.gossipKeyringListCommand(), a.gossipKeyringInstallCommand(), a.gossipKeyringUseCommand(), a.gossipKeyringRemoveCommand(),
					a.gossipKeyringGenerateCommand())),
				group("raft", "the servers that replicate the state", a.raftListPeersCommand(), a.raftRemovePeerCommand(), a.raftTransferCommand(),
					a.raftInfoCommand(), a.raftLogsCommand(), a.raftStateCommand(), a.raftReplayCommand()),
				group("snapshot", "the cluster's state in a file", a.snapshotSaveCommand(), a.snapshotRestoreCommand(), a.snapshotInspectCommand(),
					a.snapshotVerifyCommand(), a.snapshotStateCommand(), a.snapshotDiffCommand(), a.snapshotRedactCommand(), a.snapshotConvertCommand(), a.snapshotAgentCommand()),
				group("autopilot", "health and clean-up of servers", a.autopilotGetCommand(), a.autopilotSetCommand(), a.autopilotHealthCommand()),
				group("scheduler", "kept for tools of the compatible system", a.schedulerGetCommand(), a.schedulerSetCommand()),
				a.operatorMetricsCommand(), a.operatorDebugCommand(), a.operatorAPICommand(), a.operatorUtilizationCommand(),
			),
			group("server", "servers as gossip sees them", a.serverMembersCommand(), a.serverJoinCommand(), a.serverForceLeaveCommand()),
			group("system", "work of the whole cluster", a.systemGCCommand()),
			group("tls", "certificates for agents and for the command line",
				group("ca", "the authority that signs them", a.tlsCACreateCommand(), a.tlsCAInfoCommand()),
				group("cert", "certificates", a.tlsCertCreateCommand(), a.tlsCertInfoCommand())),
			a.statusCommand(), a.agentInfoCommand(),
			group("config", "configuration files", a.configValidateCommand()),
			group("event", "what changes in the cluster", a.eventStreamCommand()),
			a.monitorCommand(),
			a.versionCommand(),
		},
		EnableShellCompletion:           true,
		ConfigureShellCompletionCommand: a.configureCompletion,
		ExitErrHandler:                  func(context.Context, *cli.Command, error) {}, // reported below, once
	}
}

// group is a command that only holds others.
func group(name, usage string, commands ...*cli.Command) *cli.Command {
	return &cli.Command{Name: name, Usage: usage, Commands: commands, Action: chooseCommand}
}

// chooseCommand shows the help of a command that only holds others.
func chooseCommand(_ context.Context, c *cli.Command) error {
	if name := c.Args().First(); name != "" {
		return usagef(c, "there is no command %q%s", name, suggestion(cli.SuggestCommand(c.VisibleCommands(), name)))
	}
	if c == c.Root() {
		return cli.ShowRootCommandHelp(c)
	}
	return cli.ShowSubcommandHelp(c)
}

// colour reports whether out is to be coloured.
func (a *app) colour(c *cli.Command) bool {
	if c.Bool("no-color") {
		return false
	}
	return c.Bool("force-color") || a.terminal && os.Getenv("NO_COLOR") == ""
}
