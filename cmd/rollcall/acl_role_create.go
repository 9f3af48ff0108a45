package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) aclRoleCreateCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "create", usage: "make a role",
		help:    "A role is a name for several policies.",
		example: "acl role create -name viewer -policy read",
		flags:   outputFlags(roleFlags()...),
	}, func(ctx context.Context, v *invocation) error {
		role := new(structs.ACLRole)
		v.roleFromFlags(role)
		made, err := v.client.ApplyACLRole(ctx, role, nil)
		if err != nil {
			return fmt.Errorf("make ACL role: %w", err)
		}
		return v.showACLRole(made)
	})
}

func roleFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("name", "`NAME` of the role"), stringFlag("description", "`TEXT` for people"),
		&cli.StringSliceFlag{Name: "policy", Usage: "`POLICY` of the role; repeatable", HideDefault: true},
	}
}

// roleFromFlags replaces name and description, and adds policies.
func (v *invocation) roleFromFlags(r *structs.ACLRole) {
	if v.IsSet("name") {
		r.Name = v.String("name")
	}
	if v.IsSet("description") {
		r.Description = v.String("description")
	}
	for _, name := range v.StringSlice("policy") {
		r.Policies = append(r.Policies, &structs.ACLRolePolicyLink{Name: name})
	}
}

func rolePolicies(r *structs.ACLRole) string {
	names := make([]string, 0, len(r.Policies))
	for _, p := range r.Policies {
		names = append(names, p.Name)
	}
	return strings.Join(names, ",")
}

func (v *invocation) showACLRole(r *structs.ACLRole) error {
	return v.result(r, func(w io.Writer) {
		v.pairs(w, [][2]string{
			{"ID", r.ID}, {"Name", r.Name}, {"Description", orNone(r.Description)}, {"Policies", rolePolicies(r)},
			{"Create Index", fmt.Sprint(r.CreateIndex)}, {"Modify Index", fmt.Sprint(r.ModifyIndex)},
		})
	})
}
