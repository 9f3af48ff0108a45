package keyring

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	// MaxTokenSize is the longest token that is looked at. Ours have 500 to 800 bytes.
	MaxTokenSize = 16 << 10
	// keyWait is how long VerifyWait waits for a key that is not loaded: a follower may have to apply and
	// unwrap a key that the leader already signs with.
	keyWait = time.Second
)

// Verify checks a token and returns its claims, which are shared: callers must not change them. An error is
// one of: structs.ErrTokenExpired, when the token is right but for its expiry; ErrNoSuchKey; or
// structs.ErrTokenInvalid, which says why. exp, nbf and iat are compared with now, forgiving
// structs.IdentityLeeway. A token that was verified before costs a hash and a look-up.
func (k *Keyring) Verify(token string, now time.Time) (*structs.IdentityClaims, error) {
	if len(token) > MaxTokenSize {
		return nil, invalid("it has %d bytes; at most %d are accepted", len(token), MaxTokenSize)
	}
	d := digest(token)
	v, ok := k.cache.get(d)
	if !ok {
		var err error
		if v, err = k.verifyFull(token); err != nil {
			return nil, err
		}
		k.cache.put(d, v)
	}
	if err := checkTimes(v.claims, now); err != nil {
		return nil, err
	}
	return v.claims, nil
}

// VerifyWait is Verify that waits up to a second for the token's key to be loaded.
func (k *Keyring) VerifyWait(ctx context.Context, token string, now time.Time) (*structs.IdentityClaims, error) {
	c, err := k.Verify(token, now)
	if !errors.Is(err, ErrNoSuchKey) {
		return c, err
	}
	deadline := time.NewTimer(keyWait)
	defer deadline.Stop()
	for {
		changed := k.changes()
		if c, err = k.Verify(token, now); !errors.Is(err, ErrNoSuchKey) {
			return c, err
		}
		select {
		case <-changed:
		case <-deadline.C:
			return nil, err
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for key: %w: %w", context.Cause(ctx), err)
		}
	}
}

// scratch holds buffers for digest, which would otherwise copy each token to new memory.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

func digest(token string) tokenDigest {
	buf := scratch.Get().(*[]byte)
	*buf = append((*buf)[:0], token...)
	d := tokenDigest(sha256.Sum256(*buf))
	scratch.Put(buf)
	return d
}

// parser decodes and checks signatures. Content and times are checked by checkContent and checkTimes, which
// remembered tokens go through too.
var parser = jwt.NewParser(
	jwt.WithValidMethods([]string{structs.AlgES256, structs.AlgEdDSA, structs.AlgRS256}),
	jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())

// verifyFull checks all of a token but its times.
func (k *Keyring) verifyFull(token string) (verified, error) {
	if err := checkShape(token); err != nil {
		return verified{}, err
	}
	h, err := parseHeader(token[:strings.IndexByte(token, '.')])
	if err != nil {
		return verified{}, err
	}
	signer := k.current.Load().keys[h.keyID]
	if signer == nil {
		return verified{}, noSuchKeyError{h.keyID}
	}
	if h.alg != signer.alg {
		return verified{}, invalid("invalid signature: the key signs with %s, the token names another algorithm", signer.alg)
	}
	var payload payload
	if _, err := parser.ParseWithClaims(token, &payload, func(*jwt.Token) (any, error) { return signer.pub, nil }); err != nil {
		switch {
		case errors.Is(err, jwt.ErrTokenSignatureInvalid):
			return verified{}, invalid("invalid signature: %w", err)
		case errors.Is(err, structs.ErrUnknownClaims):
			return verified{}, invalid("%w", structs.ErrUnknownClaims)
		}
		return verified{}, invalid("its payload or signature does not decode") // the decoder's words can be very long
	}
	c := &payload.IdentityClaims
	if err := k.checkContent(c); err != nil {
		return verified{}, err
	}
	if c.Kind() == structs.IdentityNode {
		c = compact(c)
	}
	return verified{claims: c, key: signer}, nil
}

// checkShape refuses what is not three segments of base64url. The decoder would skip line breaks, and a token
// must have one spelling.
func checkShape(token string) error {
	dots := 0
	for i := 0; i < len(token); i++ {
		switch c := token[i]; {
		case c == '.':
			dots++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return invalid("byte %d is not base64url", i)
		}
	}
	if dots != 2 {
		return invalid("it has %d segments; want 3", dots+1)
	}
	return nil
}

// header is what a token says about its signature.
type header struct{ alg, keyID string }

// parseHeader reads the first segment. It refuses every parameter that our tokens don't have, above all those
// that change what is signed (b64), must be understood (crit) or bring keys along (jwk, jku, x5c), and every
// parameter that is there twice, of which another reader might take the other.
func parseHeader(segment string) (h header, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return h, invalid("header is not base64url: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return h, invalid("header is not a JSON object")
	}
	fields := map[string]string{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return h, invalid("header is not JSON")
		}
		value, err := dec.Token()
		if err != nil {
			return h, invalid("header is not JSON")
		}
		n, v := fmt.Sprint(name), ""
		if !slices.Contains([]string{"alg", "kid", "typ"}, n) {
			return h, invalid("header has a parameter besides alg, kid and typ")
		}
		if v, _ = value.(string); v == "" {
			return h, missing(n)
		}
		if _, twice := fields[n]; twice {
			return h, invalid("header has %s twice", n)
		}
		fields[n] = v
	}
	if _, err := dec.Token(); err != nil {
		return h, invalid("header is not JSON")
	}
	if len(bytes.TrimSpace(raw[dec.InputOffset():])) != 0 {
		return h, invalid("header has text after its JSON")
	}
	h = header{alg: fields["alg"], keyID: fields["kid"]}
	switch {
	case h.keyID == "":
		return h, missing("kid")
	case !structs.IsUUID(h.keyID):
		return h, invalid("key ID is not a UUID")
	case signingMethod(h.alg) == nil:
		return h, invalid("signing algorithm is not accepted")
	case fields["typ"] != "JWT":
		return h, invalid("type is not JWT")
	}
	return h, nil
}

func missing(parameter string) error {
	if parameter == "kid" {
		return invalid("missing key ID header")
	}
	return invalid("header's %s is not a string or empty", parameter)
}

// payload lets jwt decode identity claims. The embedded interface stays nil: it is for jwt's own checks, which
// are off.
type payload struct {
	jwt.Claims
	structs.IdentityClaims
}

// UnmarshalJSON is where the payload passes on its way to the claims.
func (p *payload) UnmarshalJSON(raw []byte) error {
	if err := checkPayload(raw); err != nil {
		return err
	}
	return p.IdentityClaims.UnmarshalJSON(raw)
}

// checkContent reports what is wrong with claims apart from the time: the rules for what we accept, and
// therefore for what we sign.
func (k *Keyring) checkContent(c *structs.IdentityClaims) error {
	kind := c.Kind()
	switch {
	case kind == structs.IdentityUnknown:
		return invalid("%w", structs.ErrUnknownClaims)
	case c.Expiry <= 0:
		return invalid("it has no expiry")
	case k.issuer != "" && c.Issuer != "" && c.Issuer != k.issuer:
		return invalid("its issuer is another")
	case kind != structs.IdentityWorkload && !slices.Contains(c.Audience, structs.IdentityAudience):
		return invalid("its audience is not %s", structs.IdentityAudience)
	}
	return nil
}

// checkTimes compares the claims' times with now. The expiry comes last: a token is called expired only when
// nothing else is wrong with it.
func checkTimes(c *structs.IdentityClaims, now time.Time) error {
	const leeway = int64(structs.IdentityLeeway / time.Second)
	sec := now.Unix()
	switch {
	case c.NotBefore != 0 && sec < c.NotBefore-leeway:
		return invalid("it is not valid yet")
	case c.IssuedAt != 0 && sec < c.IssuedAt-leeway:
		return invalid("it is issued in the future")
	}
	last := c.Expiry
	if last <= math.MaxInt64-leeway {
		last += leeway
	}
	if sec > last || sec == last && now.Nanosecond() > 0 {
		return fmt.Errorf("%w: at %s", structs.ErrTokenExpired, c.ExpiresAt().Format(time.RFC3339))
	}
	return nil
}
