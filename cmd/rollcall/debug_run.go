package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/internal/version"
)

const (
	// debugParallel is how many requests are made at a time; logs come besides.
	debugParallel = 8
	// debugPartLimit bounds one request, besides the time that a profile takes: an agent may be frozen.
	debugPartLimit = 30 * time.Second
	// debugGrace is how long an interrupted run goes on with what is quick to be had.
	debugGrace = 5 * time.Second
	// maxDebugFile bounds one file of the archive, in bytes.
	maxDebugFile = 32 << 20
)

// errDebugInterrupted is why a part is not in the archive.
var errDebugInterrupted = errors.New("interrupted")

// debugAgent is one agent to look at: by its own address, or through another.
type debugAgent struct {
	client *api.Client
	opened bool       // client is closed with the run
	server bool       // it has replicated state
	region string     // that it said it is of; empty if it was not asked
	name   string     // directory in the archive
	params url.Values // by which the asked agent knows whom to ask

	answered, failed atomic.Bool // a part came; one did not, and not because of an interruption
}

// debugRun is one gathering.
type debugRun struct {
	v       *invocation
	archive *bundle
	start   time.Time
	agents  []*debugAgent
	slots   chan struct{}
	limit   time.Duration // of one request
}

func (d *debugRun) close() {
	for _, a := range d.agents {
		if a.opened {
			a.client.Close()
		}
	}
}

// introduce asks the agent who it is.
func (a *debugAgent) introduce(ctx context.Context) error {
	self, err := a.client.Self(ctx)
	if err != nil {
		return fmt.Errorf("ask an agent about itself: %w", err)
	}
	a.region, _ = self.Config["Region"].(string)
	switch name, _ := self.Config["NodeName"].(string); {
	case self.Member != nil:
		a.server = true
		a.name = "servers/" + fileName(self.Member.Name)
	default:
		a.name = "nodes/" + fileName(name)
	}
	return nil
}

// addServers adds the servers that are to be asked through the first agent, which tells who there is.
func (d *debugRun) addServers(ctx context.Context, ids string) error {
	first := d.agents[0].client
	res, err := first.Members(ctx, nil)
	if err != nil {
		return fmt.Errorf("list servers: %w", err)
	}
	wanted := strings.Split(ids, ",")
	found := map[string]bool{}
	for _, m := range res.Members {
		for _, id := range []string{"all", m.Tags["id"], m.Name, strings.TrimSuffix(m.Name, "."+m.Tags["region"])} {
			if id == "" || !slices.Contains(wanted, id) || id == "all" && (m.Tags["region"] != d.agents[0].region || m.Status == "left") {
				continue
			}
			found[id] = true
			d.add(&debugAgent{client: first, server: true, name: "servers/" + fileName(m.Name), params: url.Values{"server_id": {m.Tags["id"]}}})
		}
	}
	for _, id := range wanted {
		switch {
		case id == "leader":
			d.add(&debugAgent{client: first, server: true, name: "servers/leader", params: url.Values{"server_id": {"leader"}}})
		case id != "" && id != "all" && !found[id]:
			return &notFoundError{fmt.Sprintf("there is no server %q", id)}
		}
	}
	return nil
}

// add leaves out whom the archive has already.
func (d *debugRun) add(a *debugAgent) {
	if !slices.ContainsFunc(d.agents, func(b *debugAgent) bool { return a.name == b.name }) {
		d.agents = append(d.agents, a)
	}
}

func (d *debugRun) addNodes(ctx context.Context, ids string) error {
	for id := range strings.SplitSeq(ids, ",") {
		if id == "" {
			continue
		}
		full, err := d.v.oneNode(ctx, id)
		if err != nil {
			return err
		}
		d.add(&debugAgent{client: d.v.client, name: "nodes/" + full, params: url.Values{"node_id": {full}}})
	}
	return nil
}

// fileName keeps what a server or node chose as its name from being a path.
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_", r)) {
			return r
		}
		return '_'
	}, s)
	if s = strings.TrimLeft(s, "."); s == "" {
		return "unnamed"
	}
	return s
}

// run gathers until the duration is over or ctx ends, and then a moment longer what is quick to be had.
func (d *debugRun) run(interrupted context.Context) {
	var work sync.WaitGroup
	whole, cancel := context.WithTimeout(interrupted, d.v.Duration("duration"))
	defer cancel()
	ctx, stop := context.WithCancelCause(context.WithoutCancel(interrupted))
	defer stop(nil)
	defer context.AfterFunc(interrupted, func() {
		time.AfterFunc(debugGrace, func() { stop(errDebugInterrupted) })
	})()
	fmt.Fprintf(d.v.err, "Gathering from %d agents for %s; Ctrl-C ends it early\n", len(d.agents), d.v.Duration("duration"))
	for _, a := range d.agents {
		work.Go(func() { d.followLog(whole, a) })
		for _, p := range d.oncePerAgent(a) {
			work.Go(func() { d.fetch(ctx, a, p) })
		}
	}
	for _, p := range oncePerCluster {
		work.Go(func() { d.fetch(ctx, d.agents[0], p) })
	}
	tick := time.NewTicker(d.v.Duration("interval"))
	defer tick.Stop()
	for n := 1; ; n++ {
		dir := fmt.Sprintf("intervals/%04d", n)
		for _, p := range eachInterval {
			work.Go(func() { d.fetch(ctx, d.agents[0], p.in(dir+"/cluster")) })
		}
		for _, a := range d.agents {
			for _, p := range a.eachInterval() {
				work.Go(func() { d.fetch(ctx, a, p.in(dir+"/"+a.name)) })
			}
		}
		select {
		case <-tick.C:
			continue
		case <-whole.Done():
		}
		break
	}
	work.Wait()
}

// fetch puts one answer into the archive.
func (d *debugRun) fetch(ctx context.Context, a *debugAgent, p debugPart) {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		d.fail(a, p.file, context.Cause(ctx))
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.limit, fmt.Errorf("no answer within %s", d.limit))
	defer cancel()
	res, err := a.client.Raw(ctx, api.RawRequest{Method: http.MethodGet, Path: p.path, Params: p.params, Accept: p.accept})
	if err != nil {
		d.fail(a, p.file, err)
		return
	}
	a.answered.Store(true)
	defer res.Body.Close()
	content, err := io.ReadAll(io.LimitReader(res.Body, maxDebugFile))
	if err != nil {
		d.fail(a, p.file, fmt.Errorf("read answer of %s: %w", p.path, err))
		return
	}
	d.archive.add(p.file, content)
}

// followLog gathers the agent's log until whole ends, which is no failure.
func (d *debugRun) followLog(whole context.Context, a *debugAgent) {
	name := a.name + "/monitor.log"
	params := url.Values{"plain": {"true"}, "log_level": {strings.ToLower(d.v.String("log-level"))}}
	for k, v := range a.params {
		params[k] = v
	}
	res, err := a.client.Raw(whole, api.RawRequest{Method: http.MethodGet, Path: "/v1/agent/monitor", Params: params})
	if err != nil {
		d.fail(a, name, err)
		return
	}
	a.answered.Store(true)
	defer res.Body.Close()
	content, err := io.ReadAll(io.LimitReader(res.Body, maxDebugFile))
	if err != nil && whole.Err() == nil {
		d.fail(a, name, fmt.Errorf("follow log: %w", err))
	}
	d.archive.add(name, content)
}

// fail notes what could not be had of an agent.
func (d *debugRun) fail(a *debugAgent, file string, err error) {
	if !errors.Is(err, errDebugInterrupted) && !errors.Is(err, context.Canceled) {
		a.failed.Store(true)
	}
	d.archive.fail(file, err)
}

// unreachable are the agents of which nothing came. Whoever there was no time to ask is not among them.
func (d *debugRun) unreachable() []string {
	names := []string{}
	for _, a := range d.agents {
		if a.failed.Load() && !a.answered.Load() {
			names = append(names, a.name)
		}
	}
	return names
}

// manifest says what the archive is of.
func (d *debugRun) manifest(ctx context.Context) any {
	agents := make([]string, len(d.agents))
	for i, a := range d.agents {
		agents[i] = a.name
	}
	return struct {
		Version            string
		Started, Ended     time.Time
		Duration, Interval string
		Interrupted        bool
		Agents             []string
		Unreachable        []string
		Failures           []debugFailure
	}{
		version.Version, d.start, time.Now().UTC(), d.v.Duration("duration").String(), d.v.Duration("interval").String(), ctx.Err() != nil,
		agents, d.unreachable(), d.archive.failures,
	}
}

// seconds are whole, as the API takes them.
func seconds(t time.Duration) string { return strconv.Itoa(int(t.Seconds())) }
