package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha-256=" + base64.StdEncoding.EncodeToString(sum[:])
}

func TestSaveSnapshotChecksTheDigest(t *testing.T) {
	for _, tc := range []struct {
		name, digest, body string
		text               string // of the error; empty for none
	}{
		{"the archive that was announced", digestOf("archive"), "archive", ""},
		{"another one", digestOf("archive"), "Archive", "its 7 bytes have another digest"},
		{"none", digestOf("archive"), "", "its 0 bytes have another digest"},
		{"no digest", "", "archive", `its digest is ""`},
		{"a digest of another kind", "sha-1=" + base64.StdEncoding.EncodeToString(make([]byte, 20)), "archive", "which is not one"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, got := serve(t, 200, tc.body, "Digest: "+tc.digest, "X-Nomad-Index: 9", "X-Nomad-KnownLeader: true")
			s, err := c.SaveSnapshot(t.Context(), &QueryOptions{AllowStale: true, Region: "eu"})
			var b []byte
			if err == nil {
				if s.Meta.Index != 9 || !s.Meta.KnownLeader || s.Digest != tc.digest {
					t.Errorf("%+v", s.Meta)
				}
				b, err = io.ReadAll(s)
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			if got.Line != "GET /v1/operator/snapshot?region=eu&stale=true" {
				t.Errorf("asked %s", got.Line)
			}
			if tc.text == "" && (err != nil || string(b) != tc.body) {
				t.Errorf("read %q, %v", b, err)
			}
			if tc.text != "" && (!errors.Is(err, ErrSnapshotIncomplete) || !strings.Contains(err.Error(), tc.text)) {
				t.Errorf("got %v, want %q", err, tc.text)
			}
		})
	}
}

// breakOff answers with a part of an archive and then hangs up, or waits for release.
func breakOff(t *testing.T, release <-chan struct{}) *Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Digest", digestOf("archive"))
		_, _ = io.WriteString(w, "arch")
		_ = http.NewResponseController(w).Flush()
		if release != nil {
			<-release
		}
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(srv.Close)
	return newClient(t, Config{Address: srv.URL, Timeout: 50 * time.Millisecond})
}

func TestASaveThatBreaksOffIsNoWholeArchive(t *testing.T) {
	s, err := breakOff(t, nil).SaveSnapshot(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if b, err := io.ReadAll(s); !errors.Is(err, ErrSnapshotIncomplete) || string(b) != "arch" || !strings.Contains(err.Error(), "after 4 bytes") {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestASaveThatStandsStillIsGivenUp(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	s, err := breakOff(t, release).SaveSnapshot(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := io.ReadAll(s); err == nil || !strings.Contains(err.Error(), "in time") {
		t.Errorf("got %v", err)
	}
}

func TestASaveEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	c := breakOff(t, release)
	c.cfg.Timeout = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	s, err := c.SaveSnapshot(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cancel()
	if _, err := io.ReadAll(s); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSnapshotRefusals(t *testing.T) {
	c, _ := serve(t, 403, "Permission denied")
	if _, err := c.SaveSnapshot(t.Context(), nil); !errors.Is(err, structs.ErrPermissionDenied) {
		t.Errorf("save: %v", err)
	}
	if err := c.RestoreSnapshot(t.Context(), nil, strings.NewReader("x"), 1); !errors.Is(err, structs.ErrPermissionDenied) {
		t.Errorf("restore: %v", err)
	}
}

func TestRestoreSnapshotStreamsTheArchive(t *testing.T) {
	archive := strings.Repeat("archive", 100_000)
	for _, size := range []int64{int64(len(archive)), -1} {
		c, got := serve(t, 200, "")
		c.cfg.Token = "secret"
		if err := c.RestoreSnapshot(t.Context(), &WriteOptions{Region: "eu"}, strings.NewReader(archive), size); err != nil {
			t.Fatal(err)
		}
		if got.Line != "PUT /v1/operator/snapshot?region=eu" || got.Body != archive || got.Token != "secret" {
			t.Errorf("sent %s with %d bytes", got.Line, len(got.Body))
		}
	}
}

func TestAnArchiveThatCanNotBeReadIsNotSentToItsEnd(t *testing.T) {
	broken := errors.New("disk gone")
	ended := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		ended <- err
	}))
	defer srv.Close()
	err := newClient(t, Config{Address: srv.URL}).RestoreSnapshot(t.Context(), nil,
		io.MultiReader(bytes.NewReader(make([]byte, 100_000)), iotest.ErrReader(broken)), -1)
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the server got a whole body")
	}
}
