package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	// rewrapPause is between two steps.
	rewrapPause = time.Second
	// rewrapFailures in a row, without a leader or with nothing but failed keys left, end the command.
	rewrapFailures = 30
)

func (a *app) keyringRewrapCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "rewrap", usage: "move root keys to the active keyring provider",
		help: "Every root key gets a copy that the leader's active keyring provider has wrapped, and loses its other copies once\n" +
			"every server has read the new one. Configure the new provider on all servers first, and restart them; remove the\n" +
			"old one when this command is done. Identities are signed and verified meanwhile.\n\n" +
			"It can be interrupted at any time and run again, which goes on where it was.",
		example: "operator root keyring rewrap -to aead.kek2",
		flags: outputFlags(
			stringFlag("to", "refuse unless the active provider is `PROVIDER`"),
			&cli.DurationFlag{Name: "timeout", Usage: "give up after `DURATION`", Value: 10 * time.Minute},
			verboseFlag(),
		),
	}, func(ctx context.Context, v *invocation) error {
		ctx, cancel := context.WithTimeout(ctx, v.Duration("timeout"))
		defer cancel()
		out, err := v.rewrap(ctx, v.String("to"))
		if out != nil {
			if shown := v.result(out, func(w io.Writer) { v.showRewrap(w, out) }); shown != nil {
				return shown
			}
		}
		return err
	})
}

// rewrap takes steps until all is done, telling on standard error how far it is. It returns the last step's outcome.
func (v *invocation) rewrap(ctx context.Context, to string) (*structs.KeyringRewrapResponse, error) {
	var last *structs.KeyringRewrapResponse
	said, failures := "", 0
	for {
		out, err := v.client.RewrapKeys(ctx, to, nil)
		switch {
		case err == nil:
			last, to = out, out.ProviderID // not to another one, should the next leader be configured differently
			if now := progressOf(out); now != said {
				fmt.Fprintln(v.err, printable(now))
				said = now
			}
			if out.Done {
				return out, nil
			}
			if failures++; moving(out) {
				failures = 0
			}
		case ctx.Err() == nil && passing(err):
			failures++
			fmt.Fprintln(v.err, printable("Trying again: "+err.Error()))
		default:
			return last, rewrapError(ctx, last, err)
		}
		if failures >= rewrapFailures {
			return last, rewrapError(ctx, last, errors.Join(err, errors.New("no progress")))
		}
		select {
		case <-time.After(rewrapPause):
		case <-ctx.Done():
			return last, rewrapError(ctx, last, context.Cause(ctx))
		}
	}
}

func rewrapError(ctx context.Context, last *structs.KeyringRewrapResponse, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return errors.New("interrupted before all root keys were moved, run the command again to go on") // says more than a bare "Interrupted"
	}
	if last != nil || ctx.Err() != nil {
		return fmt.Errorf("not all root keys are moved, run the command again to go on: %w", err)
	}
	return fmt.Errorf("move root keys: %w", err)
}

// passing reports whether the next try may succeed: there is no leader just now, or the one asked is going.
func passing(err error) bool {
	var status *api.StatusError
	return errors.Is(err, structs.ErrNoLeader) || errors.Is(err, structs.ErrNotReady) || !errors.As(err, &status) || status.Code >= 500
}

// moving reports whether some key waits for nothing but time.
func moving(out *structs.KeyringRewrapResponse) bool {
	for _, k := range out.Keys {
		if k.Phase == structs.RewrapPending || k.Phase == structs.RewrapWaiting {
			return true
		}
	}
	return false
}

func progressOf(out *structs.KeyringRewrapResponse) string {
	count := map[string]int{}
	var why []string
	for _, k := range out.Keys {
		count[k.Phase]++
		if len(why) == 0 {
			why = k.Waiting
		}
		if k.Error != "" {
			why = append(why, k.Error)
		}
	}
	text := fmt.Sprintf("%d of %d root keys are wrapped by %s alone", count[structs.RewrapDone], len(out.Keys), out.ProviderID)
	for _, phase := range []string{structs.RewrapWaiting, structs.RewrapPending, structs.RewrapFailed} {
		if n := count[phase]; n > 0 {
			text += fmt.Sprintf(", %d %s", n, phase)
		}
	}
	if len(why) > 0 {
		text += " (" + strings.Join(why, "; ") + ")"
	}
	return text
}

func (v *invocation) showRewrap(w io.Writer, out *structs.KeyringRewrapResponse) {
	rows := [][]string{{"Key", "State", "Phase", "Wrapped By", "Waiting For"}}
	for _, k := range out.Keys {
		why := strings.Join(k.Waiting, "; ")
		if k.Error != "" {
			why = k.Error
		}
		rows = append(rows, []string{v.short(k.KeyID), string(k.State), k.Phase, orNone(strings.Join(k.Copies, ", ")), orNone(why)})
	}
	v.table(w, rows)
}
