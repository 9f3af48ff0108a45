package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) serverMembersCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "members", usage: "list the servers",
		help:    "Servers of all regions are listed as gossip sees them, with their role in Raft.",
		example: "server members -verbose",
		flags: outputFlags(&cli.BoolFlag{
			Name: "verbose", Aliases: []string{"detailed"}, Usage: "show protocols and tags", HideDefault: true,
		}),
	}, func(ctx context.Context, v *invocation) error {
		res, err := v.client.Members(ctx, nil)
		if err != nil {
			return fmt.Errorf("list servers: %w", err)
		}
		slices.SortFunc(res.Members, func(a, b *structs.ServerMember) int {
			if c := strings.Compare(a.Tags["region"], b.Tags["region"]); c != 0 {
				return c
			}
			return strings.Compare(a.Name, b.Name)
		})
		return v.result(res.Members, func(w io.Writer) {
			leaders := v.leaders(ctx, res.Members)
			v.table(w, v.memberRows(res.Members, leaders))
		})
	})
}

// leaders returns the RPC address of each region's leader. A region that can't be asked is told, and goes without.
func (v *invocation) leaders(ctx context.Context, members []*structs.ServerMember) map[string]string {
	leaders := map[string]string{}
	for _, m := range members {
		region := m.Tags["region"]
		if _, asked := leaders[region]; asked {
			continue
		}
		addr, err := v.client.Leader(ctx, region)
		switch {
		case err != nil:
			fmt.Fprintln(v.err, printable(fmt.Sprintf("Warning: the leader of region %q is not known: %s", region, err)))
		case addr == "":
			fmt.Fprintln(v.err, printable(fmt.Sprintf("Warning: region %q has no leader", region)))
		}
		leaders[region] = addr
	}
	return leaders
}

func (v *invocation) memberRows(members []*structs.ServerMember, leaders map[string]string) [][]string {
	verbose := v.Bool("verbose")
	row := func(name, addr, port, status, leader, protocol, raft, build, dc, region, tags string) []string {
		out := []string{name, addr, port, status, leader}
		if verbose {
			out = append(out, protocol)
		}
		out = append(out, raft, build, dc, region)
		if verbose {
			out = append(out, tags)
		}
		return out
	}
	rows := [][]string{row("Name", "Address", "Port", "Status", "Leader", "Protocol", "Raft Version", "Build", "Datacenter", "Region", "Tags")}
	for _, m := range members {
		region := m.Tags["region"]
		rpc := net.JoinHostPort(m.Addr.String(), m.Tags["port"])
		rows = append(rows, row(m.Name, m.Addr.String(), strconv.Itoa(int(m.Port)), m.Status, strconv.FormatBool(rpc == leaders[region]),
			strconv.Itoa(int(m.ProtocolCur)), m.Tags["raft_vsn"], m.Tags["build"], m.Tags["dc"], region, joinMap(m.Tags, "=", ",")))
	}
	return rows
}
