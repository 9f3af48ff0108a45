// Command fleet is many nodes in one process, for the scenarios of package e2e: every node is a client of its own, with its own
// state directory below the folder given as argument and its own connections, so that servers can't tell it from an agent. With
// the files of an authority, a certificate and its key it uses TLS.
//
// It takes commands from standard input and answers on standard output, one JSON document a line (see package e2e). It ends
// with its standard input.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/certs"
	"github.com/rollcall-id/rollcall/client"
	"github.com/rollcall-id/rollcall/e2e"
)

// starters is how many nodes are started at a time.
const starters = 16

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
	dir     string
	log     hclog.Logger
	tls     func(addr string) *tls.Config // nil: in clear
	nodes   []*node                       // that run; changed by run only, as is the next
	started int                           // how many have been started so far
	tasks   sync.WaitGroup

	mu  sync.Mutex // guards out
	out *json.Encoder
}

// node is one of the fleet while it runs.
type node struct {
	*client.Client
	folder string
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
			if err := f.add(ctx, c.Add); err != nil {
				return err
			}
		case c.Stop != nil:
			if err := f.stop(c.Stop); err != nil {
				return err
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

// add starts the nodes that are alike and the others, some at a time: what takes longest is making their state durable.
func (f *fleet) add(ctx context.Context, a *e2e.FleetAdd) error {
	var confs []e2e.FleetNode
	for i := range a.Count {
		confs = append(confs, e2e.FleetNode{Name: fmt.Sprintf("node-%03d", f.started+i+1), Pool: a.Pool})
	}
	confs = append(confs, a.Nodes...)
	nodes, errs := make([]*node, len(confs)), make([]error, len(confs))
	var work sync.WaitGroup
	for starter := range starters {
		work.Go(func() {
			for i := starter; i < len(confs); i += starters {
				nodes[i], errs[i] = f.start(ctx, f.started+i, confs[i], a.Servers)
			}
		})
	}
	work.Wait()
	f.started += len(confs)
	f.nodes = append(f.nodes, slices.DeleteFunc(nodes, func(n *node) bool { return n == nil })...)
	return errors.Join(errs...)
}

// stop ends nodes and leaves their folders as they are.
func (f *fleet) stop(folders []string) error {
	for _, folder := range folders {
		i := slices.IndexFunc(f.nodes, func(n *node) bool { return n.folder == folder })
		if i < 0 {
			return fmt.Errorf("stop %s: no node has that folder", folder)
		}
		if err := f.nodes[i].Shutdown(); err != nil {
			return fmt.Errorf("stop %s: %w", folder, err)
		}
		f.nodes = slices.Delete(f.nodes, i, i+1)
	}
	return nil
}

// start starts one node, the i-th of all.
func (f *fleet) start(ctx context.Context, i int, n e2e.FleetNode, addrs []string) (*node, error) {
	folder := cmp.Or(n.Folder, n.Name)
	servers := append([]string{addrs[i%len(addrs)]}, addrs...) // begin with another one each
	c, err := client.New(client.Config{
		Region: "global", Datacenter: cmp.Or(n.Datacenter, "dc1"), Name: n.Name, NodePool: n.Pool, NodeClass: n.Class,
		StateDir: filepath.Join(f.dir, folder), IntroToken: n.IntroToken,
		Servers: servers, HTTPAddr: "127.0.0.1:" + strconv.Itoa(1024+i), Logger: f.log.Named(folder),
		DialTLS: f.tls,
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", folder, err)
	}
	c.OnIdentity(func(token string) { f.say(e2e.FleetLine{Identity: token}) })
	f.tasks.Go(func() {
		if err := c.Run(ctx); err != nil {
			f.say(e2e.FleetLine{Error: fmt.Sprintf("%s: %v", folder, err)})
		}
	})
	return &node{c, folder}, nil
}

func (f *fleet) status() (*e2e.FleetStatus, error) {
	s := &e2e.FleetStatus{Nodes: len(f.nodes), Unhealthy: map[string]string{}}
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
			s.Unhealthy[n.folder] = message
		}
	}
	return s, nil
}
