package keyring

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rollcall-id/rollcall/structs"
)

var (
	// ErrNoActiveKey: no root key is active yet. The leader creates one; retry after a pause.
	ErrNoActiveKey = errors.New("no active root key")
	// ErrActiveKeyNotLoaded: the active key is not, or can't be, unwrapped on this server. Retry after a pause.
	ErrActiveKeyNotLoaded = errors.New("active root key is not loaded")
	// ErrNoSuchKey: the token names a key that is not loaded here. A server that lags behind may load it
	// shortly (VerifyWait); a deleted key never comes back.
	ErrNoSuchKey = errors.New("no such key in keyring")
	// ErrNoMaterial: the replicated key is metadata alone, as versions before 1.9 wrote it; nothing can be
	// unwrapped. Only a rotation helps.
	ErrNoMaterial = errors.New("root key carries no wrapped material")
	// ErrUnsignable: the claims may not become a token. The caller has a bug or a bad TTL; retrying is of no use.
	ErrUnsignable = errors.New("claims can't be signed")
)

// noSuchKeyError is ErrNoSuchKey with the key's ID, in the words that peers know.
type noSuchKeyError struct{ keyID string }

func (e noSuchKeyError) Error() string        { return fmt.Sprintf("no such key %q in keyring", e.keyID) }
func (e noSuchKeyError) Is(target error) bool { return target == ErrNoSuchKey }

// copyErrors is why none of a key's wrapped copies opened, in one line.
type copyErrors []error

func (e copyErrors) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (e copyErrors) Unwrap() []error { return e }

// invalid returns a structs.ErrTokenInvalid that says why.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{structs.ErrTokenInvalid}, args...)...)
}
