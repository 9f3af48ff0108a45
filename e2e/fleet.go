package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
)

// FleetCommand is one line to the program e2e/fleet: exactly one field is set.
type FleetCommand struct {
	Add    *FleetAdd `json:",omitempty"` // start more nodes; nothing is answered
	Stop   []string  `json:",omitempty"` // end the nodes of these folders; nothing is answered
	Renew  bool      `json:",omitempty"` // make every node ask for a new identity; nothing is answered
	Status bool      `json:",omitempty"` // answer with a status
}

// FleetAdd says which nodes to start: some that are all alike, and some that are each described.
type FleetAdd struct {
	Count   int
	Pool    string      // of those that are alike
	Nodes   []FleetNode // besides
	Servers []string    // RPC addresses
}

// FleetNode is one node and what its agent's configuration would say.
type FleetNode struct {
	Name       string
	Folder     string // its state directory, below that of the fleet and no other node's that runs; empty: its name
	Pool       string // may be empty
	Class      string // may be empty
	Datacenter string // empty: dc1
	IntroToken string // a secret; may be empty
}

// FleetLine is one line from the program: exactly one field is set.
type FleetLine struct {
	Identity string       `json:",omitempty"` // a node has a new one
	Status   *FleetStatus `json:",omitempty"`
	Error    string       `json:",omitempty"` // the program can't go on
}

// FleetStatus is how the nodes see themselves.
type FleetStatus struct {
	Nodes      int
	Registered []string          // IDs of nodes that a server has told that they are registered
	Healthy    int               // registered, heard of in time, and with an identity that servers take
	Unhealthy  map[string]string // what the others say, by their folders
	Heartbeats uint64            // that servers have accepted
	Failures   uint64            // heartbeats that none has
}

// Fleet is many nodes in one process, each with its own state directory and its own connection, and all with the code of the
// real agent.
type Fleet struct {
	*Process
	status chan *FleetStatus

	sending sync.Mutex // orders commands and their answers
	stdin   *os.File

	mu     sync.Mutex // guards the fields below
	tokens []Token
	failed error
}

// StartFleet starts the program with no nodes yet. It ends with the cluster.
func (c *Cluster) StartFleet(binary, dir string) (*Fleet, error) {
	childIn, stdin, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	stdout, childOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make pipe: %w", err), childIn.Close(), stdin.Close())
	}
	args := []string{dir}
	if c.Certificates != nil {
		cert, key := c.Certificates.Pair("client")
		args = append(args, c.Certificates.CA(), cert, key)
	}
	p, err := c.Group.Start(Command{Name: "fleet", Path: binary, Args: args, Stdin: childIn, Stdout: childOut})
	closed := errors.Join(childIn.Close(), childOut.Close()) // the process has its own
	if err = errors.Join(err, closed); err != nil {
		return nil, errors.Join(err, stdin.Close(), stdout.Close())
	}
	f := &Fleet{Process: p, status: make(chan *FleetStatus, 1), stdin: stdin}
	go f.read(stdout)
	return f, nil
}

// read takes in what the program says until it ends.
func (f *Fleet) read(stdout *os.File) {
	defer f.stdin.Close()
	defer stdout.Close()
	lines := json.NewDecoder(bufio.NewReader(stdout))
	for {
		var line FleetLine
		if err := lines.Decode(&line); err != nil {
			f.fail(fmt.Errorf("fleet has ended: %w", err))
			return
		}
		switch {
		case line.Status != nil:
			f.status <- line.Status
		case line.Identity != "":
			f.take(line.Identity)
		default:
			f.fail(fmt.Errorf("fleet: %s", line.Error))
		}
	}
}

func (f *Fleet) take(identity string) {
	t, err := ParseToken(identity)
	if err != nil {
		f.fail(err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens = append(f.tokens, t)
}

func (f *Fleet) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.failed = err
	}
}

// Tokens returns the identities that the fleet has been given, in order, without the first ones.
func (f *Fleet) Tokens(without int) []Token {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Token(nil), f.tokens[without:]...)
}

// Held returns the newest identity of every node, by node ID.
func (f *Fleet) Held() map[string]Token {
	held := make(map[string]Token)
	for _, t := range f.Tokens(0) {
		held[t.NodeID] = t
	}
	return held
}

// Add starts more nodes.
func (f *Fleet) Add(add FleetAdd) error { return f.send(FleetCommand{Add: &add}) }

// Stop ends the nodes of these folders, which stay as they are, so that Add can start them again. It returns when they have ended.
func (f *Fleet) Stop(ctx context.Context, folders ...string) error {
	if err := f.send(FleetCommand{Stop: folders}); err != nil {
		return err
	}
	_, err := f.Status(ctx) // is answered after that
	return err
}

// Renew makes every node ask for a new identity with its next heartbeat.
func (f *Fleet) Renew() error { return f.send(FleetCommand{Renew: true}) }

func (f *Fleet) send(c FleetCommand) error {
	f.sending.Lock()
	defer f.sending.Unlock()
	return f.write(c)
}

func (f *Fleet) write(c FleetCommand) error {
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err := f.stdin.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("tell fleet: %w", err)
	}
	return nil
}

// Status asks the nodes how they see themselves.
func (f *Fleet) Status(ctx context.Context) (*FleetStatus, error) {
	f.sending.Lock()
	defer f.sending.Unlock()
	f.mu.Lock()
	failed := f.failed
	f.mu.Unlock()
	if failed != nil {
		return nil, Final(fmt.Errorf("%w\n%s", failed, f.Tail(20)))
	}
	if err := f.write(FleetCommand{Status: true}); err != nil {
		return nil, err
	}
	select {
	case s := <-f.status:
		return s, nil
	case <-f.Done():
		return nil, Final(fmt.Errorf("fleet has ended\n%s", f.Tail(20)))
	case <-ctx.Done():
		// The answer would be taken for that of the next question.
		return nil, Final(fmt.Errorf("fleet does not answer: %w", ctx.Err()))
	}
}
