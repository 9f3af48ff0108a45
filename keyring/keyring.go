package keyring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"

	"github.com/rollcall-id/rollcall/structs"
)

// Config is what a Keyring needs; the zero value is usable.
type Config struct {
	Logger hclog.Logger // nil: silent

	// Issuer, when set, is the only issuer that an identity may name; one that names none is accepted too, since
	// it may have been issued before an issuer was configured.
	Issuer string

	// Wrappers are tried when a key is unwrapped; the one that is Active wraps new keys. None: aead, with a
	// key-encryption key per root key that is stored beside it.
	Wrappers []WrapperConfig

	// Algorithm is that of new keys: structs.AlgES256 (the default), AlgEdDSA or AlgRS256.
	Algorithm string

	// CacheEntries bounds the remembered verifications, 0 meaning DefaultCacheEntries.
	CacheEntries int

	// Clock is read to space out retries; nil: time.Now. Signing and verifying are told the time.
	Clock func() time.Time
}

// Keyring holds the root keys in clear. Make one with New, feed it with Set.
type Keyring struct {
	logger    hclog.Logger
	issuer    string
	algorithm string
	clock     func() time.Time
	wrappers  *wrapperSet
	cache     *verifyCache

	current atomic.Pointer[ring] // what readers see; replaced as a whole

	mu      sync.Mutex // guards what follows and every replacement of current
	isSet   bool       // Set was called
	entries map[string]*entry
	probes  map[string]probe // by copyID
	changed chan struct{}    // closed and renewed whenever current is replaced
}

// entry is one replicated key and how far it has come.
type entry struct {
	root     *structs.RootKey // as replicated last; never modified
	key      *key             // nil until loaded
	loading  bool
	err      error // of the last attempt
	attempts int   // failed in a row
	retryAt  time.Time
}

// ring is an immutable view of the loaded keys.
type ring struct {
	keys   map[string]*key
	active *structs.RootKey // nil: none
	public []*structs.PublicKey
	jwks   JWKSet
	newest int64 // the latest CreateTime of the published keys, Unix ns
}

// New returns an empty keyring.
func New(cfg Config) (*Keyring, error) {
	alg := cfg.Algorithm
	if alg == "" {
		alg = structs.AlgES256
	}
	if signingMethod(alg) == nil {
		return nil, fmt.Errorf("configure keyring: signing algorithm %q is not supported; use %s, %s or %s",
			alg, structs.AlgES256, structs.AlgEdDSA, structs.AlgRS256)
	}
	wrappers, err := newWrapperSet(cfg.Wrappers)
	if err != nil {
		return nil, fmt.Errorf("configure keyring: %w", err)
	}
	k := &Keyring{
		logger: cfg.Logger, issuer: cfg.Issuer, algorithm: alg, clock: cfg.Clock, wrappers: wrappers,
		cache: newVerifyCache(cfg.CacheEntries), entries: map[string]*entry{}, probes: map[string]probe{}, changed: make(chan struct{}),
	}
	if k.logger == nil {
		k.logger = hclog.NewNullLogger()
	}
	k.logger = k.logger.Named("keyring")
	if k.clock == nil {
		k.clock = time.Now
	}
	k.current.Store(&ring{jwks: JWKSet{Keys: []JWK{}}})
	return k, nil
}

// String names the keyring without showing what it holds.
func (k *Keyring) String() string {
	return fmt.Sprintf("keyring of %d keys", len(k.current.Load().keys))
}

// GoString is String.
func (k *Keyring) GoString() string { return k.String() }

// publish replaces what readers see by what entries say now and wakes those who wait. The caller holds mu.
func (k *Keyring) publish() {
	r := &ring{keys: make(map[string]*key, len(k.entries)), jwks: JWKSet{Keys: []JWK{}}}
	for _, id := range slices.Sorted(maps.Keys(k.entries)) {
		e := k.entries[id]
		if e.root.IsActive() && (r.active == nil || e.root.CreateTime > r.active.CreateTime) {
			r.active = e.root
		}
		if e.key == nil {
			continue
		}
		r.keys[id] = e.key
		if e.root.State != structs.KeyStateDeprecated {
			r.public = append(r.public, e.key.publicKey(e.root.CreateTime))
			r.jwks.Keys = append(r.jwks.Keys, e.key.jwk)
			r.newest = max(r.newest, e.root.CreateTime)
		}
	}
	k.current.Store(r)
	close(k.changed)
	k.changed = make(chan struct{})
}

// changes returns a channel that is closed at the next change of the loaded keys.
func (k *Keyring) changes() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changed
}

// Ready reports whether every replicated key has been tried at least once, which keys have not, and which
// could not be unwrapped and why. It is never ok before the first Set.
func (k *Keyring) Ready() (ok bool, pending []string, failed map[string]error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	failed = map[string]error{}
	for id, e := range k.entries {
		switch {
		case e.key != nil:
		case e.err != nil:
			failed[id] = e.err
		default:
			pending = append(pending, id)
		}
	}
	slices.Sort(pending)
	return k.isSet && len(pending) == 0, pending, failed
}

// Close ends what the providers hold open. Keys that are loaded go on signing and verifying; none can be loaded any more.
func (k *Keyring) Close(ctx context.Context) error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(k.wrappers.byID)) {
		if f, ok := k.wrappers.byID[id].Wrapper.(wrapping.InitFinalizer); ok {
			if err := f.Finalize(ctx); err != nil {
				errs = append(errs, fmt.Errorf("close keyring provider %s: %w", id, err))
			}
		}
	}
	return errors.Join(errs...)
}

// StoresClear reports whether new keys are stored with what opens them beside them.
func (k *Keyring) StoresClear() bool { return k.wrappers.active.clear() }

// Usable reports whether the key with that ID is loaded, or may still become so without anyone's help: it is
// the Usable of Facts. A key whose unwrapping failed several times in a row, or that has no material, is not; one
// that Set has not been told of yet is.
func (k *Keyring) Usable(keyID string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.entries[keyID]
	return e == nil || !e.hopeless()
}
