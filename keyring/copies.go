package keyring

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// copyProbes bounds how many copies are tried at a time.
const copyProbes = 16

// probe is how the last try of a wrapped copy ended.
type probe struct {
	keyID string
	err   error // nil: it opens and holds the key
	at    time.Time
}

// copyID names a wrapped copy by what is stored. A key-encryption key beside it is not part of it.
func copyID(keyID string, w *structs.WrappedKey) string {
	h := sha256.New()
	part := func(b []byte) { fmt.Fprintf(h, "%d:%s", len(b), b) } // a hash never fails
	part([]byte(keyID))
	part([]byte(w.ProviderID))
	for _, b := range []*structs.BlobInfo{w.WrappedDataEncryptionKey, w.WrappedRSAKey, w.WrappedECKey} {
		if b == nil {
			b = &structs.BlobInfo{}
		}
		part(b.Ciphertext)
		part(b.Iv)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// ProviderOf names the provider that made the wrapped copy.
func ProviderOf(w *structs.WrappedKey) string {
	if w.ProviderID == "" {
		return ProviderAEAD
	}
	return w.ProviderID
}

// Status says of every key whether it is loaded, and tries each of its wrapped copies by itself, at the latest until ctx
// ends. A copy that was found good is not tried again, one that was not after a second.
func (k *Keyring) Status(ctx context.Context) []*structs.RootKeyStatus {
	k.mu.Lock()
	var out []*structs.RootKeyStatus
	roots := map[string]*structs.RootKey{}
	for _, id := range slices.Sorted(maps.Keys(k.entries)) {
		e := k.entries[id]
		s := &structs.RootKeyStatus{KeyID: id, State: e.root.State, Loaded: e.key != nil}
		if e.err != nil {
			s.Error = e.err.Error()
		}
		roots[id] = e.root
		out = append(out, s)
	}
	k.mu.Unlock()

	var wg sync.WaitGroup
	slots := make(chan struct{}, copyProbes)
	for _, s := range out {
		for _, w := range roots[s.KeyID].WrappedKeys {
			if w == nil {
				continue
			}
			c := &structs.RootKeyCopy{ID: copyID(s.KeyID, w), ProviderID: ProviderOf(w), Clear: len(w.KeyEncryptionKey) > 0}
			s.Copies = append(s.Copies, c)
			wg.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				if err := k.tryCopy(ctx, roots[s.KeyID], w); err != nil {
					c.Error = err.Error()
				} else {
					c.Readable = true
				}
			})
		}
	}
	wg.Wait()
	return out
}

// tryCopy returns nil if the copy opens by itself and holds the key that is loaded, if one is.
func (k *Keyring) tryCopy(ctx context.Context, root *structs.RootKey, w *structs.WrappedKey) error {
	id := copyID(root.KeyID, w)
	now := k.clock()
	k.mu.Lock()
	p, tried := k.probes[id]
	k.mu.Unlock()
	if tried && (p.err == nil || now.Sub(p.at).Abs() < retryMin) {
		return p.err
	}
	alone := *root
	alone.WrappedKeys = []*structs.WrappedKey{w}
	opened, err := k.open(ctx, &alone)
	if err == nil {
		err = k.sameAsLoaded(opened)
		opened.wipe()
	}
	if ctx.Err() != nil {
		return err // which says nothing about the copy
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.probes[id] = probe{keyID: root.KeyID, err: err, at: now}
	return err
}

var errOtherKey = errors.New("it holds another key than the one in use under this ID")

func (k *Keyring) sameAsLoaded(opened *key) error {
	loaded := k.current.Load().keys[opened.id]
	if loaded != nil && (loaded.alg != opened.alg || !bytes.Equal(loaded.pubDER, opened.pubDER)) {
		return errOtherKey
	}
	return nil
}

// forgetProbes drops what is known of the copies of keys that are gone. The caller holds mu.
func (k *Keyring) forgetProbes() {
	maps.DeleteFunc(k.probes, func(_ string, p probe) bool { return k.entries[p.keyID] == nil })
}

// Providers are the configured providers, sorted by ID.
func (k *Keyring) Providers() []*structs.KeyringProvider {
	var out []*structs.KeyringProvider
	for _, id := range slices.Sorted(maps.Keys(k.wrappers.byID)) {
		c := k.wrappers.byID[id]
		out = append(out, &structs.KeyringProvider{ID: id, Active: c.Active, Clear: c.clear(), Check: checkOf(c.KEK)})
	}
	return out
}

// checkOf tells key-encryption keys apart; from a key of 256 random bits it gives away nothing else.
func checkOf(kek []byte) string {
	if len(kek) == 0 {
		return ""
	}
	mac := hmac.New(sha256.New, kek)
	mac.Write([]byte("rollcall key-encryption key check"))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}
