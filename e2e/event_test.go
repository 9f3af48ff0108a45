//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// lastPool is the pool whose event ends a follower.
const lastPool = "the-last-one"

// bufferedBatches is how many batches of events a server keeps by default.
const bufferedBatches = 100

// follower follows the events at one server after the other, each from where it was at the one before.
type follower struct {
	mu   sync.Mutex // guards the fields below
	got  []string   // logged events, in order
	told []string   // nodes of which a renewal was told that is in no log
	hops int

	done chan error
}

// followEvents goes from server to server whenever a stream ends, until the last pool's event has come.
func followEvents(ctx context.Context, servers []*Server) *follower {
	f := &follower{done: make(chan error, 1)}
	go func() {
		next := uint64(0)
		f.done <- Eventually(ctx, "follow events", testLimit, func(ctx context.Context) error {
			f.mu.Lock()
			server := servers[f.hops%len(servers)]
			f.hops++
			f.mu.Unlock()
			stream, err := server.API.StreamEvents(ctx, &api.EventOptions{Index: next})
			if err != nil {
				return err
			}
			defer stream.Close()
			for {
				events, err := stream.Next()
				if err != nil {
					return fmt.Errorf("at %s: %w", server.Name, err)
				}
				if events.Index+1 < next {
					return Final(fmt.Errorf("at %s: index %d came after %d", server.Name, events.Index, next-1))
				}
				next = events.Index + 1
				end, err := f.add(events)
				if err != nil {
					return Final(err)
				}
				if end {
					return nil
				}
			}
		})
	}()
	return f
}

func (f *follower) add(events *api.Events) (end bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range events.Events {
		if e.Topic == structs.TopicIdentity {
			var i structs.IdentityChange
			if err := e.Decode(&i); err != nil {
				return false, err
			}
			if i.PreviousKeyID == i.KeyID {
				f.told = append(f.told, e.Key)
				continue
			}
		}
		f.got = append(f.got, fmt.Sprintf("%d %s %s %s", e.Index, e.Topic, e.Type, e.Key))
		end = end || e.Topic == structs.TopicNodePool && e.Key == lastPool
	}
	return end, nil
}

// saw waits until the follower has an event that ends like this.
func (f *follower) saw(t *testing.T, ctx context.Context, event string) {
	t.Helper()
	eventually(t, ctx, "see the event "+event, testLimit, func(context.Context) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, e := range f.got {
			if strings.HasSuffix(e, event) {
				return nil
			}
		}
		return fmt.Errorf("not among %d", len(f.got))
	})
}

// Events are the same at every server, and go on over a change of leader: for who follows at a server that stays without
// a break, for who followed at the one that is lost at another.
func TestEventsAreTheSameEverywhereAndSurviveTheLeader(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, fastHeartbeats)
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	others := c.Followers(leader)
	atLeader := followEvents(ctx, []*Server{leader, others[0]})
	staying := []*follower{followEvents(ctx, others[:1]), followEvents(ctx, others[1:])}

	agent := newAgents(t, c, AgentConfig{Name: "followed"})[0]
	node, err := agent.WaitReady(ctx, testLimit, leader.API)
	must(t, err)
	atLeader.saw(t, ctx, " Identity IdentityIssued "+node.ID)

	// A renewal with the same key is told at the leader, though it is in no log.
	must(t, leader.API.RenewNodeIdentity(ctx, node.ID, nil))
	eventually(t, ctx, "hear of the renewal at the leader", testLimit, func(context.Context) error {
		atLeader.mu.Lock()
		defer atLeader.mu.Unlock()
		if len(atLeader.told) == 0 {
			return errors.New("not yet")
		}
		return nil
	})

	must(t, leader.Kill())
	next, err := c.WaitLeader(ctx)
	must(t, err)
	key, err := next.API.RotateKey(ctx, api.RotateOptions{}, nil)
	must(t, err)
	for _, f := range append(staying, atLeader) {
		f.saw(t, ctx, " Keyring KeyringRotated "+key.KeyID)
	}
	// With the new key the renewal is in the log.
	eventually(t, ctx, "reach the node", testLimit, func(ctx context.Context) error { return next.API.RenewNodeIdentity(ctx, node.ID, nil) })
	for _, f := range append(staying, atLeader) {
		f.saw(t, ctx, " Identity IdentityRenewed "+node.ID)
	}
	for i := range bufferedBatches {
		newPool(t, ctx, next.API, fmt.Sprintf("pool-%d", i), time.Hour)
	}
	newPool(t, ctx, next.API, lastPool, time.Hour)
	for _, f := range append(staying, atLeader) {
		must(t, <-f.done)
	}
	for i, f := range staying {
		if f.hops != 1 {
			t.Errorf("the stream at %s, which stayed, had to be opened %d times", others[i].Name, f.hops)
		}
		if diff := cmp.Diff(atLeader.got, f.got); diff != "" {
			t.Errorf("events at %s differ from those that began at the leader (-leader +here):\n%s", others[i].Name, diff)
		}
	}
	if atLeader.hops < 2 {
		t.Error("the stream at the leader outlived it")
	}
	t.Logf("%d events at each server, the last is %s", len(atLeader.got), atLeader.got[len(atLeader.got)-1])

	var refusal *api.StatusError
	if _, err := next.API.StreamEvents(ctx, &api.EventOptions{Index: 1}); !errors.As(err, &refusal) || refusal.Code != 410 {
		t.Errorf("index 1, which has left the buffer: %v, want 410", err)
	}
	// A server that has just started has the events of its log.
	must(t, leader.Start())
	must(t, c.WaitVoters(ctx))
	must(t, <-followEvents(ctx, []*Server{leader}).done)
}

// readLog reads lines until one contains the text, and returns it.
func readLog(t *testing.T, ctx context.Context, a *api.Client, o *api.MonitorOptions, text string, trigger func(ctx context.Context) error) {
	t.Helper()
	log, err := a.Monitor(ctx, o)
	must(t, err)
	defer log.Close()
	found := make(chan error, 1)
	go func() {
		lines := bufio.NewReader(log)
		for {
			line, err := lines.ReadString('\n')
			if err != nil || strings.Contains(line, text) {
				found <- err
				return
			}
		}
	}()
	eventually(t, ctx, fmt.Sprintf("find %q in the log", text), testLimit, func(ctx context.Context) error {
		select {
		case err := <-found:
			if err != nil {
				return Final(err)
			}
			return nil
		default:
		}
		if err := trigger(ctx); err != nil {
			return err
		}
		return errors.New("not yet")
	})
}

// The log of every agent can be followed from every server, a node's through the session that the node holds open.
func TestLogsAreFollowedThroughAnyServer(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, fastHeartbeats)
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	agent := newAgents(t, c, AgentConfig{Name: "followed", Servers: []string{leader.RPC}})[0]
	node, err := agent.WaitReady(ctx, testLimit, leader.API)
	must(t, err)
	for _, s := range c.Servers {
		readLog(t, ctx, s.API, &api.MonitorOptions{NodeID: node.ID}, "a server asks for a new identity", func(ctx context.Context) error {
			return s.API.RenewNodeIdentity(ctx, node.ID, nil)
		})
		for _, id := range []string{"leader", leader.Name} {
			readLog(t, ctx, s.API, &api.MonitorOptions{ServerID: id, LogLevel: "debug"}, "/v1/node/"+node.ID, func(ctx context.Context) error {
				_, err := leader.API.Node(ctx, node.ID, nil)
				return err
			})
		}
	}
	// The node's agent answers for itself, and goes to servers for the rest.
	readLog(t, ctx, agent.API, &api.MonitorOptions{LogLevel: "debug"}, "request complete", func(ctx context.Context) error {
		_, err := agent.API.Self(ctx)
		return err
	})
	readLog(t, ctx, agent.API, &api.MonitorOptions{ServerID: "leader", LogLevel: "debug", JSON: true}, "request complete", func(ctx context.Context) error {
		_, err := leader.API.Node(ctx, node.ID, nil)
		return err
	})
	secret, err := agent.Identity()
	must(t, err)
	if strings.Contains(agent.Log(), secret) {
		t.Error("the node's log contains its identity")
	}
}
