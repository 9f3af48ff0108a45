package client

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/rollcall-id/rollcall/structs"
)

// register registers the node, for as long as it takes; false when ctx has ended. In every round it goes through the tokens
// that the node has while servers refuse them.
func (c *Client) register(ctx context.Context) bool {
	for failures := 1; ctx.Err() == nil; failures++ {
		err := c.registerRound(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			break
		}
		c.stat.registrationFailed(err)
		wait := max(jitter(exponential(failures, c.retryLimit())), pauseAsked(err))
		c.log.Warn("registration failed", "error", err, "retry_in", wait)
		c.pause(ctx, wait)
	}
	return false
}

func (c *Client) registerRound(ctx context.Context) error {
	tokens, own := c.cred.registrationTokens(c.introToken())
	var err error
	for i, token := range tokens {
		if i == own && own > 0 {
			if ferr := c.cred.forget(); ferr != nil {
				c.log.Error("client state can't be written", "error", ferr)
			}
		}
		if err = c.registerWith(ctx, token); err == nil || !isRefusal(err) {
			return err
		}
		if i+1 < len(tokens) {
			c.log.Warn("registration refused, trying other credentials", "error", err)
		}
	}
	return err
}

func (c *Client) registerWith(ctx context.Context, token string) error {
	c.changed.Store(false)
	node := c.registration()
	asked, _ := c.cred.renewal()
	req := structs.NodeRegisterRequest{
		Node:         node,
		WriteRequest: structs.WriteRequest{Region: c.cfg.Region, AuthToken: token},
	}
	var reply structs.NodeUpdateResponse
	if err := c.call(ctx, "Node.Register", &req, &reply, registerTimeout, always); err != nil {
		return err
	}
	if err := c.absorb(&reply, answer{registered: true, renewal: asked}); err != nil {
		return err
	}
	c.stat.registrationDone()
	c.log.Info("node is registered", "node_id", c.NodeID(), "server", c.servers.pick())
	return nil
}

// absorb takes over what a reply to Node.Register or Node.UpdateStatus carries.
func (c *Client) absorb(reply *structs.NodeUpdateResponse, a answer) error {
	if reply.SignedIdentity != nil {
		a.identity = *reply.SignedIdentity // empty: the server could not sign, which changes nothing
	}
	if err := c.cred.accept(a); err != nil {
		// The identity in use, or the secret ID, still works; the next heartbeat brings another.
		c.stat.identityFailed(err)
		c.log.Error("new identity is not used", "error", err)
	} else if a.identity != "" {
		_, claims, _ := c.cred.identity()
		c.stat.identityDone()
		c.log.Info("node has a new identity", "identity_id", claims.ID, "expires", expiryText(claims))
	}
	if reply.SchedulingEligibility != "" {
		c.updateNode(func(n *structs.Node) { n.SchedulingEligibility = reply.SchedulingEligibility })
	}
	if err := c.servers.learn(reply.Servers); err != nil {
		return err
	}
	if reply.LeaderRPCAddr == "" {
		c.servers.failed(c.servers.pick()) // knows no leader; the next call goes to another one
	}
	c.stat.replied(reply)
	return nil
}

// introToken returns the configured introduction token, else that of the file, which an operator may put there at any time.
func (c *Client) introToken() string {
	if c.cfg.IntroToken != "" || c.cfg.StateDir == "" {
		return c.cfg.IntroToken
	}
	text, err := readSmallFile(filepath.Join(c.cfg.StateDir, introTokenFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.log.Warn("introduction token can't be read", "error", err)
	}
	return strings.TrimSpace(text)
}
