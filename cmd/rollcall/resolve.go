package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// minPrefix is the shortest part of an ID that is looked up.
const minPrefix = 2

// ambiguousError is a prefix that several IDs begin with. show prints them.
type ambiguousError struct {
	what, prefix string
	show         func(w io.Writer)
}

func (e *ambiguousError) Error() string {
	return fmt.Sprintf("several %ss have an ID that begins with %q; give more of it", e.what, e.prefix)
}

// checkPrefix refuses what can't be part of an ID.
func (v *invocation) checkPrefix(what, prefix string) error {
	if len(prefix) < minPrefix {
		return usagef(v.Command, "%s ID %q is too short: give at least %d characters", what, prefix, minPrefix)
	}
	if strings.Trim(strings.ToLower(prefix), "0123456789abcdef-") != "" || len(prefix) > 36 {
		return usagef(v.Command, "%q is no %s ID, nor the beginning of one", prefix, what)
	}
	return nil
}

// nodeID turns an ID or the beginning of one into the ID of the one node it names.
func (v *invocation) nodeID(ctx context.Context, prefix string) (string, error) {
	if err := v.checkPrefix("node", prefix); err != nil {
		return "", err
	}
	if structs.IsUUID(prefix) {
		return prefix, nil
	}
	prefix = strings.ToLower(prefix)
	// Servers look IDs up by whole bytes, so a last half one is left to us.
	res, err := v.client.Nodes(ctx, &api.QueryOptions{Prefix: prefix[:len(prefix)&^1]})
	if err != nil {
		return "", fmt.Errorf("find node %s: %w", prefix, err)
	}
	var found []*structs.NodeListStub
	for _, n := range res.Value {
		if strings.HasPrefix(n.ID, prefix) {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return "", &notFoundError{fmt.Sprintf("no node has an ID that begins with %q", prefix)}
	case 1:
		return found[0].ID, nil
	}
	return "", &ambiguousError{"node", prefix, func(w io.Writer) { v.table(w, v.nodeRows(found)) }}
}

// oneNode is nodeID for commands that change something: several matches are shown beside the error.
func (v *invocation) oneNode(ctx context.Context, prefix string) (string, error) {
	id, err := v.nodeID(ctx, prefix)
	return id, v.showMatches(err)
}

// oneNodeOrSelf reads the node from the argument, or with -self from the agent.
func (v *invocation) oneNodeOrSelf(ctx context.Context) (string, error) {
	if v.Bool("self") == (v.NArg() == 1) {
		return "", usagef(v.Command, "give either a node ID or -self")
	}
	if v.Bool("self") {
		return v.self(ctx)
	}
	return v.oneNode(ctx, v.Args().First())
}

func (v *invocation) self(ctx context.Context) (string, error) {
	self, err := v.client.Self(ctx)
	if err != nil {
		return "", fmt.Errorf("ask the agent for its node: %w", err)
	}
	return self.NodeID()
}

// keyID turns an ID or the beginning of one into the ID of the one root key it names.
func (v *invocation) keyID(ctx context.Context, prefix string) (string, error) {
	if err := v.checkPrefix("key", prefix); err != nil {
		return "", err
	}
	if structs.IsUUID(prefix) {
		return prefix, nil
	}
	prefix = strings.ToLower(prefix)
	res, err := v.client.Keys(ctx, nil)
	if err != nil {
		return "", fmt.Errorf("find key %s: %w", prefix, err)
	}
	var found []*structs.RootKeyMeta
	for _, k := range res.Value {
		if strings.HasPrefix(k.KeyID, prefix) {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 0:
		return "", &notFoundError{fmt.Sprintf("no key has an ID that begins with %q", prefix)}
	case 1:
		return found[0].KeyID, nil
	}
	return "", v.showMatches(&ambiguousError{"key", prefix, func(w io.Writer) { v.table(w, v.keyRows(found)) }})
}

// showMatches prints what an ambiguous prefix matched to standard error and returns err.
func (v *invocation) showMatches(err error) error {
	var several *ambiguousError
	if errors.As(err, &several) {
		several.show(v.err)
		fmt.Fprintln(v.err)
	}
	return err
}
