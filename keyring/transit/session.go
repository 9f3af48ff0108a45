package transit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	kms "github.com/hashicorp/go-kms-wrapping/wrappers/transit/v2"
	"github.com/hashicorp/vault/api"
)

const (
	// callTimeout is above what callers wait (keyring's own limit), so that it is theirs that counts.
	callTimeout = 30 * time.Second
	// maxToken is longer than any token.
	maxToken = 64 << 10
	// maxReason bounds what of the service's own words is passed on.
	maxReason = 300
)

// connect reaches the service and has it encrypt something, which is how the library makes sure of address, key and token.
func connect(options map[string]string, log hclog.Logger) (*kms.Wrapper, error) {
	options = maps.Clone(options)
	var err error
	if options["token"], err = readToken(options["token"]); err != nil {
		return nil, err
	}
	w := kms.NewWrapper()
	if _, err := w.SetConfig(context.Background(), wrapping.WithConfigMap(options), wrapping.WithDisallowEnvVars(true), kms.WithLogger(log)); err != nil {
		return nil, err
	}
	if c := client(w); c != nil {
		c.SetMaxRetries(0) // callers have their own pauses
		c.SetClientTimeout(callTimeout)
	}
	return w, nil
}

// client is the library's HTTP client.
func client(w *kms.Wrapper) *api.Client {
	if c, ok := w.GetClient().(*kms.TransitClient); ok {
		return c.GetApiClient()
	}
	return nil
}

// finish ends a connection; nil is none.
func finish(ctx context.Context, w *kms.Wrapper) error {
	if w == nil {
		return nil
	}
	c := client(w)
	err := w.Finalize(ctx)
	if c != nil {
		c.CloneConfig().HttpClient.CloseIdleConnections()
	}
	return err
}

// readToken returns the token that is meant. White space around one in a file does not belong to it.
func readToken(token string) (string, error) {
	if path, ok := strings.CutPrefix(token, "file://"); ok {
		info, err := os.Stat(path) // before it is opened: opening a pipe would block
		if err != nil {
			return "", fmt.Errorf("read token: %w", err)
		}
		if !info.Mode().IsRegular() {
			return "", fmt.Errorf("read token %s: not a regular file", path)
		}
		f, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("read token: %w", err)
		}
		defer f.Close()
		text, err := io.ReadAll(io.LimitReader(f, maxToken))
		if err != nil {
			return "", fmt.Errorf("read token: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	}
	if name, ok := strings.CutPrefix(token, "env://"); ok {
		value, set := os.LookupEnv(name)
		if !set {
			return "", fmt.Errorf("read token: environment variable %s is not set", name)
		}
		return strings.TrimSpace(value), nil
	}
	return token, nil
}

// status is the HTTP status that the service refused with, 0 if it did not answer.
func status(err error) int {
	var re *api.ResponseError
	if errors.As(err, &re) {
		return re.StatusCode
	}
	return 0
}

// failure is an error in one line, with what is behind it.
type failure struct {
	text string
	err  error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.err }

// explain says in one line what failed where.
func (w *Wrapper) explain(what string, err error) error {
	reason := err.Error()
	var re *api.ResponseError
	if errors.As(err, &re) {
		reason = fmt.Sprintf("HTTP status %d: %s", re.StatusCode, strings.Join(re.Errors, ", "))
	}
	reason = strings.Join(strings.Fields(reason), " ")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "..."
	}
	return &failure{text: fmt.Sprintf("%s by %s: %s", what, w.Source(), reason), err: err}
}
