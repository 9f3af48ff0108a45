package structs

import (
	"fmt"
	"time"
)

// KeyState is the lifecycle state of a root key (wire.md §4.4).
type KeyState string

const (
	KeyStateActive       KeyState = "active"
	KeyStateInactive     KeyState = "inactive"
	KeyStateRekeying     KeyState = "rekeying"
	KeyStatePrepublished KeyState = "prepublished"
	// KeyStateDeprecated is written by old versions only: collected like inactive, not published.
	KeyStateDeprecated KeyState = "deprecated"
)

// Valid reports whether s is one of the known states.
func (s KeyState) Valid() bool {
	switch s {
	case KeyStateActive, KeyStateInactive, KeyStateRekeying, KeyStatePrepublished, KeyStateDeprecated:
		return true
	}
	return false
}

// EncryptionAlgorithmAES256GCM is the only algorithm of the symmetric half of a root key.
const EncryptionAlgorithmAES256GCM = "aes256-gcm"

// Signing algorithms a root key can have; a key has exactly one.
const (
	AlgES256 = "ES256"
	AlgEdDSA = "EdDSA"
	AlgRS256 = "RS256"
)

// RootKey is one replicated key: its metadata and its material, wrapped (wire.md §4.1).
type RootKey struct {
	KeyID       string
	Algorithm   string // of the symmetric half: aes256-gcm
	CreateTime  int64  // Unix ns
	CreateIndex uint64
	ModifyIndex uint64
	State       KeyState
	PublishTime int64 // Unix ns; 0 unless prepublished
	WrappedKeys []*WrappedKey

	// SigningAlgorithm is ours; empty on keys from elsewhere, whose algorithm follows from their material.
	SigningAlgorithm string
}

// WrappedKey is the key's material wrapped by one provider.
type WrappedKey struct {
	Provider                 string
	ProviderID               string // "<provider>" or "<provider>.<name>"; empty means "aead"
	WrappedDataEncryptionKey *BlobInfo
	WrappedRSAKey            *BlobInfo // PKCS#1 DER
	KeyEncryptionKey         []byte    // the aead provider's wrapping key when no key outside of state was configured

	// WrappedECKey is ours: the P-256 private key of an ES256 key, as PKCS#8 DER.
	WrappedECKey *BlobInfo
}

// BlobInfo is the envelope that the key-wrapping library writes, field for field.
type BlobInfo struct {
	Ciphertext []byte   `json:"ciphertext,omitempty"`
	Iv         []byte   `json:"iv,omitempty"`
	Hmac       []byte   `json:"hmac,omitempty"`
	Wrapped    bool     `json:"wrapped,omitempty"`
	Plaintext  []byte   `json:"plaintext,omitempty"`
	KeyInfo    *KeyInfo `json:"key_info,omitempty"`
	ValuePath  string   `json:"value_path,omitempty"`
	ClientData Raw      `json:"client_data,omitempty"`
}

// KeyInfo says which key and mechanism made a BlobInfo.
type KeyInfo struct {
	Mechanism          uint64  `json:"mechanism,omitempty"`
	HmacMechanism      uint64  `json:"hmac_mechanism,omitempty"`
	KeyId              string  `json:"key_id,omitempty"` // the wire's spelling
	HmacKeyId          string  `json:"hmac_key_id,omitempty"`
	WrappedKey         []byte  `json:"wrapped_key,omitempty"`
	Flags              uint64  `json:"flags,omitempty"`
	KeyType            int32   `json:"key_type,omitempty"`
	KeyPurposes        []int32 `json:"key_purposes,omitempty"`
	Key                []byte  `json:"key,omitempty"`
	KeyEncoding        int32   `json:"key_encoding,omitempty"`
	WrappedKeyEncoding int32   `json:"wrapped_key_encoding,omitempty"`
}

// RootKeyMeta is a root key without its material, as the API and old logs carry it.
type RootKeyMeta struct {
	KeyID       string
	Algorithm   string
	CreateTime  int64
	CreateIndex uint64
	ModifyIndex uint64
	State       KeyState
	PublishTime int64
}

// UnwrappedRootKey is key material in clear; it crosses the wire between servers only and is never stored.
type UnwrappedRootKey struct {
	Meta   *RootKeyMeta
	Key    []byte // 32 bytes
	RSAKey []byte // PKCS#1 DER, empty for keys without
}

// Meta returns the key without its material.
func (k *RootKey) Meta() *RootKeyMeta {
	return &RootKeyMeta{
		KeyID: k.KeyID, Algorithm: k.Algorithm, CreateTime: k.CreateTime, CreateIndex: k.CreateIndex,
		ModifyIndex: k.ModifyIndex, State: k.State, PublishTime: k.PublishTime,
	}
}

// RootKey returns a key that has the metadata and no material.
func (m *RootKeyMeta) RootKey() *RootKey {
	return &RootKey{
		KeyID: m.KeyID, Algorithm: m.Algorithm, CreateTime: m.CreateTime, CreateIndex: m.CreateIndex,
		ModifyIndex: m.ModifyIndex, State: m.State, PublishTime: m.PublishTime,
	}
}

// Created returns the creation time in UTC.
func (k *RootKey) Created() time.Time { return time.Unix(0, k.CreateTime).UTC() }

// IsActive, IsInactive, IsRekeying and IsPrepublished report the key's state; IsInactive includes the legacy
// deprecated state, which is collected alike.
func (k *RootKey) IsActive() bool { return k.State == KeyStateActive }
func (k *RootKey) IsInactive() bool {
	return k.State == KeyStateInactive || k.State == KeyStateDeprecated
}
func (k *RootKey) IsRekeying() bool     { return k.State == KeyStateRekeying }
func (k *RootKey) IsPrepublished() bool { return k.State == KeyStatePrepublished }

// Validate reports what is wrong with a key that is about to be stored.
func (k *RootKey) Validate() error {
	switch {
	case k == nil:
		return fmt.Errorf("root key is missing")
	case !IsUUID(k.KeyID):
		return fmt.Errorf("root key ID %q is not a UUID", k.KeyID)
	case k.Algorithm != EncryptionAlgorithmAES256GCM:
		return fmt.Errorf("root key algorithm %q is not supported; want %q", k.Algorithm, EncryptionAlgorithmAES256GCM)
	case !k.State.Valid():
		return fmt.Errorf("root key state %q is not known", k.State)
	case k.IsPrepublished() && k.PublishTime == 0:
		return fmt.Errorf("prepublished root key %s has no publish time", k.KeyID)
	}
	return nil
}

// Copy returns a deep copy.
func (k *RootKey) Copy() *RootKey {
	if k == nil {
		return nil
	}
	c := *k
	if k.WrappedKeys != nil {
		c.WrappedKeys = make([]*WrappedKey, len(k.WrappedKeys))
		for i, w := range k.WrappedKeys {
			c.WrappedKeys[i] = w.Copy()
		}
	}
	return &c
}

// Copy returns a deep copy.
func (w *WrappedKey) Copy() *WrappedKey {
	if w == nil {
		return nil
	}
	c := *w
	c.WrappedDataEncryptionKey = w.WrappedDataEncryptionKey.Copy()
	c.WrappedRSAKey = w.WrappedRSAKey.Copy()
	c.WrappedECKey = w.WrappedECKey.Copy()
	c.KeyEncryptionKey = cloneBytes(w.KeyEncryptionKey)
	return &c
}

// Copy returns a deep copy.
func (b *BlobInfo) Copy() *BlobInfo {
	if b == nil {
		return nil
	}
	c := *b
	c.Ciphertext, c.Iv, c.Hmac = cloneBytes(b.Ciphertext), cloneBytes(b.Iv), cloneBytes(b.Hmac)
	c.Plaintext = cloneBytes(b.Plaintext)
	c.ClientData = Raw(cloneBytes(b.ClientData))
	if b.KeyInfo != nil {
		ki := *b.KeyInfo
		ki.WrappedKey, ki.Key = cloneBytes(ki.WrappedKey), cloneBytes(ki.Key)
		if ki.KeyPurposes != nil {
			ki.KeyPurposes = append(make([]int32, 0, len(ki.KeyPurposes)), ki.KeyPurposes...)
		}
		c.KeyInfo = &ki
	}
	return &c
}

// RootKeyUpsertRequest is Raft type 62.
type RootKeyUpsertRequest struct {
	WrappedRootKeys *RootKey
	Rekey           bool
	WriteRequest

	// IfIndex is ours: if it is not 0, the key must be there with this ModifyIndex, or nothing changes.
	IfIndex uint64
}

// RootKeyMetaUpsertRequest is Raft type 51, written by old versions.
type RootKeyMetaUpsertRequest struct {
	RootKeyMeta *RootKeyMeta
	Rekey       bool
	WriteRequest
}

// KeyringDeleteRequest is Keyring.Delete and Raft type 52. Force lifts the check for records that the key
// encrypts; a key that a live identity was signed with is never deleted.
type KeyringDeleteRequest struct {
	KeyID string
	Force bool
	WriteRequest

	// At is ours: the proposer's time in Unix seconds, at which the use of the key is checked once more as the
	// command is applied. 0, as other writers leave it, means that the proposer has checked.
	At int64
}

// KeyringRotateRequest is Keyring.Rotate.
type KeyringRotateRequest struct {
	Algorithm   string
	Full        bool
	PublishTime int64 // Unix ns; not 0 pre-publishes
	WriteRequest
}

// KeyringRotateResponse carries the new key.
type KeyringRotateResponse struct {
	Key *RootKeyMeta
	WriteMeta
}

// KeyringListResponse is the reply of Keyring.List, sorted by key ID.
type KeyringListResponse struct {
	Keys []*RootKeyMeta
	QueryMeta
}

// PublicKey is one verification key of Keyring.ListPublic.
type PublicKey struct {
	KeyID      string
	PublicKey  []byte // PKCS#1 DER for RS256, 32 raw bytes for EdDSA, PKIX DER for ES256
	Algorithm  string
	Use        string // "sig"
	CreateTime int64  // Unix ns
}

// KeyringListPublicResponse is the reply of Keyring.ListPublic, sorted by key ID.
type KeyringListPublicResponse struct {
	PublicKeys        []*PublicKey
	RotationThreshold time.Duration
	QueryMeta
}

// OIDCDiscovery is the OpenID Connect discovery document (wire.md §4.5).
type OIDCDiscovery struct {
	Issuer        string   `json:"issuer"`
	JWKS          string   `json:"jwks_uri"`
	IDTokenAlgs   []string `json:"id_token_signing_alg_values_supported"`
	ResponseTypes []string `json:"response_types_supported"`
	Subjects      []string `json:"subject_types_supported"`
}

// KeyringGetConfigResponse is the reply of Keyring.GetConfig; nil when no issuer is configured.
type KeyringGetConfigResponse struct {
	OIDCDiscovery *OIDCDiscovery
	QueryMeta
}
