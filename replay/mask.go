package replay

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rollcall-id/rollcall/structs"
)

// Masked stands for what is secret.
const Masked = "[masked]"

// maxShownBinary is how many bytes of a value that is no text are shown: hashes are, ciphertext isn't.
const maxShownBinary = 64

// secretParts are what names of secrets contain, in lower case and without underscores and dashes.
var secretParts = []string{"secret", "token", "password", "passwd", "passphrase", "credential", "privatekey", "apikey",
	"accesskey", "encryptionkey", "wrappedkey", "sealed"}

// secretNames are whole names of secrets, written alike. env holds a job's variables, whatever their names.
var secretNames = map[string]bool{
	"key": true, "rsakey": true, "dek": true, "kek": true, "wrappeddek": true, "plaintext": true, "ciphertext": true,
	"iv": true, "hmac": true, "wrappedrsakey": true, "wrappedeckey": true, "env": true,
}

// openContainers have a secret's name, but hold records of which these fields are public.
var openContainers = map[string]map[string]bool{
	"token": publicInTokens, "tokens": publicInTokens,
	"wrappedkeys": {"Provider": true, "ProviderID": true},
}

var publicInTokens = map[string]bool{
	"AccessorID": true, "Name": true, "Type": true, "Policies": true, "Global": true, "CreateTime": true,
	"ExpirationTime": true, "ExpirationTTL": true, "CreateIndex": true, "ModifyIndex": true,
}

func plainName(name string) string {
	return strings.NewReplacer("_", "", "-", "", ".", "").Replace(strings.ToLower(name))
}

func secretName(plain string) bool {
	if secretNames[plain] {
		return true
	}
	for _, part := range secretParts {
		if strings.Contains(plain, part) {
			return true
		}
	}
	return false
}

var errBody = errors.New("the body is not one msgpack value that can be decoded")

// MaskBody decodes a msgpack value into what encoding/json takes, with everything that is named like a secret replaced
// by Masked: secret IDs and their hashes, tokens, wrapped keys and what wraps them, passwords, environments. Values that
// are empty stay so. Neither result nor error holds a secret.
func MaskBody(body []byte) (any, error) {
	if _, err := structs.CheckMsgpack(body, structs.Limits{}); err != nil {
		return nil, fmt.Errorf("%w: %w", errBody, err)
	}
	var v any
	if err := structs.Decode(body, &v); err != nil {
		return nil, errBody // what the decoder says may quote the body
	}
	return show(v), nil
}

// show returns v as JSON can say it, with secrets masked.
func show(v any) any {
	switch t := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(t))
		for k, e := range t {
			plain := plainName(k)
			switch public, open := openContainers[plain]; {
			case open:
				out[k] = hide(e, public)
			case secretName(plain):
				out[k] = hide(e, nil)
			default:
				out[k] = show(e)
			}
		}
		return out
	case []any:
		out := make([]any, len(t))
		for i, e := range t {
			out[i] = show(e)
		}
		return out
	case string:
		return showString(t)
	case []byte:
		return showString(string(t))
	case float64:
		return showFloat(t)
	case float32:
		return showFloat(float64(t))
	case nil, bool, int64, uint64:
		return t
	case time.Time:
		return t.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprintf("[%T]", v) // an extension, whose content has no names
}

// hide masks everything in v that is not empty, except for the fields of its records that are public.
func hide(v any, public map[string]bool) any {
	switch t := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(t))
		for k, e := range t {
			if public[k] {
				out[k] = show(e)
			} else {
				out[k] = hide(e, nil)
			}
		}
		return out
	case []any:
		out := make([]any, len(t))
		for i, e := range t {
			out[i] = hide(e, public)
		}
		return out
	case string:
		if t == "" {
			return t
		}
	case []byte:
		if len(t) == 0 {
			return ""
		}
	case nil, bool:
		return t
	}
	return Masked
}

func showFloat(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Sprint(f)
	}
	return f
}

// showString shows text as it is, the binary times of wire.md §1.4 as RFC 3339, and other bytes in hexadecimal if they
// are few.
func showString(s string) string {
	if (len(s) == 15 || len(s) == 16) && (s[0] == 1 || s[0] == 2) {
		var t time.Time
		if t.UnmarshalBinary([]byte(s)) == nil {
			return t.UTC().Format(time.RFC3339Nano)
		}
	}
	switch {
	case utf8.ValidString(s):
		return s
	case len(s) <= maxShownBinary:
		return "0x" + hex.EncodeToString([]byte(s))
	}
	return fmt.Sprintf("[%d bytes]", len(s))
}

// maskedJSON is MaskBody as JSON.
func maskedJSON(body []byte) (json.RawMessage, error) {
	v, err := MaskBody(body)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, errBody
	}
	return b, nil
}
