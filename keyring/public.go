package keyring

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// minJWKSMaxAge is the least time that verifiers may keep the published keys; PublishLead exceeds it.
const minJWKSMaxAge = 15 * time.Minute

// JWKSet is the document at /.well-known/jwks.json (RFC 7517, wire.md §4.5).
type JWKSet struct {
	Keys []JWK `json:"keys"`
}

// JWK is one public key: EC on P-256, OKP on Ed25519, or RSA.
type JWK struct {
	Use       string `json:"use"`
	KeyType   string `json:"kty"`
	KeyID     string `json:"kid"`
	Curve     string `json:"crv,omitempty"`
	Algorithm string `json:"alg"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	N         string `json:"n,omitempty"`
	E         string `json:"e,omitempty"`
}

// Public returns the verification keys, sorted by ID, without those of deprecated keys. They are shared: callers
// may keep the slice but must not change the keys.
func (k *Keyring) Public() []*structs.PublicKey { return slices.Clone(k.current.Load().public) }

// JWKS returns the keys of Public as a JSON Web Key Set.
func (k *Keyring) JWKS() JWKSet { return JWKSet{Keys: slices.Clone(k.current.Load().jwks.Keys)} }

// JWKSMaxAge returns how long verifiers may keep the key set: half of the time to the next rotation, between
// a quarter of an hour and half the rotation threshold, and up to a tenth more at random, so that
// they don't all come back at once.
func (k *Keyring) JWKSMaxAge(now time.Time, rotationThreshold time.Duration) time.Duration {
	var age time.Duration
	if r := k.current.Load(); len(r.public) > 0 {
		age = time.Unix(0, r.newest).Add(rotationThreshold).Sub(now) / 2
	}
	age = max(min(age, rotationThreshold/2), minJWKSMaxAge)
	return age + rand.N(age/10+1)
}

// Discovery returns the OpenID Connect discovery document of the issuer, a URL; nil when it is empty.
func Discovery(issuer string) *structs.OIDCDiscovery {
	if issuer == "" {
		return nil
	}
	return &structs.OIDCDiscovery{
		Issuer: issuer, JWKS: strings.TrimSuffix(issuer, "/") + "/.well-known/jwks.json",
		IDTokenAlgs:   []string{structs.AlgES256, structs.AlgEdDSA, structs.AlgRS256},
		ResponseTypes: []string{"code"}, Subjects: []string{"public"},
	}
}
