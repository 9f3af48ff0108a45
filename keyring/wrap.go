package keyring

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"github.com/hashicorp/go-kms-wrapping/v2/aead"

	"github.com/rollcall-id/rollcall/structs"
)

// ProviderAEAD is the built-in provider: AES-256-GCM with a key-encryption key of 32 bytes.
const ProviderAEAD = "aead"

const (
	kekSize = 32
	// minAEADBlob is nonce and tag; the aead library slices without looking.
	minAEADBlob = 12 + 16
	// providerTimeout bounds one call for one key: a provider that hangs must hold up neither the watcher of the
	// replicated keys nor a rotation for long. Remote providers answer well within a second.
	providerTimeout = 5 * time.Second
)

// WrapperConfig is one provider that wraps and unwraps root keys.
type WrapperConfig struct {
	Provider string // "aead", or the name of what Wrapper is
	Name     string // optional; tells several of one provider apart
	Active   bool   // wraps new keys; exactly one of those configured is

	// KEK is aead's key-encryption key, 32 bytes kept outside the replicated state. Without it every root key
	// gets its own, which is stored in clear beside it: whoever can read a snapshot can then sign.
	KEK []byte

	// Wrapper does the work of any provider besides aead, and must be safe for concurrent use.
	Wrapper wrapping.Wrapper

	// Source says in errors where the provider's key is, as "file /etc/rollcall/kek"; it is no secret.
	Source string
}

// ID returns the provider's ID as stored with what it wrapped: "<provider>" or "<provider>.<name>".
func (c WrapperConfig) ID() string {
	if c.Name == "" {
		return c.Provider
	}
	return c.Provider + "." + c.Name
}

// String hides the key-encryption key.
func (c WrapperConfig) String() string { return describe(c.ID(), c.Source) }

// GoString is String.
func (c WrapperConfig) GoString() string { return c.String() }

// clear reports whether the provider stores what opens a root key beside it.
func (c WrapperConfig) clear() bool { return c.Provider == ProviderAEAD && len(c.KEK) == 0 }

func describe(id, source string) string {
	if source == "" {
		return "keyring provider " + id
	}
	return "keyring provider " + id + " (" + source + ")"
}

// wrapperSet is the configured providers.
type wrapperSet struct {
	active WrapperConfig
	byID   map[string]WrapperConfig
}

func newWrapperSet(configs []WrapperConfig) (*wrapperSet, error) {
	if len(configs) == 0 {
		configs = []WrapperConfig{{Provider: ProviderAEAD, Active: true}}
	}
	s := &wrapperSet{byID: make(map[string]WrapperConfig, len(configs))}
	var errs []error
	active := 0
	for _, c := range configs {
		switch {
		case c.Provider == ProviderAEAD && c.Wrapper != nil:
			errs = append(errs, fmt.Errorf("%v: aead is built in and takes no other implementation", c))
		case c.Provider == ProviderAEAD && len(c.KEK) != 0 && len(c.KEK) != kekSize:
			errs = append(errs, fmt.Errorf("%v: key-encryption key has %d bytes; want %d", c, len(c.KEK), kekSize))
		case c.Provider != ProviderAEAD && c.Wrapper == nil:
			errs = append(errs, fmt.Errorf("%v: not built in", c))
		}
		if _, twice := s.byID[c.ID()]; twice {
			errs = append(errs, fmt.Errorf("%v: configured twice; give them different names", c))
		}
		s.byID[c.ID()] = c
		if c.Active {
			s.active = c
			active++
		}
	}
	if active != 1 {
		errs = append(errs, fmt.Errorf("%d keyring providers are active; want exactly one", active))
	}
	return s, errors.Join(errs...)
}

// wrap returns the material as wrapped by the active provider.
func (s *wrapperSet) wrap(ctx context.Context, keyID string, m *material) (*structs.WrappedKey, error) {
	c := s.active
	out := &structs.WrappedKey{Provider: c.Provider, ProviderID: c.ID()}
	w, kek := c.Wrapper, c.KEK
	if c.Provider == ProviderAEAD {
		if len(kek) == 0 {
			kek = make([]byte, kekSize)
			if _, err := rand.Read(kek); err != nil {
				return nil, fmt.Errorf("generate key-encryption key: %w", err)
			}
			out.KeyEncryptionKey = kek
		}
		var err error
		if w, err = aeadWrapper(ctx, keyID, kek); err != nil {
			return nil, err
		}
	}
	for _, part := range []struct {
		clear []byte
		to    **structs.BlobInfo
	}{{m.dek, &out.WrappedDataEncryptionKey}, {m.rsa, &out.WrappedRSAKey}, {m.ec, &out.WrappedECKey}} {
		if len(part.clear) == 0 {
			continue
		}
		blob, err := w.Encrypt(ctx, part.clear)
		if err != nil {
			return nil, fmt.Errorf("wrap root key %s by %v: %w", keyID, c, err)
		}
		*part.to = fromBlob(blob)
	}
	return out, nil
}

func aeadWrapper(ctx context.Context, keyID string, kek []byte) (wrapping.Wrapper, error) {
	w := aead.NewWrapper()
	if _, err := w.SetConfig(ctx, wrapping.WithKeyId(keyID)); err != nil {
		return nil, fmt.Errorf("prepare aead provider: %w", err)
	}
	if err := w.SetAesGcmKeyBytes(kek); err != nil {
		return nil, fmt.Errorf("prepare aead provider: key-encryption key of %d bytes: %w", len(kek), err)
	}
	return w, nil
}

// unwrap tries all wrapped copies of a key at once and returns the first that opens.
func (s *wrapperSet) unwrap(ctx context.Context, root *structs.RootKey) (*material, error) {
	type result struct {
		m   *material
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result, len(root.WrappedKeys))
	copies := 0
	for _, wk := range root.WrappedKeys {
		if wk == nil || wk.WrappedDataEncryptionKey == nil {
			continue
		}
		copies++
		go func() {
			m, err := s.unwrapCopy(ctx, root.KeyID, wk)
			if err == nil && ctx.Err() != nil { // another copy was faster
				m.wipe()
				m, err = nil, ctx.Err()
			}
			results <- result{m, err}
		}()
	}
	if copies == 0 {
		return nil, ErrNoMaterial
	}
	var errs []error
	for range copies {
		select {
		case r := <-results:
			if r.err == nil {
				return r.m, nil
			}
			errs = append(errs, r.err)
		case <-ctx.Done():
			return nil, fmt.Errorf("unwrap root key: %w", context.Cause(ctx))
		}
	}
	return nil, copyErrors(errs)
}

func (s *wrapperSet) unwrapCopy(ctx context.Context, keyID string, wk *structs.WrappedKey) (_ *material, err error) {
	id := wk.ProviderID
	if id == "" {
		id = ProviderAEAD
	}
	c, configured := s.byID[id]
	w := c.Wrapper
	isAEAD := w == nil
	by := describe(id, c.Source)
	if isAEAD {
		kek := wk.KeyEncryptionKey
		if len(kek) > 0 {
			by = describe(id, "with the key-encryption key beside it")
		} else {
			kek = c.KEK
		}
		switch {
		case len(kek) == 0 && !configured:
			return nil, fmt.Errorf("unwrap by %s: not configured on this server", by)
		case len(kek) == 0:
			return nil, fmt.Errorf("unwrap by %s: the root key carries no key-encryption key and none is configured", by)
		}
		if w, err = aeadWrapper(ctx, keyID, kek); err != nil {
			return nil, err
		}
	}
	m := &material{}
	defer func() {
		if err != nil {
			m.wipe()
		}
	}()
	for _, part := range []struct {
		what string
		blob *structs.BlobInfo
		to   *[]byte
	}{
		{"data encryption key", wk.WrappedDataEncryptionKey, &m.dek},
		{"RSA key", wk.WrappedRSAKey, &m.rsa},
		{"P-256 key", wk.WrappedECKey, &m.ec},
	} {
		if part.blob == nil || len(part.blob.Ciphertext) == 0 && isAEAD {
			continue
		}
		if isAEAD && len(part.blob.Ciphertext) < minAEADBlob {
			return nil, fmt.Errorf("unwrap %s by %s: ciphertext is cut short", part.what, by)
		}
		if *part.to, err = w.Decrypt(ctx, toBlob(part.blob)); err != nil && isAEAD {
			return nil, fmt.Errorf("unwrap %s by %s: this is not the key that wrapped it, or it was changed: %w", part.what, by, err)
		} else if err != nil {
			return nil, fmt.Errorf("unwrap %s by %s: %w", part.what, by, err)
		}
	}
	return m, nil
}

// toBlob and fromBlob convert the envelope. Left out is what it has for callers' own use (Plaintext, Wrapped,
// ValuePath, ClientData) and, on the way into the replicated state, a key in clear.
func toBlob(b *structs.BlobInfo) *wrapping.BlobInfo {
	out := &wrapping.BlobInfo{Ciphertext: b.Ciphertext, Iv: b.Iv, Hmac: b.Hmac}
	if ki := b.KeyInfo; ki != nil {
		out.KeyInfo = &wrapping.KeyInfo{Mechanism: ki.Mechanism, HmacMechanism: ki.HmacMechanism, KeyId: ki.KeyId,
			HmacKeyId: ki.HmacKeyId, WrappedKey: ki.WrappedKey, Flags: ki.Flags, KeyType: wrapping.KeyType(ki.KeyType),
			Key: ki.Key, KeyEncoding: wrapping.KeyEncoding(ki.KeyEncoding),
			WrappedKeyEncoding: wrapping.KeyEncoding(ki.WrappedKeyEncoding)}
		for _, p := range ki.KeyPurposes {
			out.KeyInfo.KeyPurposes = append(out.KeyInfo.KeyPurposes, wrapping.KeyPurpose(p))
		}
	}
	return out
}

func fromBlob(b *wrapping.BlobInfo) *structs.BlobInfo {
	out := &structs.BlobInfo{Ciphertext: b.GetCiphertext(), Iv: b.GetIv(), Hmac: b.GetHmac()}
	if ki := b.GetKeyInfo(); ki != nil {
		out.KeyInfo = &structs.KeyInfo{Mechanism: ki.Mechanism, HmacMechanism: ki.HmacMechanism, KeyId: ki.KeyId,
			HmacKeyId: ki.HmacKeyId, WrappedKey: ki.WrappedKey, Flags: ki.Flags, KeyType: int32(ki.KeyType),
			KeyEncoding: int32(ki.KeyEncoding), WrappedKeyEncoding: int32(ki.WrappedKeyEncoding)}
		for _, p := range ki.KeyPurposes {
			out.KeyInfo.KeyPurposes = append(out.KeyInfo.KeyPurposes, int32(p))
		}
	}
	return out
}

// KeySpec says which root key to make. The caller decides all of it.
type KeySpec struct {
	ID          string // random UUID
	Now         time.Time
	State       structs.KeyState // structs.KeyStateActive or KeyStatePrepublished
	PublishTime time.Time        // of a prepublished key
	Algorithm   string           // empty: the configured one
}

// NewRootKey makes a new key, wrapped, for the caller to replicate. It is not loaded by this: Set does that once
// it is committed. Making an RS256 key takes up to a second of CPU time.
func (k *Keyring) NewRootKey(spec KeySpec) (*structs.RootKey, error) {
	alg := spec.Algorithm
	if alg == "" {
		alg = k.algorithm
	}
	root := &structs.RootKey{
		KeyID: spec.ID, Algorithm: structs.EncryptionAlgorithmAES256GCM, SigningAlgorithm: alg,
		CreateTime: spec.Now.UnixNano(), State: spec.State,
	}
	if !spec.PublishTime.IsZero() {
		root.PublishTime = spec.PublishTime.UnixNano()
	}
	if err := root.Validate(); err != nil {
		return nil, fmt.Errorf("make root key: %w", err)
	}
	m, err := generate(alg)
	if err != nil {
		return nil, fmt.Errorf("make root key %s: %w", spec.ID, err)
	}
	defer m.wipe()
	ctx, cancel := context.WithTimeout(context.Background(), providerTimeout)
	defer cancel()
	wrapped, err := k.wrappers.wrap(ctx, spec.ID, m)
	if err != nil {
		return nil, err
	}
	root.WrappedKeys = []*structs.WrappedKey{wrapped}
	return root, nil
}
