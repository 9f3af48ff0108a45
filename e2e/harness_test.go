package e2e

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEventuallyReportsTheLastFailureAndWhy(t *testing.T) {
	errClosed := errors.New("closed")
	tests := []struct {
		name    string
		results []error // of one check after the other; the last one repeats
		end     time.Duration
		cause   error // of the end
		want    string
		checks  int // at least
	}{
		{name: "success ends it", results: []error{errClosed, errClosed, nil}, checks: 3},
		{name: "the limit ends it with the last failure", results: []error{errClosed}, want: "open the door: not after 2s: closed", checks: 10},
		{name: "a final failure ends it at once", results: []error{errClosed, Final(errors.New("locked"))}, want: "open the door: locked", checks: 2},
		{name: "the caller's reason counts more than the last failure", results: []error{errClosed}, end: time.Second, cause: errors.New("fire"), want: "open the door: fire", checks: 5},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if test.cause != nil {
					time.AfterFunc(test.end, func() { cancel(test.cause) })
				}
				checks := 0
				err := Eventually(ctx, "open the door", 2*time.Second, func(context.Context) error {
					result := test.results[min(checks, len(test.results)-1)]
					checks++
					return result
				})
				got := ""
				if err != nil {
					got = err.Error()
				}
				if got != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
				if checks < test.checks {
					t.Errorf("%d checks, want %d at least", checks, test.checks)
				}
			})
		})
	}
}

func TestParseTokenReadsWhatTheHolderNeeds(t *testing.T) {
	part := func(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }
	good := part(`{"alg":"ES256","kid":"k1"}`) + "." + part(`{"nomad_node_id":"n1","iat":100,"exp":200}`) + ".c2ln"
	got, err := ParseToken(good)
	if err != nil {
		t.Fatal(err)
	}
	want := Token{Raw: good, KeyID: "k1", Algorithm: "ES256", NodeID: "n1", IssuedAt: time.Unix(100, 0), Expiry: time.Unix(200, 0)}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for name, bad := range map[string]string{
		"no token at all": "", "a part is missing": "a.b", "a part is not base64": "!." + part("{}") + ".x",
		"a part is not JSON": part("{") + "." + part("{}") + ".x",
	} {
		if _, err := ParseToken(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFreePortsAreFreeAndHandedOutOnce(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Errorf("port %d was handed out twice", port)
		}
		seen[port] = true
		if err := tryPort(port); err != nil {
			t.Errorf("port %d is not free: %v", port, err)
		}
	}
}

// A process that ignores SIGTERM is reported with its last words, and Close ends it all the same.
func TestAStubbornProcessIsReportedAndKilled(t *testing.T) {
	g, err := NewGroup(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	// The shell tells that it is deaf before anything is sent.
	p, err := g.Start(Command{Name: "deaf", Path: "sh", Args: []string{"-c", `trap "" TERM; echo "can't hear you"; exec sleep 60`}})
	if err != nil {
		t.Fatal(err)
	}
	err = Eventually(t.Context(), "start the shell", 10*time.Second, func(context.Context) error {
		if !strings.Contains(p.Log(), "hear") {
			return errors.New("it has said nothing")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx); err == nil || !strings.Contains(err.Error(), "can't hear you") {
		t.Errorf("got %v, want an error with the last words", err)
	}
	g.Close()
	if p.Running() {
		t.Error("it still runs")
	}
	if code, err := p.Exit(t.Context()); err != nil || code != -1 {
		t.Errorf("exit code %d, %v, want -1", code, err)
	}
	if _, err := g.Start(Command{Name: "late", Path: "true"}); err == nil {
		t.Error("a closed group started a process")
	}
}
