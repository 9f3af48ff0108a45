package client

import (
	"context"
	"errors"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// heartbeats sends heartbeats until the node has to register again or ctx ends. heard tells whether any was accepted.
func (c *Client) heartbeats(ctx context.Context) (heard bool) {
	next := c.firstHeartbeat()
	failures := 0
	for c.pause(ctx, next) {
		if c.changed.Load() {
			return heard
		}
		ttl, err := c.heartbeat(ctx, !heard)
		switch {
		case err == nil:
			heard, failures, next = true, 0, ttl
			continue
		case ctx.Err() != nil:
			return heard
		case errors.Is(err, structs.ErrNodeNotFound), isRefusal(err):
			c.stat.heartbeatFailed(err)
			c.log.Warn("heartbeat refused, registering again", "error", err)
			return heard
		}
		failures++
		c.stat.heartbeatFailed(err)
		next = max(afterFailure(failures, c.stat.untilDown(time.Now()), c.retryLimit()), pauseAsked(err))
		c.log.Warn("heartbeat failed", "error", err, "retry_in", next)
	}
	return heard
}

// heartbeat sends one heartbeat and returns when the next is due. If servers refuse the identity, because it has expired
// or its key is gone, it presents the secret ID, for which they issue a new one.
func (c *Client) heartbeat(ctx context.Context, first bool) (time.Duration, error) {
	token := c.cred.token()
	asked, forced := c.cred.renewal()
	reply, err := c.updateStatus(ctx, token, forced)
	if isRefusal(err) && token != c.cred.secretID {
		c.log.Warn("identity refused, presenting the secret ID", "error", err)
		c.cred.refuse(token)
		reply, err = c.updateStatus(ctx, c.cred.secretID, forced)
	}
	if err != nil {
		return 0, err
	}
	if err := c.absorb(reply, answer{renewal: asked}); err != nil {
		return 0, err
	}
	ttl := min(max(reply.HeartbeatTTL, ttlMin), ttlMax)
	late := c.stat.heartbeatDone(time.Now(), ttl)
	if !first && reply.Index != 0 && reply.SignedIdentity == nil {
		c.log.Warn("a heartbeat was missed: servers had marked the node down", "since_last", late)
	}
	c.log.Trace("heartbeat accepted", "next_in", ttl)
	if token, _, refused := c.cred.identity(); token != "" && !refused {
		c.stat.readyOnce.Do(func() { close(c.ready) })
	}
	return ttl, nil
}

func (c *Client) updateStatus(ctx context.Context, token string, forced bool) (*structs.NodeUpdateResponse, error) {
	req := structs.NodeUpdateStatusRequest{
		NodeID: c.NodeID(), Status: structs.NodeStatusReady, ForceIdentityRenewal: forced,
		WriteRequest: structs.WriteRequest{Region: c.cfg.Region, AuthToken: token},
	}
	reply := new(structs.NodeUpdateResponse)
	if err := c.call(ctx, "Node.UpdateStatus", &req, reply, heartbeatTimeout, always); err != nil {
		return nil, err
	}
	return reply, nil
}
