package keyring

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
	"unique"

	"github.com/rollcall-id/rollcall/structs"
)

// Signed is a new token and the ID of the key that signed it.
type Signed struct {
	Token string
	KeyID string
}

// Sign signs the claims with the active key. Of the claims it wants an expiry after their issue time, and
// whatever else Verify wants; an error that is ErrUnsignable says what they lack. ErrNoActiveKey and
// ErrActiveKeyNotLoaded pass by themselves. The claims are not kept.
func (k *Keyring) Sign(c *structs.IdentityClaims) (Signed, error) {
	r := k.current.Load()
	if r.active == nil {
		return Signed{}, ErrNoActiveKey
	}
	signer := r.keys[r.active.KeyID]
	if signer == nil {
		return Signed{}, fmt.Errorf("%w: %s", ErrActiveKeyNotLoaded, r.active.KeyID)
	}
	if err := k.checkSignable(c); err != nil {
		return Signed{}, err
	}
	payload, err := c.MarshalJSON()
	if err != nil {
		return Signed{}, fmt.Errorf("encode claims: %w: %w", ErrUnsignable, err)
	}
	enc := base64.RawURLEncoding
	buf := make([]byte, 0, len(signer.header)+enc.EncodedLen(len(payload)))
	buf = append(buf, signer.header...)
	signingString := string(enc.AppendEncode(buf, payload))
	sig, err := signer.sign(signingString)
	if err != nil {
		return Signed{}, fmt.Errorf("sign with root key %s: %w: %w", signer.id, ErrActiveKeyNotLoaded, err)
	}
	token := signingString + "." + enc.EncodeToString(sig)
	if len(token) > MaxTokenSize {
		return Signed{}, fmt.Errorf("%w: the token would have %d bytes; at most %d are accepted", ErrUnsignable, len(token), MaxTokenSize)
	}
	// This server is the likeliest to see the token next.
	if c.Kind() == structs.IdentityNode && survivesJSON(c) {
		k.cache.put(digest(token), verified{claims: compact(c), key: signer})
	}
	return Signed{Token: token, KeyID: signer.id}, nil
}

// checkSignable reports why the claims may not become a token.
func (k *Keyring) checkSignable(c *structs.IdentityClaims) error {
	switch {
	case c == nil:
		return fmt.Errorf("%w: there are none", ErrUnsignable)
	case c.Expiry <= 0:
		return fmt.Errorf("%w: they have no expiry", ErrUnsignable)
	case c.Expiry <= c.IssuedAt:
		return fmt.Errorf("%w: they expire at %d, not after they are issued at %d", ErrUnsignable, c.Expiry, c.IssuedAt)
	}
	if err := k.checkContent(c); err != nil {
		return fmt.Errorf("%w: they would be refused: %w", ErrUnsignable, err)
	}
	return nil
}

// encodeHeader returns the JOSE header of a key's tokens, encoded, with the dot that follows it.
func encodeHeader(alg, keyID string) string {
	return b64([]byte(`{"alg":"`+alg+`","kid":"`+keyID+`","typ":"JWT"}`)) + "."
}

// defaultAudience is shared by all remembered claims.
var defaultAudience = []string{structs.IdentityAudience}

// compact returns a copy of a node's claims for the cache, which holds many: strings that occur within the subject
// or in other claims share memory with those.
func compact(c *structs.IdentityClaims) *structs.IdentityClaims {
	out := *c
	out.Introduction, out.Workload = nil, nil
	if slices.Equal(c.Audience, defaultAudience) {
		out.Audience = defaultAudience
	} else {
		out.Audience = slices.Clone(c.Audience)
	}
	out.Issuer = unique.Make(c.Issuer).Value()
	out.Node = &structs.NodeClaims{
		NodeID: within(c.Subject, c.Node.NodeID), Pool: within(c.Subject, c.Node.Pool),
		Class: unique.Make(c.Node.Class).Value(), Datacenter: unique.Make(c.Node.Datacenter).Value(),
	}
	return &out
}

// within returns the part of s that equals sub, or sub.
func within(s, sub string) string {
	if i := strings.Index(s, sub); i >= 0 {
		return s[i : i+len(sub)]
	}
	return sub
}

// survivesJSON reports whether a node's claims come out of their token as they went in: JSON replaces what is
// not UTF-8.
func survivesJSON(c *structs.IdentityClaims) bool {
	for _, s := range []string{c.ID, c.Subject, c.Issuer, c.Node.NodeID, c.Node.Pool, c.Node.Class, c.Node.Datacenter} {
		if !utf8.ValidString(s) {
			return false
		}
	}
	return !slices.ContainsFunc(c.Audience, func(s string) bool { return !utf8.ValidString(s) })
}

// SignWait is Sign that waits up to a second for an active key that nobody has tried to unwrap yet: just after a
// rotation, or after an election, it is on its way. One whose unwrapping failed is not waited for.
func (k *Keyring) SignWait(ctx context.Context, c *structs.IdentityClaims) (Signed, error) {
	signed, err := k.Sign(c)
	if !errors.Is(err, ErrActiveKeyNotLoaded) {
		return signed, err
	}
	deadline := time.NewTimer(keyWait)
	defer deadline.Stop()
	for {
		changed := k.changes()
		if signed, err = k.Sign(c); !errors.Is(err, ErrActiveKeyNotLoaded) || !k.activeUntried() {
			return signed, err
		}
		select {
		case <-changed:
		case <-deadline.C:
			return Signed{}, err
		case <-ctx.Done():
			return Signed{}, fmt.Errorf("wait for key: %w: %w", context.Cause(ctx), err)
		}
	}
}

// activeUntried reports whether the active key is neither loaded nor known to be impossible to load.
func (k *Keyring) activeUntried() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	active := k.current.Load().active
	if active == nil {
		return false
	}
	e := k.entries[active.KeyID]
	return e != nil && e.key == nil && e.err == nil
}
