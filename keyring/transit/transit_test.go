package transit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"

	"github.com/rollcall-id/rollcall/internal/eventually"
	"github.com/rollcall-id/rollcall/internal/leak"
	"github.com/rollcall-id/rollcall/internal/transitserver"
)

func TestMain(m *testing.M) { leak.Main(m) }

const testToken = "token-MARKER-3f0b"

var secret = []byte("root key MARKER 0123456789abcdef")

func start(t *testing.T) (*transitserver.Server, map[string]string) {
	t.Helper()
	s := transitserver.Start("rollcall", testToken)
	t.Cleanup(s.Close)
	return s, map[string]string{"address": s.URL, "mount_path": "transit", "key_name": "rollcall", "token": testToken, "disable_renewal": "true"}
}

func wrapper(t *testing.T, options map[string]string) *Wrapper {
	t.Helper()
	w := New(Config{Options: options})
	t.Cleanup(func() {
		if err := w.Finalize(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// within bounds a call that must not hang; what it waits for takes no time.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func mustEncrypt(t *testing.T, w *Wrapper) *wrapping.BlobInfo {
	t.Helper()
	blob, err := w.Encrypt(within(t), secret)
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

func mustDecrypt(t *testing.T, w *Wrapper, blob *wrapping.BlobInfo) {
	t.Helper()
	clear, err := w.Decrypt(within(t), blob)
	if err != nil || !bytes.Equal(clear, secret) {
		t.Errorf("decrypted %d bytes, %v", len(clear), err)
	}
}

// What wrapping needs of any service, real or not. ROLLCALL_TEST_TRANSIT_ADDR and ROLLCALL_TEST_TRANSIT_TOKEN name one, with a
// transit engine at transit/ and a key "rollcall".
func TestAServiceWrapsAndUnwraps(t *testing.T) {
	services := map[string]map[string]string{}
	_, services["stand-in"] = start(t)
	if addr := os.Getenv("ROLLCALL_TEST_TRANSIT_ADDR"); addr != "" {
		services["real"] = map[string]string{"address": addr, "mount_path": "transit", "key_name": "rollcall",
			"token": os.Getenv("ROLLCALL_TEST_TRANSIT_TOKEN"), "disable_renewal": "true"}
	}
	for name, options := range services {
		t.Run(name, func(t *testing.T) {
			w := wrapper(t, options)
			blob := mustEncrypt(t, w)
			if !bytes.HasPrefix(blob.Ciphertext, []byte("vault:v")) || bytes.Contains(blob.Ciphertext, secret) {
				t.Errorf("ciphertext %q", blob.Ciphertext)
			}
			id, err := w.KeyId(t.Context())
			if err != nil || id == "" || blob.KeyInfo.GetKeyId() != id {
				t.Errorf("key %q wrapped, the blob says %q, %v", id, blob.KeyInfo.GetKeyId(), err)
			}
			mustDecrypt(t, w, blob)
			mustDecrypt(t, wrapper(t, options), blob) // by another server
			spoilt := &wrapping.BlobInfo{Ciphertext: bytes.Clone(blob.Ciphertext)}
			spoilt.Ciphertext[len(spoilt.Ciphertext)/2] ^= 1
			for what, bad := range map[string]*wrapping.BlobInfo{"changed": spoilt, "empty": {}, "foreign": {Ciphertext: []byte("no prefix")}} {
				if _, err := w.Decrypt(within(t), bad); err == nil {
					t.Errorf("decrypted what is %s", what)
				}
			}
			mustDecrypt(t, w, blob) // a refusal breaks nothing
		})
	}
}

func TestVersionsOfAKeyDecryptUntilTheServiceForbidsIt(t *testing.T) {
	s, options := start(t)
	w := wrapper(t, options)
	first := mustEncrypt(t, w)
	s.Rotate("rollcall")
	second := mustEncrypt(t, w)
	if got := first.KeyInfo.KeyId + second.KeyInfo.KeyId; got != "v1v2" {
		t.Errorf("versions %s", got)
	}
	mustDecrypt(t, w, first)
	mustDecrypt(t, w, second)
	s.DecryptFrom("rollcall", 2)
	if _, err := w.Decrypt(within(t), first); err == nil || !strings.Contains(err.Error(), "too old") {
		t.Errorf("got %v, want the service's reason", err)
	}
	mustDecrypt(t, w, second)
}

func TestNothingIsCalledBeforeItIsNeeded(t *testing.T) {
	s, options := start(t)
	w := wrapper(t, options)
	if err := w.Init(t.Context()); err != nil {
		t.Error(err)
	}
	if id, err := w.KeyId(t.Context()); id != "" || err != nil {
		t.Errorf("key %q, %v", id, err)
	}
	if n := s.Calls("encrypt"); n != 0 {
		t.Errorf("%d calls", n)
	}
}

func TestAServiceThatHangsHoldsNobodyLongerThanTheyWait(t *testing.T) {
	s, options := start(t)
	w := wrapper(t, options)
	release := s.Hold()
	ctx, cancel := context.WithCancel(t.Context())
	const callers = 8
	errs := make(chan error, callers)
	for range callers {
		go func() {
			_, err := w.Encrypt(ctx, secret)
			errs <- err
		}()
	}
	eventually.True(t, "the call to arrive", func() error {
		if s.Calls("encrypt") == 0 {
			return errors.New("no call")
		}
		return nil
	})
	cancel()
	for range callers {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the end of the context", err)
		}
	}
	if n := s.Calls("encrypt"); n != 1 {
		t.Errorf("%d attempts to connect, want one that all share", n)
	}
	release()
	mustDecrypt(t, w, mustEncrypt(t, w))
}

func TestASealedServiceIsSaidToBeAndServesAgainWhenItIsNot(t *testing.T) {
	s, options := start(t)
	w := wrapper(t, options)
	blob := mustEncrypt(t, w)
	s.Seal()
	for what, op := range map[string]func() error{
		"a connection that stands": func() error { _, err := w.Decrypt(within(t), blob); return err },
		"a new connection":         func() error { _, err := wrapper(t, options).Decrypt(within(t), blob); return err },
	} {
		err := op()
		if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "sealed") {
			t.Errorf("%s: got %v, want one that says 503 and sealed", what, err)
		}
	}
	s.Unseal()
	mustDecrypt(t, w, blob)
}

func TestATokenThatWasReplacedInItsFileIsTakenUp(t *testing.T) {
	s, options := start(t)
	s.AddToken("first", time.Hour)
	s.AddToken("second", time.Hour)
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	options["token"] = "file://" + file
	w := wrapper(t, options)
	blob := mustEncrypt(t, w)
	s.Revoke("first")
	if _, err := w.Decrypt(within(t), blob); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("with a revoked token: %v", err)
	}
	write("second")
	mustDecrypt(t, w, blob)

	write("third")
	s.AddToken("third", time.Hour)
	s.Revoke("second")
	var wg sync.WaitGroup
	for range 8 { // at once, with the connection that they share gone bad
		wg.Go(func() { mustDecrypt(t, w, blob) })
	}
	wg.Wait()
}

func TestATokenThatExpiresIsRenewed(t *testing.T) {
	s, options := start(t)
	delete(options, "disable_renewal")
	s.AddToken("short", 2*time.Second)
	options["token"] = "short"
	w := wrapper(t, options)
	mustEncrypt(t, w)
	eventually.True(t, "renewals", func() error {
		if n := s.Calls("renew-self"); n < 3 {
			return fmt.Errorf("%d renewals", n)
		}
		return nil
	})
}

func TestTheEnvironmentChangesNothing(t *testing.T) {
	_, options := start(t)
	t.Setenv("TRANSIT_WRAPPER_KEY_NAME", "another")
	t.Setenv("VAULT_TRANSIT_SEAL_MOUNT_PATH", "another")
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:1")
	t.Setenv("VAULT_TOKEN", "another")
	w := wrapper(t, options)
	mustDecrypt(t, w, mustEncrypt(t, w))
	options["token"] = "env://ROLLCALL_TEST_TOKEN"
	if _, err := wrapper(t, options).Encrypt(within(t), secret); err == nil || !strings.Contains(err.Error(), "ROLLCALL_TEST_TOKEN is not set") {
		t.Errorf("a variable that is not set: %v", err)
	}
	t.Setenv("ROLLCALL_TEST_TOKEN", testToken)
	mustEncrypt(t, wrapper(t, options))
}

func TestErrorsAreOneLineThatSaysWhereAndHoldsNoSecret(t *testing.T) {
	s, options := start(t)
	with := func(name, value string) map[string]string {
		out := map[string]string{}
		for k, v := range options {
			out[k] = v
		}
		out[name] = value
		return out
	}
	for _, tc := range []struct {
		name    string
		options map[string]string
		want    string
	}{
		{"a token that is not known", with("token", testToken+"x"), "403"},
		{"a key that is not there", with("key_name", "none"), "encryption key not found"},
		{"a mount that is not there", with("mount_path", "nowhere"), "404"},
		{"nobody at the address", with("address", "http://127.0.0.1:1"), "connection refused"},
		{"a token file that is not there", with("token", "file:///nonexistent/token"), "/nonexistent/token"},
		{"a token file that is none", with("token", "file:///dev/zero"), "not a regular file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := wrapper(t, tc.options)
			_, err := w.Encrypt(within(t), secret)
			if err == nil {
				t.Fatal("it worked")
			}
			text := fmt.Sprintf("%v %+v %#v %v", err, w, w, w)
			for _, want := range []string{tc.want, "transit key", tc.options["address"]} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			if strings.Contains(text, "MARKER") || strings.Contains(text, "\n") || len(err.Error()) > 500 {
				t.Errorf("got %q", text)
			}
		})
	}
	s.Close()
}

func TestAClosedWrapperRefuses(t *testing.T) {
	_, options := start(t)
	w := New(Config{Options: options})
	mustEncrypt(t, w)
	for range 2 {
		if err := w.Finalize(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.Encrypt(t.Context(), secret); !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := w.SetConfig(t.Context()); err == nil {
		t.Error("configured anew")
	}
}
