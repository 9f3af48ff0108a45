package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// accessorID turns an accessor ID or the beginning of one into that of the one token it names. Errors don't repeat what was
// given: it may be a secret.
func (v *invocation) accessorID(ctx context.Context, prefix string) (string, error) {
	if structs.IsUUID(prefix) {
		return prefix, nil
	}
	if v.checkPrefix("token", prefix) != nil {
		return "", usagef(v.Command, "what was given is no accessor ID, nor the beginning of one: it has 2 to 36 characters")
	}
	prefix = strings.ToLower(prefix)
	res, err := v.client.ACLTokens(ctx, &api.QueryOptions{Prefix: prefix[:len(prefix)&^1]})
	if err != nil {
		return "", fmt.Errorf("find ACL token: %w", err)
	}
	var found []*structs.ACLTokenListStub
	for _, t := range res.Value {
		if strings.HasPrefix(t.AccessorID, prefix) {
			found = append(found, t)
		}
	}
	switch len(found) {
	case 0:
		return "", &notFoundError{"no token has an accessor ID that begins like that"}
	case 1:
		return found[0].AccessorID, nil
	}
	return "", v.showMatches(&ambiguousError{"token", prefix, func(w io.Writer) { v.table(w, aclTokenRows(found)) }})
}

func aclTokenRows(tokens []*structs.ACLTokenListStub) [][]string {
	rows := [][]string{{"Name", "Type", "Global", "Accessor ID", "Expired"}}
	for _, t := range tokens {
		expired := t.ExpirationTime != nil && !time.Now().Before(*t.ExpirationTime)
		rows = append(rows, []string{orNone(t.Name), t.Type, fmt.Sprint(t.Global), t.AccessorID, fmt.Sprint(expired)})
	}
	return rows
}

// roleID turns an ID or the beginning of one into the ID of the one role it names.
func (v *invocation) roleID(ctx context.Context, prefix string) (string, error) {
	if err := v.checkPrefix("role", prefix); err != nil {
		return "", err
	}
	if structs.IsUUID(prefix) {
		return prefix, nil
	}
	prefix = strings.ToLower(prefix)
	res, err := v.client.ACLRoles(ctx, nil)
	if err != nil {
		return "", fmt.Errorf("find ACL role %s: %w", prefix, err)
	}
	var found []*structs.ACLRole
	for _, r := range res.Value {
		if strings.HasPrefix(r.ID, prefix) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 0:
		return "", &notFoundError{fmt.Sprintf("no role has an ID that begins with %q", prefix)}
	case 1:
		return found[0].ID, nil
	}
	return "", v.showMatches(&ambiguousError{"role", prefix, func(w io.Writer) { v.table(w, aclRoleRows(found)) }})
}

func aclRoleRows(roles []*structs.ACLRole) [][]string {
	rows := [][]string{{"ID", "Name", "Description", "Policies"}}
	for _, r := range roles {
		rows = append(rows, []string{r.ID, r.Name, orNone(r.Description), rolePolicies(r)})
	}
	return rows
}
