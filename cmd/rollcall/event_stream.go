package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) eventStreamCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "stream", usage: "follow what changes",
		help: "Changes are shown as they are made, one a line: index, topic, type, key, and what there is to say of it. Topics are\n" +
			"Node, NodePool, Identity, Keyring, ACLToken, ACLPolicy and ACLRole; each can be narrowed to one key, as an ID or a name. Without -topic everything\n" +
			"is shown, without -index what the server still has, and what comes. With -json each line is one JSON object with the\n" +
			"events of an index. It ends when it is interrupted.",
		example: "event stream -topic Keyring -topic Node:4d011111-04b4-cc83-7aae-e179f24a5b2a",
		flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "topic", Usage: "show this `TOPIC[:KEY]`; may be given more than once", HideDefault: true},
			&cli.Uint64Flag{Name: "index", Usage: "begin at this `INDEX`, or fail if that is no longer possible", HideDefault: true},
			boolFlag("json", "print JSON, one line for each index"),
		},
	}, func(ctx context.Context, v *invocation) error {
		for _, s := range v.StringSlice("topic") {
			if _, _, err := structs.ParseEventTopic(s); err != nil {
				return usagef(v.Command, "%s", err)
			}
		}
		stream, err := v.client.StreamEvents(ctx, &api.EventOptions{Topics: v.StringSlice("topic"), Index: v.Uint64("index")})
		if err != nil {
			return v.streamEnd(ctx, err, 0)
		}
		defer func() { _ = stream.Close() }() // only read from
		for last := uint64(0); ; {
			events, err := stream.Next()
			if err != nil {
				return v.streamEnd(ctx, err, last)
			}
			last = events.Index
			if err := v.printEvents(events); err != nil {
				return err
			}
		}
	})
}

// streamEnd is what the end of a stream means: nothing if the user has asked for it.
func (v *invocation) streamEnd(ctx context.Context, err error, last uint64) error {
	switch {
	case ctx.Err() != nil:
		return nil
	case last > 0:
		return fmt.Errorf("follow events: %w (go on with -index %d)", err, last+1)
	}
	return fmt.Errorf("follow events: %w", err)
}

func (v *invocation) printEvents(events *api.Events) error {
	if v.Bool("json") {
		b, err := json.Marshal(events)
		if err != nil {
			return fmt.Errorf("print JSON: %w", err)
		}
		_, err = fmt.Fprintf(v.out, "%s\n", b)
		return err
	}
	for i := range events.Events {
		e := &events.Events[i]
		detail, err := eventDetail(e)
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%-8d %-9s %-20s %s  %s", e.Index, e.Topic, e.Type, e.Key, detail)
		if _, err := fmt.Fprintln(v.out, printable(line)); err != nil {
			return err
		}
	}
	return nil
}

// eventDetail is what is worth knowing of an event besides what has changed.
func eventDetail(e *api.Event) (string, error) {
	switch e.Topic {
	case structs.TopicNode:
		var n structs.Node
		err := e.Decode(&n)
		return fmt.Sprintf("%s, pool %s, %s, %s", n.Name, n.NodePool, n.Status, n.SchedulingEligibility), err
	case structs.TopicNodePool:
		var p structs.NodePool
		err := e.Decode(&p)
		return fmt.Sprintf("identities for %s", p.NodeIdentityTTL), err
	case structs.TopicIdentity:
		var i structs.IdentityChange
		err := e.Decode(&i)
		return fmt.Sprintf("%s, pool %s, by key %s, at %s for %s", i.NodeName, i.NodePool, i.KeyID, stamp(i.IssuedAt), lifetime(i.TTL)), err
	case structs.TopicACLToken:
		var token structs.ACLToken
		err := e.Decode(&token)
		return fmt.Sprintf("%s, %s", token.Name, token.Type), err
	case structs.TopicACLRole:
		var role structs.ACLRole
		err := e.Decode(&role)
		return role.Name, err
	case structs.TopicKeyring:
		var k structs.RootKeyMeta
		err := e.Decode(&k)
		return string(k.State), err
	}
	return "", nil
}

func lifetime(ttl time.Duration) string {
	if ttl == 0 {
		return "an unknown time"
	}
	return ttl.String()
}
