package httpapi

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// minKeyAge is the shortest time that verifiers are told to keep the keys (wire.md §4.5).
const minKeyAge = 15 * time.Minute

// jwk is one public key (RFC 7517, RFC 7518 §6, RFC 8037 §2).
type jwk struct {
	Use string `json:"use"`
	Kty string `json:"kty"`
	Kid string `json:"kid"`
	Crv string `json:"crv,omitempty"`
	Alg string `json:"alg"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
}

type jwks struct {
	Keys []jwk `json:"keys"`
}

func getJWKS(c *call) (any, error) {
	var out structs.KeyringListPublicResponse
	if err := c.readAnyServer("Keyring.ListPublic", &out); err != nil {
		return nil, err
	}
	set := jwks{Keys: []jwk{}}
	for _, k := range out.PublicKeys {
		key, err := newJWK(k)
		if err != nil { // one odd key must not hide the others
			c.log.Warn("public key left out of JWKS", "key_id", k.KeyID, "error", err)
			continue
		}
		set.Keys = append(set.Keys, key)
	}
	age := c.keyMaxAge(out.PublicKeys, out.RotationThreshold)
	c.w.Header().Set("Cache-Control", "max-age="+strconv.FormatInt(int64(age/time.Second), 10))
	return &set, nil
}

func getOpenIDConfiguration(c *call) (any, error) {
	var out structs.KeyringGetConfigResponse
	if err := c.readAnyServer("Keyring.GetConfig", &out); err != nil {
		return nil, err
	}
	if out.OIDCDiscovery == nil {
		return nil, fail(http.StatusNotFound, "OIDC Discovery endpoint disabled")
	}
	return out.OIDCDiscovery, nil
}

// readAnyServer asks the leader, which knows a new key first, and any server while there is no leader: identities must
// stay verifiable throughout an election.
func (c *call) readAnyServer(method string, out any) error {
	err := c.read(method, &structs.GenericRequest{}, out)
	if errors.Is(err, structs.ErrNoLeader) || errors.Is(err, structs.ErrNotReady) {
		c.query.Set("stale", "true")
		err = c.read(method, &structs.GenericRequest{}, out)
	}
	return err
}

// keyMaxAge is half the time until the newest key is due to be replaced, and up to a tenth more so that verifiers don't
// all come back at once. A key from a clock that was ahead does not make it longer than a new one does.
func (c *call) keyMaxAge(keys []*structs.PublicKey, threshold time.Duration) time.Duration {
	var newest int64
	for _, k := range keys {
		newest = max(newest, k.CreateTime)
	}
	left := min(time.Unix(0, newest).Add(threshold).Sub(c.now()), threshold)
	age := max(left/2, minKeyAge)
	return age + c.jitter(age/10)
}

func newJWK(k *structs.PublicKey) (jwk, error) {
	out := jwk{Use: k.Use, Kid: k.KeyID, Alg: k.Algorithm}
	b64 := base64.RawURLEncoding.EncodeToString
	switch k.Algorithm {
	case structs.AlgRS256:
		pub, err := x509.ParsePKCS1PublicKey(k.PublicKey)
		if err != nil {
			return jwk{}, fmt.Errorf("parse RSA public key: %w", err)
		}
		out.Kty, out.N, out.E = "RSA", b64(pub.N.Bytes()), b64(big.NewInt(int64(pub.E)).Bytes())
	case structs.AlgEdDSA:
		if len(k.PublicKey) != ed25519.PublicKeySize {
			return jwk{}, fmt.Errorf("ed25519 public key has %d bytes, not %d", len(k.PublicKey), ed25519.PublicKeySize)
		}
		out.Kty, out.Crv, out.X = "OKP", "Ed25519", b64(k.PublicKey)
	case structs.AlgES256:
		pub, err := x509.ParsePKIXPublicKey(k.PublicKey)
		if err != nil {
			return jwk{}, fmt.Errorf("parse EC public key: %w", err)
		}
		ec, ok := pub.(*ecdsa.PublicKey)
		if !ok || ec.Curve != elliptic.P256() {
			return jwk{}, errors.New("public key is not on the curve P-256")
		}
		point, err := ec.Bytes() // 0x04, then x and y at full width
		if err != nil {
			return jwk{}, fmt.Errorf("encode EC public key: %w", err)
		}
		out.Kty, out.Crv, out.X, out.Y = "EC", "P-256", b64(point[1:33]), b64(point[33:65])
	default:
		return jwk{}, fmt.Errorf("signing algorithm %q is not known", k.Algorithm)
	}
	return out, nil
}
