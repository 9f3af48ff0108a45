package snapshotagent

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// s3Server is an S3 service in this process; it fails the next requests of the method that fail names.
type s3Server struct {
	url     string
	backend gofakes3.Backend
	fail    atomic.Pointer[string]
	left    atomic.Int32
}

func startS3(t *testing.T) *s3Server {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "access")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	s := &s3Server{backend: s3mem.New()}
	if err := s.backend.CreateBucket("backups"); err != nil {
		t.Fatal(err)
	}
	api := gofakes3.New(s.backend).Server()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m := s.fail.Load(); m != nil && *m == r.Method && s.left.Add(-1) >= 0 {
			http.Error(w, "slow down", http.StatusServiceUnavailable)
			return
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

func (s *s3Server) failNext(method string, times int32) {
	s.left.Store(times)
	s.fail.Store(&method)
}

func (s *s3Server) open(t *testing.T, prefix string) *S3 {
	t.Helper()
	st, err := NewS3(S3Config{Endpoint: s.url, Region: "eu-west-1", Bucket: "backups", Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	return st
}

func TestS3(t *testing.T) {
	s := startS3(t)
	for _, prefix := range []string{"", "site/a/"} {
		t.Run("prefix "+prefix, func(t *testing.T) {
			st := s.open(t, prefix)
			storeConformance(t, st)
			if want := "s3://backups/" + prefix; st.String() != want {
				t.Errorf("it is called %s, want %s", st, want)
			}
		})
	}
	// The one below the prefix is no concern of the one above.
	if names, err := s.open(t, "").List(t.Context()); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}

func TestS3Problems(t *testing.T) {
	s := startS3(t)
	gone, err := NewS3(S3Config{Endpoint: s.url, Region: "eu-west-1", Bucket: "nobodys"})
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	if err := gone.Put(t.Context(), "a.snap", strings.NewReader("x"), 1); err == nil || !strings.Contains(err.Error(), "upload s3://nobodys/a.snap: ") {
		t.Errorf("put: %v", err)
	}
	if _, err := gone.List(t.Context()); err == nil || !strings.Contains(err.Error(), "list s3://nobodys/: ") {
		t.Errorf("list: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.open(t, "").Put(ctx, "a.snap", strings.NewReader("x"), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("put with a context that is done: %v", err)
	}
	for text, cfg := range map[string]S3Config{
		"no S3 bucket": {Endpoint: s.url},
		"want https":   {Endpoint: "ftp://x", Bucket: "b"},
		"want http":    {Endpoint: "x:9000", Bucket: "b"},
		"user or":      {Endpoint: "http://u:hidden@host:bad", Bucket: "b"},
	} {
		if _, err := NewS3(cfg); err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%+v: %v, want %q", cfg, err, text)
		}
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, err := NewS3(S3Config{Bucket: "b"}); err == nil || !strings.Contains(err.Error(), "AWS_SECRET_ACCESS_KEY") {
		t.Errorf("no credentials: %v", err)
	}
}

func TestSnapshotsGoToABucketAndBack(t *testing.T) {
	archive, digest := archiveOf(t, 50, 77)
	for _, failing := range []string{"", "PUT", "GET"} {
		t.Run("one failed "+failing, func(t *testing.T) {
			s := startS3(t)
			st := s.open(t, "cluster-1")
			for _, old := range []string{"rollcall-20200101T000000Z-1.snap", "rollcall-20200102T000000Z-2.snap"} {
				if err := st.Put(t.Context(), old, strings.NewReader("old"), 3); err != nil {
					t.Fatal(err)
				}
			}
			s.failNext(failing, 1)
			src, _ := source(archive)
			taken, err := newAgent(t, Config{Source: src, Store: st, Retain: 2}).Once(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if taken.Drill.StateDigest != digest || taken.Drill.Nodes != 50 || len(taken.Deleted) != 1 {
				t.Errorf("%+v", taken)
			}
			o, err := s.backend.GetObject("backups", "cluster-1/"+taken.Name, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer o.Contents.Close()
			if b, err := io.ReadAll(o.Contents); err != nil || string(b) != string(archive) {
				t.Errorf("%d bytes are stored, %v", len(b), err)
			}
			names, err := st.List(t.Context())
			if err != nil || len(names) != 2 {
				t.Errorf("%v, %v", names, err)
			}
		})
	}
}
