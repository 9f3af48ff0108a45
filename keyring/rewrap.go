package keyring

import (
	"context"
	"fmt"
	"slices"

	"github.com/rollcall-id/rollcall/structs"
)

// Target is what keys are moved to: the active provider and, where a service has versions of its key, the version that wraps
// now.
type Target struct {
	ProviderID string
	keyVersion string
}

// Target finds out what the active provider wraps with now, which for one that is elsewhere takes a call to it.
func (k *Keyring) Target(ctx context.Context) (Target, error) {
	c := k.wrappers.active
	t := Target{ProviderID: c.ID()}
	if c.Provider == ProviderAEAD {
		return t, nil
	}
	ctx, cancel := context.WithTimeout(ctx, providerTimeout)
	defer cancel()
	blob, err := c.Wrapper.Encrypt(ctx, []byte("which version wraps"))
	if err != nil {
		return t, fmt.Errorf("wrap by %v: %w", c, err)
	}
	t.keyVersion = blob.GetKeyInfo().GetKeyId()
	return t, nil
}

// Find returns the place of the wrapped copy that is as the target would make it and opens here, -1 if there is none.
func (k *Keyring) Find(ctx context.Context, root *structs.RootKey, t Target) int {
	return slices.IndexFunc(root.WrappedKeys, func(w *structs.WrappedKey) bool {
		return w != nil && k.fits(w, t) && k.tryCopy(ctx, root, w) == nil
	})
}

func (k *Keyring) fits(w *structs.WrappedKey, t Target) bool {
	if ProviderOf(w) != t.ProviderID || (len(w.KeyEncryptionKey) > 0) != k.wrappers.active.clear() || w.WrappedDataEncryptionKey == nil {
		return false
	}
	info := w.WrappedDataEncryptionKey.KeyInfo
	return t.keyVersion == "" || info != nil && info.KeyId == t.keyVersion
}

// CopyID names the wrapped copy at that place as Status does.
func CopyID(root *structs.RootKey, at int) string { return copyID(root.KeyID, root.WrappedKeys[at]) }

// WrapAgain returns a copy of root that the active provider has wrapped too; the other copies stay. What it wrapped has been
// unwrapped again before it is returned.
func (k *Keyring) WrapAgain(ctx context.Context, root *structs.RootKey) (*structs.RootKey, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*providerTimeout,
		fmt.Errorf("no answer from the keyring providers within %v", 2*providerTimeout))
	defer cancel()
	m, err := k.wrappers.unwrap(ctx, root)
	if err != nil {
		return nil, err
	}
	defer m.wipe()
	wrapped, err := k.wrappers.wrap(ctx, root.KeyID, m)
	if err != nil {
		return nil, err
	}
	if err := k.tryCopy(ctx, root, wrapped); err != nil {
		return nil, fmt.Errorf("read back what %v wrapped: %w", k.wrappers.active, err)
	}
	next := root.Copy()
	next.WrappedKeys = append(next.WrappedKeys, wrapped)
	return next, nil
}
