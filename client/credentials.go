package client

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/rollcall-id/rollcall/structs"
)

// credentials are what the node can present, and the only way to the store. accept and forget are called by one goroutine
// at a time; everything else is safe for concurrent use.
type credentials struct {
	nodeID   string
	secretID string
	store    store

	mu         sync.Mutex // guards the fields below
	saved      persisted  // what the store holds
	claims     *structs.IdentityClaims
	refused    bool   // servers refused the identity; the secret ID is used until there is a new one
	registered bool   // a server accepted the node since this process started
	asked      uint64 // how often a renewal was forced
	done       uint64 // the value of asked that the present identity answers
	watchers   []func(token string)
}

// loadCredentials reads what the store holds. An identity there that is not of this node is an error.
func loadCredentials(nodeID, secretID string, s store) (*credentials, error) {
	p, err := s.load()
	if err != nil {
		return nil, err
	}
	c := &credentials{nodeID: nodeID, secretID: secretID, store: s, saved: p}
	if p.Identity != "" {
		if c.claims, err = ownClaims(p.Identity, nodeID); err != nil {
			return nil, fmt.Errorf("stored identity does not fit this node: %w: move %s away and start again", err, stateFile)
		}
	}
	return c, nil
}

// token is what every request of the node carries: the identity if there is one and servers take it, else the secret ID.
func (c *credentials) token() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.saved.Identity != "" && !c.refused {
		return c.saved.Identity
	}
	return c.secretID
}

// refuse makes token return the secret ID if token is still the identity.
func (c *credentials) refuse(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if token == c.saved.Identity {
		c.refused = true
	}
}

// registrationTokens are the tokens to register with, each to be tried when the one before was refused (wire.md
// §3.6). own counts those at the beginning that are the node's own. A node that has registered before ends with the empty
// token, which is enough for one that the servers still know by its secret; one that never has and was given an introduction
// insists on it.
func (c *credentials) registrationTokens(intro string) (tokens []string, own int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var mine []string
	if c.saved.Identity != "" {
		mine = append(mine, c.saved.Identity)
	}
	mine = append(mine, c.secretID)
	var others []string
	if intro != "" {
		others = append(others, intro)
	}
	switch {
	case c.saved.HasRegistered:
		return append(append(mine, others...), ""), len(mine)
	case c.saved.Identity != "" || c.registered:
		return append(append(others, ""), mine...), 0
	case intro != "":
		return others, 0
	}
	return []string{""}, 0
}

// answer is what of a server's reply concerns the credentials.
type answer struct {
	identity   string // new; empty: none
	registered bool   // the reply is to a registration
	renewal    uint64 // what renewal returned before the request was sent
}

// accept stores the answer, then starts to use it. On an error nothing has changed.
func (c *credentials) accept(a answer) error {
	var claims *structs.IdentityClaims
	if a.identity != "" {
		var err error
		if claims, err = ownClaims(a.identity, c.nodeID); err != nil {
			return fmt.Errorf("identity that a server issued: %w", err)
		}
	}
	c.mu.Lock()
	next := c.saved
	c.mu.Unlock()
	if a.identity != "" {
		next.Identity = a.identity
	}
	next.HasRegistered = next.HasRegistered || a.registered
	if err := c.save(next); err != nil {
		return err
	}
	c.mu.Lock()
	c.registered = c.registered || a.registered
	if a.identity == "" {
		c.mu.Unlock()
		return nil
	}
	c.claims, c.refused, c.done = claims, false, a.renewal
	watchers := c.watchers[:len(c.watchers):len(c.watchers)]
	c.mu.Unlock()
	for _, w := range watchers {
		w(a.identity)
	}
	return nil
}

// forget remembers that the node's own credentials were refused, so that a restart begins like a new node.
func (c *credentials) forget() error {
	c.mu.Lock()
	next := c.saved
	c.registered = c.registered || next.HasRegistered
	c.mu.Unlock()
	next.HasRegistered = false
	return c.save(next)
}

// save writes to the store and only then to memory; if nothing is new it does neither.
func (c *credentials) save(next persisted) error {
	c.mu.Lock()
	same := next == c.saved
	c.mu.Unlock()
	if same {
		return nil
	}
	if err := c.store.save(next); err != nil {
		return err
	}
	c.mu.Lock()
	c.saved = next
	c.mu.Unlock()
	return nil
}

// forceRenewal asks for a new identity at the next heartbeat.
func (c *credentials) forceRenewal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
}

// renewal returns how often a renewal was asked for, and whether one is still to come. An identity that was issued for a
// request sent before the last asking does not answer it.
func (c *credentials) renewal() (asked uint64, forced bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked, c.asked != c.done
}

// identity returns the signed identity and its claims; "" and nil before the first. refused says that servers don't
// take it.
func (c *credentials) identity() (token string, claims *structs.IdentityClaims, refused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.saved.Identity, c.claims, c.refused
}

// watch calls f with the identity, if there is one, and with every later one. Calls are made one at a time except
// that the first may coincide with a later one.
func (c *credentials) watch(f func(token string)) {
	c.mu.Lock()
	c.watchers = append(c.watchers, f)
	token := c.saved.Identity
	c.mu.Unlock()
	if token != "" {
		f(token)
	}
}

// claimsOf returns the payload of a signed identity. Errors say nothing of its content.
func claimsOf(token string) ([]byte, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("not a signed token: %d parts instead of 3", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, errors.New("its payload is not base64url")
	}
	return payload, nil
}

// ownClaims returns the claims of an identity that must be this node's.
func ownClaims(token, nodeID string) (*structs.IdentityClaims, error) {
	payload, err := claimsOf(token)
	if err != nil {
		return nil, err
	}
	claims := new(structs.IdentityClaims)
	if err := json.Unmarshal(payload, claims); err != nil {
		return nil, errors.New("its payload does not hold the claims of an identity")
	}
	if claims.Node == nil {
		return nil, fmt.Errorf("it is an identity of kind %s, not of a node", claims.Kind())
	}
	if claims.Node.NodeID != nodeID {
		return nil, fmt.Errorf("it belongs to node %q, this is %q", claims.Node.NodeID, nodeID)
	}
	return claims, nil
}
