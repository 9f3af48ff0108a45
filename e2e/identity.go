package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.etcd.io/bbolt"

	"github.com/rollcall-id/rollcall/structs"
)

// ReadIdentity returns the signed identity in an agent's state directory, for a program on the same machine that may read it.
// The agent holds a lock on the file, so a copy is read.
func ReadIdentity(stateDir string) (string, error) {
	copied, err := copyFile(filepath.Join(stateDir, "state.db"))
	if err != nil {
		return "", fmt.Errorf("copy client state: %w", err)
	}
	defer os.Remove(copied)
	db, err := bbolt.Open(copied, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return "", fmt.Errorf("open copy of client state: %w", err)
	}
	defer db.Close()
	var record struct{ SignedIdentity string }
	err = db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("node_identity"))
		if b == nil {
			return errors.New("there is no identity yet")
		}
		return structs.Decode(b.Get([]byte("node_identity_state")), &record)
	})
	if err != nil {
		return "", fmt.Errorf("read identity in %s: %w", stateDir, err)
	}
	return record.SignedIdentity, nil
}

func copyFile(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp("", "rollcall-state-*.db")
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
	}
	return f.Name(), err
}

// Token is an identity as its holder can read it, unverified.
type Token struct {
	Raw       string
	KeyID     string
	Algorithm string
	NodeID    string
	IssuedAt  time.Time
	Expiry    time.Time
}

// ParseToken reads an identity without verifying it.
func ParseToken(raw string) (Token, error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return Token{}, fmt.Errorf("an identity has three parts, this one %d", len(parts))
	}
	var header struct{ Alg, Kid string }
	var claims struct {
		NodeID   string `json:"nomad_node_id"`
		IssuedAt int64  `json:"iat"`
		Expiry   int64  `json:"exp"`
	}
	if err := errors.Join(decodePart(parts[0], &header), decodePart(parts[1], &claims)); err != nil {
		return Token{}, fmt.Errorf("read identity: %w", err)
	}
	return Token{
		Raw: raw, KeyID: header.Kid, Algorithm: header.Alg, NodeID: claims.NodeID,
		IssuedAt: time.Unix(claims.IssuedAt, 0), Expiry: time.Unix(claims.Expiry, 0),
	}, nil
}

func decodePart(part string, out any) error {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// Verifier is somebody else, who knows the issuer's address and nothing more: it finds the keys by OIDC discovery and trusts
// what they have signed.
type Verifier struct{ verifier *oidc.IDTokenVerifier }

// NewVerifier reads the issuer's discovery document.
func NewVerifier(ctx context.Context, issuer string) (*Verifier, error) {
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, fmt.Errorf("discover issuer %s: %w", issuer, err)
	}
	return &Verifier{provider.Verifier(&oidc.Config{ClientID: structs.IdentityAudience})}, nil
}

// Verify checks signature, issuer, audience and times of an identity and returns its claims. Keys that the verifier has not
// seen are fetched.
func (v *Verifier) Verify(ctx context.Context, raw string) (map[string]any, error) {
	token, err := v.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("verify identity: %w", err)
	}
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return nil, fmt.Errorf("read claims: %w", err)
	}
	return claims, nil
}
