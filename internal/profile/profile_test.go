package profile

import (
	"bytes"
	"context"
	"errors"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
)

func TestProfiles(t *testing.T) {
	gzipped := func(b []byte) bool { return bytes.HasPrefix(b, []byte{0x1f, 0x8b}) }
	for _, tc := range []struct {
		name, kind string
		options    Options
		good       func([]byte) bool
		text       bool
	}{
		{"heap", "heap", Options{GC: true}, gzipped, false},
		{"goroutines as text", "goroutine", Options{Debug: 2}, func(b []byte) bool { return bytes.Contains(b, []byte("goroutine ")) }, true},
		{"the processor", "profile", Options{Seconds: 1}, gzipped, false},
		{"a trace", "trace", Options{Debug: 1}, func(b []byte) bool { return bytes.HasPrefix(b, []byte("go 1.")) }, false},
		{"the command line", "cmdline", Options{}, func(b []byte) bool { return bytes.Contains(b, []byte("profile.test")) }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Collect(t.Context(), tc.kind, tc.options, MaxBytes)
			if err != nil || !tc.good(got) {
				t.Errorf("%d bytes %q, error %v", len(got), got[:min(len(got), 80)], err)
			}
			if Text(tc.kind, tc.options) != tc.text {
				t.Errorf("text is %v, want %v", !tc.text, tc.text)
			}
		})
	}
}

func TestProfilesThatCanNotBeTaken(t *testing.T) {
	if _, err := Collect(t.Context(), "cats", Options{}, MaxBytes); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown one: %v", err)
	}
	if _, err := Collect(t.Context(), "goroutine", Options{Debug: 1}, 10); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one that is too large: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Collect(ctx, "profile", Options{Seconds: 60}, MaxBytes); !errors.Is(err, context.Canceled) {
		t.Errorf("one that nobody waits for: %v", err)
	}
	var other bytes.Buffer
	if err := pprof.StartCPUProfile(&other); err != nil {
		t.Skip("another test profiles this process")
	}
	defer pprof.StopCPUProfile()
	if _, err := Collect(t.Context(), "profile", Options{}, MaxBytes); !errors.Is(err, ErrBusy) {
		t.Errorf("a second one: %v", err)
	}
}

func TestSecretsOnTheCommandLine(t *testing.T) {
	got := hideSecrets(strings.Fields("rollcall agent -encrypt abc --client-intro-token=def -dev -token -v x -node n"))
	want := strings.Fields("rollcall agent -encrypt <redacted> --client-intro-token=<redacted> -dev -token -v x -node n")
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
