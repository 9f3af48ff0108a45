// Command fleet is many nodes in one process, for the scenarios of package e2e: every node is a client of its own, with its own
// state directory below the folder given as argument and its own connections, so that servers can't tell it from an agent. With the files of an authority, a certificate and its key it uses TLS.
// It takes commands from standard input and answers on standard output, one JSON document a line (see package e2e). It ends
// with its standard input.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/certs"
	"github.com/rollcall-id/rollcall/client"
	"github.com/rollcall-id/rollcall/e2e"
)

func main() {
	if len(os.Args) != 2 && len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: fleet DIR [CA CERT KEY]")
		os.Exit(2)
	}
	f := &fleet{
		dir: os.Args[1], out: json.NewEncoder(os.Stdout),
		log: hclog.New(&hclog.LoggerOptions{Name: "fleet", Level: hclog.Warn, Output: os.Stderr}),
	}
	err := f.protect(os.Args[2:])
	if err == nil {
		err = f.run(os.Stdin)
	}
	if err != nil {
		f.say(e2e.FleetLine{Error: err.Error()})
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type fleet struct {
	dir   string
	log   hclog.Logger
	tls   func(addr string) *tls.Config // nil: in clear
	nodes []*client.Client              // changed by run only
	tasks sync.WaitGroup

	mu  sync.Mutex // guards out
	out *json.Encoder
}

// say writes one line. Whoever reads them is gone if that fails, and then so is the standard input.
func (f *fleet) say(line e2e.FleetLine) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.out.Encode(line)
}

// protect takes the files of a node's certificate, if any were given, and follows their changes as an agent does.
func (f *fleet) protect(files []string) error {
	if len(files) == 0 {
		return nil
	}
	k, err := certs.New(certs.Config{
		Block: "tls", Files: certs.Files{CA: files[0], Cert: files[1], Key: files[2]}, RPC: true, Region: "global", VerifyNames: true, Logger: f.log,
	})
	if err != nil {
		return err
	}
	go k.Watch(context.Background(), time.Second)
	f.tls = func(string) *tls.Config { return k.Outgoing("global") }
	return nil
}

func (f *fleet) run(commands io.Reader) (err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		cancel()
		f.tasks.Wait()
		for _, c := range f.nodes {
			err = errors.Join(err, c.Shutdown())
		}
	}()
	lines := json.NewDecoder(commands)
	for {
		var c e2e.FleetCommand
		if err := lines.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read command: %w", err)
		}
		switch {
		case c.Add != nil:
			for range c.Add.Count {
				if err := f.add(ctx, c.Add); err != nil {
					return err
				}
			}
		case c.Renew:
			for _, n := range f.nodes {
				n.Renew()
			}
		case c.Status:
			s, err := f.status()
			if err != nil {
				return err
			}
			f.say(e2e.FleetLine{Status: s})
		}
	}
}

func (f *fleet) add(ctx context.Context, a *e2e.FleetAdd) error {
	i := len(f.nodes)
	name := fmt.Sprintf("node-%03d", i+1)
	servers := append([]string{a.Servers[i%len(a.Servers)]}, a.Servers...) // begin with another one each
	c, err := client.New(client.Config{
		Region: "global", Datacenter: "dc1", Name: name, NodePool: a.Pool, StateDir: filepath.Join(f.dir, name),
		Servers: servers, HTTPAddr: "127.0.0.1:" + strconv.Itoa(1024+i), Logger: f.log.Named(name),
		DialTLS: f.tls,
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	f.nodes = append(f.nodes, c)
	c.OnIdentity(func(token string) { f.say(e2e.FleetLine{Identity: token}) })
	f.tasks.Go(func() {
		if err := c.Run(ctx); err != nil {
			f.say(e2e.FleetLine{Error: fmt.Sprintf("%s: %v", name, err)})
		}
	})
	return nil
}

func (f *fleet) status() (*e2e.FleetStatus, error) {
	s := &e2e.FleetStatus{Nodes: len(f.nodes)}
	for _, n := range f.nodes {
		stats := n.Stats()["client"]
		heartbeats, err := strconv.ParseUint(stats["heartbeats"], 10, 64)
		failures, ferr := strconv.ParseUint(stats["heartbeat_failures"], 10, 64)
		if err = errors.Join(err, ferr); err != nil {
			return nil, fmt.Errorf("read counters: %w", err)
		}
		s.Heartbeats += heartbeats
		s.Failures += failures
		if stats["registrations"] != "0" {
			s.Registered = append(s.Registered, n.NodeID())
		}
		if ok, message := n.Health(); ok {
			s.Healthy++
		} else {
			s.Unhealthy = message
		}
	}
	return s, nil
}
