package client

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// status is what the node tells of itself.
type status struct {
	started   atomic.Bool
	readyOnce sync.Once

	mu            sync.Mutex // guards the fields below
	registered    bool       // since this process started
	registrations uint64
	heartbeats    uint64
	failures      uint64 // heartbeats that were not accepted
	identities    uint64
	lastHeartbeat time.Time // accepted; zero before the first
	ttl           time.Duration
	nodes         int32
	lastError     error // of the latest registration or heartbeat; nil if it was accepted
	identityError error // of the latest new identity
}

func (s *status) registrationFailed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registered, s.lastError = false, err
}

func (s *status) registrationDone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registered, s.lastError = true, nil
	s.registrations++
}

func (s *status) heartbeatFailed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastError = err
	s.failures++
}

// heartbeatDone returns how long ago the heartbeat before was.
func (s *status) heartbeatDone(now time.Time, ttl time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.lastHeartbeat
	s.lastHeartbeat, s.ttl, s.lastError = now, ttl, nil
	s.heartbeats++
	return now.Sub(before)
}

func (s *status) identityFailed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.identityError = err
}

func (s *status) identityDone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.identityError = nil
	s.identities++
}

func (s *status) replied(r *structs.NodeUpdateResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = r.NumNodes
}

// untilDown is what is left of the TTL and the grace.
func (s *status) untilDown(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastHeartbeat.IsZero() {
		return 0
	}
	return s.lastHeartbeat.Add(s.ttl + heartbeatGrace).Sub(now)
}

// Health reports whether the node is registered, heard of, and holds an identity that servers take. The message
// says what is wrong, or until when the identity is valid; it also says when ok is true and renewal is overdue.
func (c *Client) Health() (ok bool, message string) {
	now := time.Now()
	left := c.stat.untilDown(now)
	c.stat.mu.Lock()
	registered, lastError, identityError := c.stat.registered, c.stat.lastError, c.stat.identityError
	c.stat.mu.Unlock()
	token, claims, refused := c.cred.identity()

	detail := ""
	if lastError != nil {
		detail = ": " + lastError.Error()
	}
	switch {
	case !registered:
		return false, "node is not registered" + detail
	case left <= 0:
		return false, "no heartbeat was accepted in time" + detail
	case token == "" && identityError != nil:
		return false, "node has no identity: " + identityError.Error()
	case token == "":
		return false, "node has no identity: servers have not issued one"
	}
	expiry := expiryText(claims)
	switch lifetime := time.Duration(claims.Expiry-claims.IssuedAt) * time.Second; {
	case claims.Expiry != 0 && !now.Before(claims.ExpiresAt()):
		return false, "identity expired at " + expiry
	case refused:
		return false, "servers refuse the identity that is valid until " + expiry
	case identityError != nil:
		return true, "identity is valid until " + expiry + ", but a new one was not used: " + identityError.Error()
	case claims.ExpiresWithin(now, lifetime/6): // servers renew when a third is left
		return true, "identity expires soon, its renewal is overdue: valid until " + expiry
	}
	return true, "identity is valid until " + expiry
}

func expiryText(claims *structs.IdentityClaims) string {
	if claims == nil || claims.Expiry == 0 {
		return "never"
	}
	return claims.ExpiresAt().Format(time.RFC3339)
}

// Stats returns counters and times for people, as the agent's self endpoint shows them.
func (c *Client) Stats() map[string]map[string]string {
	token, claims, _ := c.cred.identity()
	_, forced := c.cred.renewal()
	s := &c.stat
	s.mu.Lock()
	defer s.mu.Unlock()
	m := map[string]string{
		"node_id":            c.NodeID(),
		"registered":         strconv.FormatBool(s.registered),
		"registrations":      strconv.FormatUint(s.registrations, 10),
		"heartbeats":         strconv.FormatUint(s.heartbeats, 10),
		"heartbeat_failures": strconv.FormatUint(s.failures, 10),
		"heartbeat_ttl":      s.ttl.String(),
		"identities":         strconv.FormatUint(s.identities, 10),
		"renewal_forced":     strconv.FormatBool(forced),
		"num_nodes":          strconv.Itoa(int(s.nodes)),
		"server":             c.servers.pick(),
		"known_servers":      strings.Join(c.servers.all(), ","),
		"last_heartbeat":     "never",
	}
	if !s.lastHeartbeat.IsZero() {
		m["last_heartbeat"] = fmt.Sprintf("%s ago", time.Since(s.lastHeartbeat).Round(time.Millisecond))
	}
	if token != "" {
		m["identity_expires"] = expiryText(claims)
	}
	return map[string]map[string]string{"client": m}
}
