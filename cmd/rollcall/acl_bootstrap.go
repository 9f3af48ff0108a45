package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) aclBootstrapCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "bootstrap", usage: "make the first management token", args: "[FILE]", most: 1,
		help: "It works once. The file holds the secret that the token is to have, a UUID; - reads standard input. Without one the secret is\n" +
			"random, and shown now and never again.",
		example: "acl bootstrap",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		secret := ""
		if name := v.Args().First(); name != "" {
			b, err := v.readSpec(name)
			if err != nil {
				return fmt.Errorf("read secret: %w", err)
			}
			secret = strings.TrimSpace(string(b))
		}
		token, err := v.client.BootstrapACL(ctx, secret, nil)
		if err != nil {
			return fmt.Errorf("bootstrap ACLs: %w", err)
		}
		return v.showACLToken(token)
	})
}

// showACLToken prints a token: with its secret only where the answer has it.
func (v *invocation) showACLToken(t *structs.ACLToken) error {
	return v.result(t, func(w io.Writer) {
		secret, expiry := t.SecretID, "<none>"
		if secret == "" {
			secret = "<sensitive>"
		}
		if t.ExpirationTime != nil {
			expiry = stamp(*t.ExpirationTime)
		}
		policies, roles := strings.Join(t.Policies, ", "), make([]string, 0, len(t.Roles))
		for _, r := range t.Roles {
			roles = append(roles, r.Name)
		}
		if t.IsManagement() {
			policies = "n/a"
		}
		v.pairs(w, [][2]string{
			{"Accessor ID", t.AccessorID}, {"Secret ID", secret}, {"Name", orNone(t.Name)}, {"Type", t.Type}, {"Global", fmt.Sprint(t.Global)},
			{"Create Time", stamp(t.CreateTime)}, {"Expiry Time", expiry}, {"Create Index", fmt.Sprint(t.CreateIndex)},
			{"Modify Index", fmt.Sprint(t.ModifyIndex)}, {"Policies", orNone(policies)}, {"Roles", orNone(strings.Join(roles, ", "))},
		})
	})
}
