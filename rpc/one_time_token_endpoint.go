package rpc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// oneTimeTTL is how long a one-time token may wait to be exchanged.
const oneTimeTTL = 10 * time.Minute

func (s *Server) registerOneTimeTokenMethods() {
	handle(s, Spec{Name: "ACL.UpsertOneTimeToken"}, s.aclUpsertOneTimeToken)
	handle(s, Spec{Name: "ACL.ExchangeOneTimeToken"}, s.aclExchangeOneTimeToken)
}

// aclUpsertOneTimeToken makes a one-time token for the caller's own. The state holds the caller's secret only in a form
// that the one-time secret opens, which the state does not hold.
func (s *Server) aclUpsertOneTimeToken(c *Call, _ *structs.OneTimeTokenUpsertRequest, reply *structs.OneTimeTokenUpsertResponse) error {
	secret := s.deps.NewUUID()
	aead, err := oneTimeCipher(secret)
	if err != nil {
		return err
	}
	token := &structs.OneTimeToken{
		AccessorID: c.caller.Token.AccessorID, ExpiresAt: c.now.Add(oneTimeTTL).UTC(), SecretHash: structs.HashSecret(secret),
		// The key is never used for anything else, so the nonce need not differ.
		Sealed: aead.Seal(nil, make([]byte, aead.NonceSize()), []byte(c.token), []byte(c.caller.Token.AccessorID)),
	}
	applied, err := s.deps.Raft.Apply(structs.OneTimeTokenUpsertMsg, token)
	if err != nil {
		return fmt.Errorf("store one-time token: %w", err)
	}
	reply.OneTimeToken = &structs.OneTimeToken{
		OneTimeSecretID: secret, AccessorID: token.AccessorID, ExpiresAt: token.ExpiresAt, CreateIndex: applied.Index, ModifyIndex: applied.Index,
	}
	reply.Index = applied.Index
	return nil
}

// aclExchangeOneTimeToken gives the token for which a one-time token stands, once.
func (s *Server) aclExchangeOneTimeToken(c *Call, req *structs.OneTimeTokenExchangeRequest, reply *structs.OneTimeTokenExchangeResponse) error {
	secret := req.OneTimeSecretID
	req.OneTimeSecretID = ""
	if !structs.IsUUID(secret) {
		return structs.ErrPermissionDenied
	}
	mu := s.nodeLocks.of(string(structs.HashSecret(secret))) // of two exchanges at a time one finds nothing
	mu.Lock()
	defer mu.Unlock()
	once, err := c.state().OneTimeTokenBySecretHash(nil, structs.HashSecret(secret))
	if err != nil {
		return fmt.Errorf("look up one-time token: %w", err)
	}
	if once == nil || !once.ExpiresAt.After(c.now) {
		return structs.ErrPermissionDenied
	}
	token, err := c.state().ACLTokenByAccessorID(nil, once.AccessorID)
	if err != nil {
		return fmt.Errorf("look up ACL token %s: %w", once.AccessorID, err)
	}
	if token == nil || token.Expired(c.now) {
		return structs.ErrPermissionDenied
	}
	shown := c.shown(token)
	if shown.SecretID, err = unseal(secret, once); err != nil || !token.SecretMatches(shown.SecretID) {
		return structs.Coded(http.StatusBadRequest, "the one-time token was made by another system and can't be exchanged here")
	}
	applied, err := s.deps.Raft.Apply(structs.OneTimeTokenDeleteMsg, &structs.OneTimeTokenDeleteRequest{
		AccessorIDs: []string{once.AccessorID}, WriteRequest: req.WriteRequest,
	})
	if err != nil {
		return fmt.Errorf("delete one-time token: %w", err)
	}
	reply.Token, reply.Index = shown, applied.Index
	return nil
}

func unseal(secret string, once *structs.OneTimeToken) (string, error) {
	aead, err := oneTimeCipher(secret)
	if err != nil {
		return "", err
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), once.Sealed, []byte(once.AccessorID))
	return string(plain), err
}

// oneTimeCipher encrypts what only who knows the one-time secret may read.
func oneTimeCipher(secret string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "rollcall one-time token", 32)
	if err != nil {
		return nil, fmt.Errorf("derive key of one-time token: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive key of one-time token: %w", err)
	}
	return cipher.NewGCM(block)
}
