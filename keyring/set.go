package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	retryMin = time.Second
	retryMax = 5 * time.Second
	// hopelessAttempts in a row, spread over 12 seconds and more by the retries, make a key unusable for Plan.
	hopelessAttempts = 5
)

// hopeless reports whether only someone's intervention can load the key.
func (e *entry) hopeless() bool {
	return e.key == nil && (errors.Is(e.err, ErrNoMaterial) || e.attempts >= hopelessAttempts)
}

// Set tells the keyring that these are all the replicated keys now. Keys that are not among them are dropped
// at once: when Set returns, nothing verifies by them. New keys, and those that failed before, are unwrapped
// side by side, and each is usable as soon as it is done. Set returns when all have been tried, at the latest
// after a few seconds or when ctx ends; what is then not loaded is left to the next Set or Retry.
//
// The keyring keeps the keys and never writes to them. Concurrent calls are safe, but the last to start wins.
func (k *Keyring) Set(ctx context.Context, keys []*structs.RootKey) {
	k.mu.Lock()
	k.isSet = true
	next := make(map[string]*entry, len(keys))
	for _, root := range keys {
		if root == nil {
			continue
		}
		e := k.entries[root.KeyID]
		if e == nil || !sameMaterial(e.root, root) {
			e = &entry{}
		}
		e.root = root
		next[root.KeyID] = e
	}
	var dropped []*key
	for id, e := range k.entries {
		if next[id] != e && e.key != nil {
			e.key.gone.Store(true)
			dropped = append(dropped, e.key)
		}
	}
	k.entries = next
	k.forgetProbes()
	jobs := k.claim(func(*entry) bool { return true })
	k.publish()
	k.mu.Unlock()

	for _, d := range dropped {
		d.wipe()
		k.logger.Info("root key dropped", "key_id", d.id)
	}
	k.load(ctx, jobs)
}

// Retry tries the keys again that could not be unwrapped and whose pause, doubling from one second to five, is
// over. It returns how long to wait before calling it again, 0 when there is nothing to try: the watcher then
// sleeps until the replicated keys change.
func (k *Keyring) Retry(ctx context.Context) (wait time.Duration) {
	k.mu.Lock()
	now := k.clock()
	jobs := k.claim(func(e *entry) bool {
		return !errors.Is(e.err, ErrNoMaterial) && !now.Before(e.retryAt)
	})
	k.mu.Unlock()
	k.load(ctx, jobs)

	k.mu.Lock()
	defer k.mu.Unlock()
	now = k.clock()
	for _, e := range k.entries {
		if e.key != nil || errors.Is(e.err, ErrNoMaterial) {
			continue
		}
		left := max(e.retryAt.Sub(now), retryMin)
		if wait == 0 || left < wait {
			wait = left
		}
	}
	return wait
}

// job is one key to unwrap.
type job struct {
	entry *entry
	root  *structs.RootKey
}

// claim takes the keys that are not loaded, that nobody is loading and that pick allows. The caller holds mu and
// must hand them to load.
func (k *Keyring) claim(pick func(*entry) bool) []job {
	var jobs []job
	for _, e := range k.entries {
		if e.key == nil && !e.loading && pick(e) {
			e.loading = true
			jobs = append(jobs, job{e, e.root})
		}
	}
	return jobs
}

// load unwraps the keys side by side and waits for all of them.
func (k *Keyring) load(ctx context.Context, jobs []job) {
	var wg sync.WaitGroup
	for _, j := range jobs {
		wg.Go(func() {
			loaded, err := k.open(ctx, j.root)
			k.finish(ctx, j, loaded, err)
		})
	}
	wg.Wait()
}

// open unwraps one key.
func (k *Keyring) open(ctx context.Context, root *structs.RootKey) (*key, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, providerTimeout,
		fmt.Errorf("no answer from the keyring provider within %v", providerTimeout))
	defer cancel()
	m, err := k.wrappers.unwrap(ctx, root)
	if err != nil {
		return nil, err
	}
	defer m.wipe()
	if alg := m.algorithm(); root.SigningAlgorithm != "" && root.SigningAlgorithm != alg {
		return nil, fmt.Errorf("root key says that it signs with %s, its material is for %s", root.SigningAlgorithm, alg)
	}
	return newKey(root.KeyID, m)
}

// finish records how the loading of a key ended.
func (k *Keyring) finish(ctx context.Context, j job, loaded *key, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := j.entry
	e.loading = false
	switch {
	case k.entries[j.root.KeyID] != e: // it left the set meanwhile
		if loaded != nil {
			loaded.wipe()
		}
		return
	case err == nil:
		e.key, e.err, e.attempts = loaded, nil, 0
		k.logger.Debug("root key loaded", "key_id", loaded.id, "algorithm", loaded.alg)
	case ctx.Err() != nil: // the caller gave up, which says nothing about the key
		return
	default:
		pause := min(retryMin<<min(e.attempts, 16), retryMax)
		e.err, e.retryAt = err, k.clock().Add(pause)
		e.attempts++
		switch {
		case errors.Is(err, ErrNoMaterial):
			k.logger.Warn("root key can't be loaded", "key_id", j.root.KeyID, "error", err)
		case e.attempts&(e.attempts-1) == 0: // every few seconds it would fill the log
			k.logger.Error("root key can't be loaded", "key_id", j.root.KeyID, "error", err, "attempts", e.attempts, "retry_in", pause)
		}
	}
	k.publish()
}

// WaitReady returns when every replicated key has been tried (see Ready), or with ctx's error and the keys that
// have not.
func (k *Keyring) WaitReady(ctx context.Context) error {
	for {
		changed := k.changes()
		ok, pending, _ := k.Ready()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for root keys %v to be unwrapped: %w", pending, context.Cause(ctx))
		}
	}
}

// sameMaterial reports whether two versions of a key hold the same key. Copies come and go as a key is moved from one
// provider to another; one that stays vouches for the others, and what is loaded need not be loaded anew.
func sameMaterial(a, b *structs.RootKey) bool {
	if a == b {
		return true
	}
	if a.SigningAlgorithm != b.SigningAlgorithm {
		return false
	}
	if len(a.WrappedKeys) == 0 && len(b.WrappedKeys) == 0 {
		return true
	}
	return slices.ContainsFunc(a.WrappedKeys, func(x *structs.WrappedKey) bool {
		return slices.ContainsFunc(b.WrappedKeys, func(y *structs.WrappedKey) bool { return sameWrapped(x, y) })
	})
}

func sameWrapped(a, b *structs.WrappedKey) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ProviderID == b.ProviderID && bytes.Equal(a.KeyEncryptionKey, b.KeyEncryptionKey) &&
		sameBlob(a.WrappedDataEncryptionKey, b.WrappedDataEncryptionKey) &&
		sameBlob(a.WrappedRSAKey, b.WrappedRSAKey) && sameBlob(a.WrappedECKey, b.WrappedECKey)
}

func sameBlob(a, b *structs.BlobInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return bytes.Equal(a.Ciphertext, b.Ciphertext) && bytes.Equal(a.Iv, b.Iv)
}
