package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// errRunning is returned by a Run after the first.
var errRunning = errors.New("client runs already, or has been shut down")

// Run keeps the node registered until ctx ends or Shutdown is called, and returns nil then. It may be called once.
func (c *Client) Run(ctx context.Context) error {
	c.mu.Lock()
	if c.stopped.Err() != nil || c.stat.started.Swap(true) {
		c.mu.Unlock()
		return errRunning
	}
	c.running.Add(1)
	c.mu.Unlock()
	defer c.running.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.stopped, cancel)()

	c.log.Info("node starts", "node_id", c.NodeID(), "name", c.cfg.Name, "servers", c.servers.all())
	watching := false
	unheard := 0 // registrations since the last heartbeat that was accepted
	for c.register(ctx) {
		if !watching {
			watching = true
			c.running.Go(func() { c.watchAllocs(ctx) })
		}
		if c.heartbeats(ctx) {
			unheard = 0
		} else if unheard++; unheard > 1 {
			// Servers register the node and refuse its heartbeats; asking faster does not help.
			c.pause(ctx, jitter(exponential(unheard-1, c.retryLimit())))
		}
	}
	return nil
}

// pause waits; false when ctx has ended. A wake-up ends the wait early.
func (c *Client) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-c.wake:
	case <-t.C:
	}
	return ctx.Err() == nil
}

// retryLimit is the longest pause after a failure.
func (c *Client) retryLimit() time.Duration {
	if c.cfg.Dev {
		return devRetryMax
	}
	return retryMax
}

// firstHeartbeat is the pause between a registration and the heartbeat after it.
func (c *Client) firstHeartbeat() time.Duration {
	if c.cfg.Dev {
		return rand.N(devFirstHeartbeatMax)
	}
	return rand.N(firstHeartbeatMax)
}
