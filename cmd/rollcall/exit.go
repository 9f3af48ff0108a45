package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// Exit codes are an interface to scripts: they never change their meaning.
const (
	exitOK       = 0
	exitError    = 1
	exitUsage    = 2
	exitNotFound = 3
	exitDenied   = 4
	exitNoLeader = 5
	exitDiffers  = 6 // of commands that compare, whose help says so
)

const exitCodeHelp = `Exit codes: 0 done, 1 error, 2 wrong usage, 3 not found, 4 permission denied, 5 the cluster has no leader.`

// usageError is a command line that can't be understood.
type usageError struct {
	message string
	command string // whose help explains it
}

func (e *usageError) Error() string { return e.message }

func usagef(c *cli.Command, format string, args ...any) error {
	return &usageError{message: fmt.Sprintf(format, args...), command: c.FullName()}
}

// usageErrorOf turns what the flag parser found into a usageError.
func usageErrorOf(_ context.Context, c *cli.Command, err error, _ bool) error {
	message := err.Error()
	if name, ok := strings.CutPrefix(message, "flag provided but not defined: -"); ok {
		message = fmt.Sprintf("there is no flag -%s%s", name, suggestion(cli.SuggestFlag(c.VisibleFlags(), name, false)))
	}
	return usagef(c, "%s", message)
}

func suggestion(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", s)
}

// notFoundError is something that the command looked for and did not find.
type notFoundError struct{ message string }

func (e *notFoundError) Error() string { return e.message }

// errReported ends a command with exitError after it has said everything.
var errReported = errors.New("already reported")

// errDiffers ends a command that compares with exitDiffers after it has shown the differences.
var errDiffers = fmt.Errorf("the two are not the same (%w)", errReported)

// exitCode is the exit code of an error.
func exitCode(err error) int {
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	var usage *usageError
	var missing *notFoundError
	var status *api.StatusError
	answered := errors.As(err, &status)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case is(errDiffers):
		return exitDiffers
	case is(structs.ErrNoLeader, structs.ErrNotReady):
		return exitNoLeader
	case is(structs.ErrPermissionDenied, structs.ErrTokenNotFound, structs.ErrTokenExpired, structs.ErrTokenInvalid),
		answered && (status.Code == http.StatusForbidden || status.Code == http.StatusUnauthorized):
		return exitDenied
	case is(structs.ErrNoNodeConn):
		return exitError // the node is there, only its connection is not
	case errors.As(err, &missing), answered && status.Code == http.StatusNotFound && status.Body != "",
		is(structs.ErrNodeNotFound, structs.ErrUnknownNode, structs.ErrNodePoolNotFound, structs.ErrRootKeyNotFound):
		return exitNotFound
	}
	return exitError
}

// report says what went wrong, with a hint where there is one, and returns the exit code.
func (a *app) report(ctx context.Context, err error) int {
	code := exitCode(err)
	if err == nil || errors.Is(err, errReported) {
		return code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.err, "Interrupted")
		return code
	}
	fmt.Fprintln(a.err, "Error: "+printable(err.Error()))
	if hint := hintFor(err); hint != "" {
		fmt.Fprintln(a.err, "\n"+hint)
	}
	return code
}

func hintFor(err error) string {
	var usage *usageError
	var status *api.StatusError
	var dial *net.OpError
	switch {
	case errors.As(err, &usage):
		return fmt.Sprintf("See '%s -help'.", usage.command)
	case errors.Is(err, structs.ErrNoLeader):
		return "See 'rollcall server members' for the servers that are alive; a majority is needed to elect a leader."
	case errors.As(err, &status) && status.Code == http.StatusForbidden:
		return "Give a token that may do this with -token or ROLLCALL_TOKEN."
	case errors.As(err, &status) && status.Code == http.StatusNotFound && status.Body == "":
		return "The agent does not know this request; is the address that of a Rollcall agent?"
	case errors.As(err, &dial) && dial.Op == "dial":
		return "Is an agent running there? Name another address with -address or ROLLCALL_ADDR."
	}
	return ""
}
