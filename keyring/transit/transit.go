package transit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"

	"github.com/hashicorp/go-hclog"
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	kms "github.com/hashicorp/go-kms-wrapping/wrappers/transit/v2"
)

// Provider is the name of the provider in configuration and with what it wrapped.
const Provider = "transit"

// Config says which key of which service wraps.
type Config struct {
	// Options are those of the library: address, mount_path, key_name, token, namespace, tls_... and so on. A token may be
	// file://PATH, read anew at every connection, or env://NAME.
	Options map[string]string
	Logger  hclog.Logger // nil: silent
}

// Wrapper wraps and unwraps by one key of a transit engine. Make one with New, end it with Finalize.
type Wrapper struct {
	options map[string]string
	log     hclog.Logger

	mu      sync.Mutex   // guards what follows
	session *kms.Wrapper // nil until the service was reached, and after it refused the token
	attempt *attempt     // to reach it, under way
	closed  bool
}

// attempt is one try to reach the service; done is closed when session or err is set.
type attempt struct {
	done    chan struct{}
	session *kms.Wrapper
	err     error
}

var (
	_ wrapping.Wrapper       = (*Wrapper)(nil)
	_ wrapping.InitFinalizer = (*Wrapper)(nil)
)

var errClosed = errors.New("keyring provider is closed")

// New returns a wrapper that has not called the service yet.
func New(cfg Config) *Wrapper {
	w := &Wrapper{options: maps.Clone(cfg.Options), log: cfg.Logger}
	if w.log == nil {
		w.log = hclog.NewNullLogger()
	}
	return w
}

// Source says which key of which service it is, for people.
func (w *Wrapper) Source() string {
	return fmt.Sprintf("transit key %s/%s at %s", w.options["mount_path"], w.options["key_name"], w.options["address"])
}

// String is Source: what prints a wrapper does not print its token.
func (w *Wrapper) String() string { return w.Source() }

// GoString is Source.
func (w *Wrapper) GoString() string { return w.Source() }

// Type returns "transit".
func (w *Wrapper) Type(context.Context) (wrapping.WrapperType, error) {
	return wrapping.WrapperTypeTransit, nil
}

// KeyId returns the version of the key that wrapped last, "v3"; it is empty before.
//
//nolint:revive // the interface's spelling
func (w *Wrapper) KeyId(ctx context.Context) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session == nil {
		return "", nil
	}
	return w.session.KeyId(ctx)
}

// SetConfig refuses: New has taken the configuration.
func (w *Wrapper) SetConfig(context.Context, ...wrapping.Option) (*wrapping.WrapperConfig, error) {
	return nil, errors.New("a transit wrapper is configured when it is made")
}

// Init does nothing: the service is reached when it is needed.
func (w *Wrapper) Init(context.Context, ...wrapping.Option) error { return nil }

// Encrypt wraps.
func (w *Wrapper) Encrypt(ctx context.Context, clear []byte, _ ...wrapping.Option) (blob *wrapping.BlobInfo, err error) {
	err = w.use(ctx, "encrypt", func(s *kms.Wrapper) (err error) {
		blob, err = s.Encrypt(ctx, clear)
		return err
	})
	return blob, err
}

// Decrypt unwraps.
func (w *Wrapper) Decrypt(ctx context.Context, blob *wrapping.BlobInfo, _ ...wrapping.Option) (clear []byte, err error) {
	err = w.use(ctx, "decrypt", func(s *kms.Wrapper) (err error) {
		clear, err = s.Decrypt(ctx, blob)
		return err
	})
	return clear, err
}

// Finalize ends the renewal of the token and every connection. It does not wait for an attempt to reach the service.
func (w *Wrapper) Finalize(ctx context.Context, _ ...wrapping.Option) error {
	w.mu.Lock()
	session := w.session
	w.session, w.closed = nil, true
	w.mu.Unlock()
	return finish(ctx, session)
}

// use runs op on a connection. If the service refuses the token, it may have been replaced by another: op runs once more
// on a new connection.
func (w *Wrapper) use(ctx context.Context, what string, op func(*kms.Wrapper) error) error {
	for try := 0; ; try++ {
		s, err := w.open(ctx)
		if err != nil {
			return w.explain(what, err)
		}
		if err = op(s); err == nil {
			return nil
		}
		if status(err) == http.StatusForbidden {
			w.drop(ctx, s)
			if try == 0 {
				continue
			}
		}
		return w.explain(what, err)
	}
}

// open returns the connection, waiting for the attempt to make one that it starts or finds.
func (w *Wrapper) open(ctx context.Context) (*kms.Wrapper, error) {
	w.mu.Lock()
	switch {
	case w.closed:
		w.mu.Unlock()
		return nil, errClosed
	case w.session != nil:
		defer w.mu.Unlock()
		return w.session, nil
	}
	a := w.attempt
	if a == nil {
		a = &attempt{done: make(chan struct{})}
		w.attempt = a
		go w.connect(a)
	}
	w.mu.Unlock()
	select {
	case <-a.done:
		return a.session, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("connect: %w", context.Cause(ctx))
	}
}

// connect makes a connection. The library ends it after its own time-outs, some minutes at most, whoever still waits.
func (w *Wrapper) connect(a *attempt) {
	a.session, a.err = connect(w.options, w.log)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempt = nil
	switch {
	case a.err != nil:
	case w.closed:
		a.err = errors.Join(errClosed, finish(context.Background(), a.session))
		a.session = nil
	default:
		w.session = a.session
	}
	close(a.done)
}

// drop gives up a connection, unless another has taken its place already.
func (w *Wrapper) drop(ctx context.Context, s *kms.Wrapper) {
	w.mu.Lock()
	current := w.session == s
	if current {
		w.session = nil
	}
	w.mu.Unlock()
	if !current {
		return
	}
	if err := finish(ctx, s); err != nil {
		w.log.Debug("connection not ended in order", "error", err)
	}
}
