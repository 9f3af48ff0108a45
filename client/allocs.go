package client

import (
	"context"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// watchAllocs keeps one Node.GetClientAllocs waiting at the current server. Servers find the way to a node by the session
// that it comes over.
func (c *Client) watchAllocs(ctx context.Context) {
	var index uint64
	failures := 0
	for ctx.Err() == nil {
		began := time.Now()
		req := structs.NodeSpecificRequest{
			NodeID: c.NodeID(), SecretID: c.cred.secretID,
			QueryOptions: structs.QueryOptions{
				Region: c.cfg.Region, AuthToken: c.cred.token(), AllowStale: true,
				MinQueryIndex: index, MaxQueryTime: allocsWait,
			},
		}
		var reply structs.NodeClientAllocsResponse
		err := c.call(ctx, "Node.GetClientAllocs", &req, &reply, allocsTimeout, always)
		wait := max(allocsPause-time.Since(began), 0)
		switch {
		case err == nil:
			failures = 0
			index = max(reply.Index, 1) // lower than before after the servers restored a snapshot
		case ctx.Err() != nil:
			return
		default:
			failures++
			index = 0 // the next server may be at another point
			wait = jitter(exponential(failures, c.retryLimit()))
			c.log.Debug("allocation query failed", "error", err, "retry_in", wait)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}
