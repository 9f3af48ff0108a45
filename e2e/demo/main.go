// Command demo shows a cluster at work on this machine (make demo): it builds the program, starts three servers and three nodes
// as real processes with free ports and a temporary folder, waits until every node holds an identity, shows the nodes and the
// claims of one identity, and verifies that identity as somebody would who knows only the issuer's address. Then it stays up
// until Ctrl-C, which at any moment stops every process and removes the folder.
//
// With ONCE=1 it exits when done: 0, or 1 if anything failed.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// exitInterrupted is what shells make of Ctrl-C.
const exitInterrupted = 130

// errInterrupted ends the demo when it is told to.
var errInterrupted = errors.New("interrupted")

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 4) // further ones don't disturb the clean-up
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		cancel(errInterrupted)
	}()
	d := &demo{screen: newScreen(os.Stdout)}
	err := d.run(ctx, os.Getenv("ONCE") != "")
	switch {
	case errors.Is(err, errInterrupted):
		os.Exit(exitInterrupted)
	case err != nil:
		fmt.Fprintln(os.Stderr, "Error: "+err.Error())
		os.Exit(1)
	}
}
