package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) aclTokenCreateCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "create", usage: "make a token",
		help:    "Its secret is shown now and never again: servers keep a hash of it.",
		example: "acl token create -name ci -policy read -ttl 8h",
		flags: outputFlags(append(tokenFlags(), stringFlag("ttl", "end in this `TIME`, as in 8h"),
			&cli.StringFlag{Name: "type", Usage: "client or management", Value: structs.ACLTokenClient})...),
	}, func(ctx context.Context, v *invocation) error {
		token := &structs.ACLToken{Type: v.String("type")}
		if s := v.String("ttl"); s != "" {
			ttl, err := time.ParseDuration(s)
			if err != nil {
				return usagef(v.Command, "-ttl: %s", err)
			}
			token.ExpirationTTL = ttl
		}
		v.tokenFromFlags(token)
		made, err := v.client.CreateACLToken(ctx, token, nil)
		if err != nil {
			return fmt.Errorf("make ACL token: %w", err)
		}
		return v.showACLToken(made)
	})
}

// tokenFlags are those that say what a token may do.
func tokenFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("name", "`NAME` for people"), boolFlag("global", "good in all regions"),
		&cli.StringSliceFlag{Name: "policy", Usage: "`POLICY` of the token; repeatable", HideDefault: true},
		&cli.StringSliceFlag{Name: "role-id", Usage: "role of the token by its `ID`; repeatable", HideDefault: true},
		&cli.StringSliceFlag{Name: "role-name", Usage: "role of the token by its `NAME`; repeatable", HideDefault: true},
	}
}

// tokenFromFlags replaces what the flags name.
func (v *invocation) tokenFromFlags(t *structs.ACLToken) {
	if v.IsSet("name") {
		t.Name = v.String("name")
	}
	if v.IsSet("global") {
		t.Global = v.Bool("global")
	}
	if v.IsSet("policy") {
		t.Policies = v.StringSlice("policy")
	}
	if v.IsSet("role-id") || v.IsSet("role-name") {
		t.Roles = nil
	}
	for _, id := range v.StringSlice("role-id") {
		t.Roles = append(t.Roles, &structs.ACLTokenRoleLink{ID: id})
	}
	for _, name := range v.StringSlice("role-name") {
		t.Roles = append(t.Roles, &structs.ACLTokenRoleLink{Name: name})
	}
}
