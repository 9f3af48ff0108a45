package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// A token goes at its end and not before; what has none stays. More of them than one command takes go in several.
func TestTokensThatHaveEndedAreCollected(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c := testConfig(t, "s1", 1)
	c.Clock = func() time.Time { return now }
	s := start(t, c)
	waitLeader(t, s)
	apply := func(kind structs.MessageType, msg any) {
		t.Helper()
		if _, err := (applier{s}).Apply(kind, msg); err != nil {
			t.Fatal(err)
		}
	}
	token := func(end time.Time) *structs.ACLToken {
		out := &structs.ACLToken{AccessorID: newUUID(), SecretID: newUUID(), Type: structs.ACLTokenManagement}
		if !end.IsZero() {
			out.ExpirationTime = &end
		}
		return out
	}
	many := make([]*structs.ACLToken, tokensPerCommand+1)
	for i := range many {
		many[i] = token(now.Add(-time.Hour))
	}
	apply(structs.ACLTokenUpsertMsg, &structs.ACLTokenUpsertRequest{Tokens: many})
	forever, now0, later := token(time.Time{}), token(now), token(now.Add(time.Second))
	apply(structs.ACLTokenUpsertMsg, &structs.ACLTokenUpsertRequest{Tokens: []*structs.ACLToken{forever, now0, later}})
	for _, end := range []time.Time{now.Add(-time.Second), now, now.Add(time.Second)} {
		apply(structs.OneTimeTokenUpsertMsg, &structs.OneTimeToken{OneTimeSecretID: newUUID(), AccessorID: forever.AccessorID, ExpiresAt: end})
	}
	if err := s.collectTokens(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	tokens, err := s.fsm.State().ACLTokens(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for got := range tokens {
		left[got.AccessorID] = true
	}
	if len(left) != 2 || !left[forever.AccessorID] || !left[later.AccessorID] {
		t.Errorf("%d tokens are left, want the one without an end and the one that ends in a second: %v", len(left), left)
	}
	oneTime, err := s.fsm.State().OneTimeTokens(nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for got := range oneTime {
		if n++; !got.ExpiresAt.After(now) {
			t.Errorf("a one-time token that ended at %s is left", got.ExpiresAt)
		}
	}
	if n != 1 {
		t.Errorf("%d one-time tokens are left, want 1", n)
	}
	latest := func() uint64 {
		index, err := s.fsm.State().LatestIndex()
		if err != nil {
			t.Fatal(err)
		}
		return index
	}
	index := latest()
	if err := s.collectTokens(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := latest(); got != index {
		t.Errorf("with nothing to collect the index went from %d to %d", index, got)
	}
}

func TestTheResetFileHoldsAnIndexOrStopsTheBootstrap(t *testing.T) {
	for name, tc := range map[string]struct {
		text    string // "-" for no file
		want    uint64
		problem string
	}{
		"no file":                {"-", 0, ""},
		"an index":               {"42", 42, ""},
		"an index in a line":     {" 42\n", 42, ""},
		"nothing":                {"", 0, "holds no index"},
		"a word":                 {"reset", 0, "holds no index"},
		"a negative number":      {"-1", 0, "holds no index"},
		"more than a number can": {strings.Repeat("9", 100), 0, "holds no index"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Server{cfg: Config{DataDir: t.TempDir()}}
			if tc.text != "-" {
				if err := os.WriteFile(filepath.Join(s.cfg.DataDir, resetFile), []byte(tc.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := s.bootstrapReset()
			if got != tc.want || (err == nil) != (tc.problem == "") || err != nil && !strings.Contains(err.Error(), tc.problem) {
				t.Errorf("got %d, %v", got, fmt.Sprint(err))
			}
		})
	}
	if got, err := (&Server{}).bootstrapReset(); got != 0 || err != nil {
		t.Errorf("a server without a directory: %d, %v", got, err)
	}
}
