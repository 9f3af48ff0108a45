package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rollcall-id/rollcall/e2e"
)

// readyLimit is how long a node may take to be ready; a loaded machine is slow.
const readyLimit = time.Minute

// nodes are those of the demo. The pool of the last one is made by its registration.
var nodes = []e2e.AgentConfig{
	{Name: "web-1", Class: "web"},
	{Name: "db-1", Class: "storage"},
	{Name: "edge-1", Class: "gateway", Pool: "edge"},
}

// demo is one run.
type demo struct {
	screen *screen
	failed context.CancelCauseFunc // ends the run when a process ends before everything is ready

	dir     string
	binary  string
	cluster *e2e.Cluster
	leader  *e2e.Server
	asked   *e2e.Server // whose API the commands use: not the leader, so that one may kill that
	agents  []*e2e.Agent
	shown   string // ID of the node whose identity is shown
}

func (d *demo) run(ctx context.Context, once bool) (err error) {
	if d.dir, err = os.MkdirTemp("", "rollcall-demo-"); err != nil {
		return fmt.Errorf("make temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, d.cleanUp()) }()
	d.screen.title("Rollcall: three servers and three nodes on this machine")
	d.screen.line("")
	if err := d.show(ctx); err != nil {
		return err
	}
	d.screen.line("")
	d.screen.title("Everything worked, after " + d.screen.elapsed() + ".")
	if once {
		return nil
	}
	d.suggest()
	d.stay(ctx)
	return nil
}

// show does everything that can fail.
func (d *demo) show(ctx context.Context) error {
	ctx, d.failed = context.WithCancelCause(ctx)
	defer d.failed(nil)
	for _, part := range []func(context.Context) error{d.build, d.startServers, d.startNodes, d.showNodes, d.showIdentity, d.verify} {
		if err := part(ctx); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause // err says only that something was cut short
			}
			return err
		}
	}
	return nil
}

func (d *demo) cleanUp() error {
	d.screen.endStep()
	if d.cluster != nil {
		d.cluster.Close()
	}
	if err := os.RemoveAll(d.dir); err != nil {
		return fmt.Errorf("remove temporary folder: %w", err)
	}
	d.screen.line(d.screen.style(dim, "Stopped every process and removed "+d.dir))
	return nil
}

func (d *demo) build(ctx context.Context) error {
	return d.screen.step(ctx, "Build the program", func() (string, error) {
		bin := filepath.Join(d.dir, "bin")
		if err := os.Mkdir(bin, 0o700); err != nil {
			return "", err
		}
		var err error
		d.binary, err = e2e.Build(ctx, bin)
		return "", err
	})
}

func (d *demo) startServers(ctx context.Context) error {
	return d.screen.step(ctx, "Start three servers", func() (string, error) {
		var err error
		if d.cluster, err = e2e.NewCluster(e2e.ClusterConfig{Binary: d.binary, Dir: d.dir, Servers: 3}); err != nil {
			return "", err
		}
		for _, s := range d.cluster.Servers {
			if err := s.Start(); err != nil {
				return "", err
			}
			d.watch(ctx, s.Name, s.Process)
		}
		if d.leader, err = d.cluster.WaitLeader(ctx); err != nil {
			return "", err
		}
		d.asked = d.cluster.Followers(d.leader)[0]
		return d.leader.Name + " was elected leader", nil
	})
}

func (d *demo) startNodes(ctx context.Context) error {
	return d.screen.step(ctx, "Start three nodes", func() (string, error) {
		for _, conf := range nodes {
			a, err := d.cluster.NewAgent(conf)
			if err != nil {
				return "", err
			}
			if err := a.Start(); err != nil {
				return "", err
			}
			d.watch(ctx, a.Name, a.Process)
			d.agents = append(d.agents, a)
		}
		for _, a := range d.agents {
			n, err := a.WaitReady(ctx, readyLimit, d.asked.API)
			if err != nil {
				return "", err
			}
			d.shown = n.ID
		}
		return "each is ready and holds an identity", nil
	})
}

// watch ends the run if the process ends before everything is ready; later it is told.
func (d *demo) watch(ctx context.Context, name string, p *e2e.Process) {
	go func() {
		select {
		case <-ctx.Done():
		case <-p.Done():
			d.failed(fmt.Errorf("%s has ended; its last words:\n%s", name, p.Tail(10)))
		}
	}()
}

func (d *demo) showNodes(ctx context.Context) error { return d.command(ctx, "node", "status") }

func (d *demo) showIdentity(ctx context.Context) error {
	const shortID = 8
	return d.command(ctx, "node", "identity", "get", d.shown[:shortID])
}

// command runs the program as a user does and shows what it prints.
func (d *demo) command(ctx context.Context, args ...string) error {
	line := "rollcall " + strings.Join(args, " ")
	cmd := exec.CommandContext(ctx, d.binary, args...)
	cmd.Env = append(os.Environ(), d.asked.Env()...)
	var problem strings.Builder
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", line, err, problem.String())
	}
	d.screen.command(line, string(out))
	return nil
}

// verify takes the identity from where the node keeps it and checks it with a library that knows nothing of Rollcall.
func (d *demo) verify(ctx context.Context) error {
	holder := d.agents[len(d.agents)-1]
	raw, err := holder.Identity()
	if err != nil {
		return err
	}
	token, err := e2e.ParseToken(raw)
	if err != nil {
		return err
	}
	verifier, err := e2e.NewVerifier(ctx, d.cluster.Issuer)
	if err != nil {
		return err
	}
	claims, err := verifier.Verify(ctx, raw)
	if err != nil {
		return err
	}
	keys, err := d.asked.PublishedKeys(ctx)
	if err != nil {
		return err
	}
	if claims["nomad_node_id"] != d.shown || keys[token.KeyID] != token.Algorithm {
		return fmt.Errorf("the verified identity is that of node %v under key %s (%s), not that of node %s", claims["nomad_node_id"], token.KeyID, keys[token.KeyID], d.shown)
	}
	s := d.screen
	s.line("")
	s.line(s.style(green, "Verified") + s.style(bold, ": the signature, issuer, audience and times of that identity are good"))
	s.line("  Library    github.com/coreos/go-oidc, given nothing but the issuer's address")
	s.line("  Key        " + token.KeyID + " (" + token.Algorithm + ")")
	s.line("  Found at   " + d.cluster.Issuer + "/.well-known/jwks.json")
	return nil
}

func (d *demo) suggest() {
	s := d.screen
	s.line("")
	s.title("Try this in another terminal:")
	s.line("")
	s.line("  export PATH=" + filepath.Dir(d.binary) + ":$PATH " + strings.Join(d.asked.Env(), " "))
	s.line("")
	for _, c := range [][2]string{
		{"rollcall server members", "who leads"},
		{"rollcall node identity renew " + d.shown[:8], "a new identity at the next heartbeat"},
		{"rollcall operator root keyring rotate -now", "a new key signs from now on"},
		{"curl -s " + d.cluster.Issuer + "/.well-known/jwks.json", "the keys, old and new"},
		{fmt.Sprintf("kill -9 %d", d.leader.PID()), "the leader; another server takes over"},
	} {
		gap := max(54-len(c[0]), 1)
		s.line("  " + c[0] + strings.Repeat(" ", gap) + s.style(dim, "# "+c[1]))
	}
	s.line("")
	s.line("Logs and configuration are in " + d.dir)
	s.title("Ctrl-C stops everything and removes that folder.")
}

// stay waits for the end and tells of processes that end before.
func (d *demo) stay(ctx context.Context) {
	ended := make(chan string)
	for _, s := range d.cluster.Servers {
		go tellEnd(ctx, ended, s.Name, s.Process)
	}
	for _, a := range d.agents {
		go tellEnd(ctx, ended, a.Name, a.Process)
	}
	for {
		select {
		case <-ctx.Done():
			d.screen.line("") // ends the line of the terminal's ^C
			return
		case name := <-ended:
			d.screen.line(d.screen.style(red, name+" has ended.") + fmt.Sprintf(" %d servers are left.", len(d.cluster.Running())))
		}
	}
}

func tellEnd(ctx context.Context, ended chan<- string, name string, p *e2e.Process) {
	select {
	case <-ctx.Done():
		return
	case <-p.Done():
	}
	select {
	case <-ctx.Done():
	case ended <- name:
	}
}
