package transitserver

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// key is a named key of the engine; version 1 is versions[0].
type key struct {
	versions []cipher.AEAD
	least    int // version that still decrypts
}

func (k *key) rotate() {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		panic(err)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	k.versions = append(k.versions, aead)
}

// refusal is an error with its HTTP status.
type refusal struct {
	code int
	text string
}

func (r refusal) Error() string { return r.text }

func (k *key) serve(w http.ResponseWriter, op string, body map[string]any) {
	var data map[string]any
	var err error
	switch op {
	case "encrypt":
		data, err = k.encryptRequest(body)
	case "decrypt":
		var clear []byte
		if clear, err = k.decryptRequest(body); err == nil {
			data = map[string]any{"plaintext": base64.StdEncoding.EncodeToString(clear)}
		}
	default:
		var clear []byte
		if clear, err = k.decryptRequest(body); err == nil {
			data = k.encrypt(clear)
		}
	}
	var r refusal
	switch {
	case errors.As(err, &r):
		refuse(w, r.code, r.text)
	case err != nil:
		refuse(w, http.StatusInternalServerError, err.Error())
	default:
		answer(w, map[string]any{"data": data})
	}
}

func (k *key) encryptRequest(body map[string]any) (map[string]any, error) {
	text, ok := body["plaintext"].(string)
	if !ok {
		return nil, refusal{http.StatusBadRequest, "missing plaintext to encrypt"}
	}
	clear, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, refusal{http.StatusBadRequest, "failed to base64-decode plaintext"}
	}
	return k.encrypt(clear), nil
}

func (k *key) encrypt(clear []byte) map[string]any {
	version := len(k.versions)
	aead := k.versions[version-1]
	nonce := make([]byte, aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		panic(err)
	}
	sealed := base64.StdEncoding.EncodeToString(aead.Seal(nonce, nonce, clear, nil))
	return map[string]any{"ciphertext": fmt.Sprintf("vault:v%d:%s", version, sealed), "key_version": version}
}

func (k *key) decryptRequest(body map[string]any) ([]byte, error) {
	text, ok := body["ciphertext"].(string)
	if !ok || text == "" {
		return nil, refusal{http.StatusBadRequest, "missing ciphertext to decrypt"}
	}
	rest, ok := strings.CutPrefix(text, "vault:v")
	if !ok {
		return nil, refusal{http.StatusBadRequest, "invalid ciphertext: no prefix"}
	}
	number, encoded, ok := strings.Cut(rest, ":")
	version, err := strconv.Atoi(number)
	switch {
	case !ok:
		return nil, refusal{http.StatusBadRequest, "invalid ciphertext: wrong number of fields"}
	case err != nil || version < 1:
		return nil, refusal{http.StatusBadRequest, "invalid ciphertext: version number could not be decoded"}
	case version > len(k.versions):
		return nil, refusal{http.StatusBadRequest, "invalid ciphertext: version is too new"}
	case version < k.least:
		return nil, refusal{http.StatusBadRequest, "ciphertext or signature version is disallowed by policy (too old)"}
	}
	sealed, err := base64.StdEncoding.DecodeString(encoded)
	aead := k.versions[version-1]
	if err != nil || len(sealed) < aead.NonceSize() {
		return nil, refusal{http.StatusBadRequest, "invalid ciphertext: could not decode base64"}
	}
	clear, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
	if err != nil {
		return nil, fmt.Errorf("1 error occurred: %w", err)
	}
	return clear, nil
}
