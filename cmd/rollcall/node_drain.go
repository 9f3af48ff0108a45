package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// defaultDrainDeadline is after which a drain stops waiting unless told otherwise.
const defaultDrainDeadline = time.Hour

func (a *app) nodeDrainCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "drain", usage: "begin or end the drain of a node", args: "NODE_ID", most: 1,
		help: "A drained node is ineligible until the drain is ended with -disable. The command waits until the change is\n" +
			"visible (not with -detach); with -monitor it goes on until the drain is over.",
		example: "node drain -enable -deadline 30m -m 'new disk' 4d01\n  rollcall node drain -disable 4d01",
		flags: outputFlags(
			boolFlag("enable", "begin a drain"), boolFlag("disable", "end it and make the node eligible"),
			&cli.DurationFlag{Name: "deadline", Usage: "stop waiting after `DURATION` (default 1h)", HideDefault: true},
			boolFlag("no-deadline", "wait for ever"), boolFlag("force", "do not wait at all"),
			boolFlag("detach", "return at once"), boolFlag("monitor", "watch until the drain is over; alone, only watch"),
			boolFlag("ignore-system", "leave system jobs alone"), boolFlag("keep-ineligible", "with -disable: leave the node ineligible"),
			boolFlag("self", "the node of the agent that is asked"),
			stringFlag("m", "`MESSAGE` that is kept with the drain"),
			&cli.StringSliceFlag{Name: "meta", Usage: "`KEY=VALUE` that is kept with the drain; repeatable", HideDefault: true},
			boolFlag("yes", "do not ask"), verboseFlag(),
		),
	}, func(ctx context.Context, v *invocation) error {
		opts, err := v.drainOptions()
		if err != nil {
			return err
		}
		id, err := v.oneNodeOrSelf(ctx)
		if err != nil {
			return err
		}
		if opts == nil {
			return v.watchDrain(ctx, id)
		}
		if v.Bool("enable") && !v.confirm(fmt.Sprintf("Drain node %s?", id)) {
			return errReported
		}
		res, err := v.client.DrainNode(ctx, id, *opts, nil)
		if err != nil {
			return fmt.Errorf("drain node %s: %w", id, err)
		}
		if v.Bool("detach") {
			word := "unset"
			if v.Bool("enable") {
				word = "set"
			}
			return v.done(res, "Node %q drain strategy %s", id, word)
		}
		if v.Bool("monitor") && v.Bool("enable") {
			return v.watchDrain(ctx, id)
		}
		n, err := v.client.Node(ctx, id, nil) // the leader answers, which has applied the change
		if err != nil {
			return fmt.Errorf("read node %s after the change: %w", id, err)
		}
		return v.done(n.Value, "Node %q %s", id, drainState(n.Value))
	})
}

// drainOptions reads the flags; nil means that the command only watches.
func (v *invocation) drainOptions() (*api.DrainOptions, error) {
	enable, disable := v.Bool("enable"), v.Bool("disable")
	switch {
	case enable && disable:
		return nil, usagef(v.Command, "give one of -enable and -disable")
	case v.Bool("monitor") && v.Bool("detach"):
		return nil, usagef(v.Command, "-monitor and -detach can't be combined")
	case !enable && !disable && v.Bool("monitor"):
		return nil, nil
	case !enable && !disable:
		return nil, usagef(v.Command, "give one of -enable, -disable and -monitor")
	}
	given := 0
	for _, name := range []string{"deadline", "no-deadline", "force"} {
		if v.IsSet(name) {
			given++
		}
	}
	switch {
	case given > 1:
		return nil, usagef(v.Command, "give at most one of -deadline, -no-deadline and -force")
	case disable && (given > 0 || v.Bool("ignore-system")):
		return nil, usagef(v.Command, "-deadline, -no-deadline, -force and -ignore-system go with -enable")
	case enable && v.Bool("keep-ineligible"):
		return nil, usagef(v.Command, "-keep-ineligible goes with -disable")
	case v.IsSet("deadline") && v.Duration("deadline") <= 0:
		return nil, usagef(v.Command, "-deadline must be positive; see -no-deadline and -force")
	}
	meta, err := v.drainMeta()
	if err != nil {
		return nil, err
	}
	if disable {
		return &api.DrainOptions{MarkEligible: !v.Bool("keep-ineligible"), Meta: meta}, nil
	}
	d := &structs.DrainSpec{Deadline: defaultDrainDeadline, IgnoreSystemJobs: v.Bool("ignore-system")}
	switch {
	case v.IsSet("deadline"):
		d.Deadline = v.Duration("deadline")
	case v.Bool("no-deadline"):
		d.Deadline = 0
	case v.Bool("force"):
		d.Deadline = -1
	}
	return &api.DrainOptions{Spec: d, Meta: meta}, nil
}

func (v *invocation) drainMeta() (map[string]string, error) {
	meta := map[string]string{}
	for _, kv := range v.StringSlice("meta") {
		key, value, ok := strings.Cut(kv, "=")
		if !ok || key == "" {
			return nil, usagef(v.Command, "-meta %q is not of the form KEY=VALUE", kv)
		}
		meta[key] = value
	}
	if m := v.String("m"); m != "" {
		meta["message"] = m
	}
	if len(meta) == 0 {
		return nil, nil
	}
	return meta, nil
}

// confirm asks the user unless -yes is given or nobody is there to answer.
func (v *invocation) confirm(question string) bool {
	if v.Bool("yes") || !v.interactive {
		return true
	}
	fmt.Fprintf(v.err, "%s [y/N] ", question)
	line, _ := bufio.NewReader(v.in).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true
	}
	fmt.Fprintln(v.err, "Nothing was changed")
	return false
}

// watchDrain blocks on the node until its drain is over, telling each change.
func (v *invocation) watchDrain(ctx context.Context, id string) error {
	var index uint64
	last := ""
	for {
		res, err := v.client.Node(ctx, id, &api.QueryOptions{WaitIndex: index})
		if err != nil {
			return fmt.Errorf("watch node %s: %w", id, err)
		}
		n := res.Value
		if state := drainState(n); state != last {
			last = state
			if drainOver(n) {
				return v.done(n, "Node %q %s", id, state)
			}
			fmt.Fprintln(v.err, printable(fmt.Sprintf("%s: Node %q %s", stamp(time.Now()), id, state)))
		}
		index = max(res.Meta.Index, 1) // 0 would not block
	}
}

func drainOver(n *structs.Node) bool {
	return n.DrainStrategy == nil || n.LastDrain != nil && n.LastDrain.Status == structs.DrainStatusComplete
}

func drainState(n *structs.Node) string {
	switch {
	case n.LastDrain != nil && n.LastDrain.Status == structs.DrainStatusComplete:
		return "drain complete; it is " + n.SchedulingEligibility
	case n.DrainStrategy == nil:
		return "is not draining; it is " + n.SchedulingEligibility
	case n.DrainStrategy.Deadline < 0:
		return "is draining by force; it is " + n.SchedulingEligibility
	case n.DrainStrategy.ForceDeadline.IsZero():
		return "is draining without a deadline; it is " + n.SchedulingEligibility
	}
	return fmt.Sprintf("is draining until %s; it is %s", stamp(n.DrainStrategy.ForceDeadline), n.SchedulingEligibility)
}
