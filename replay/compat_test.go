package replay

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rollcall-id/rollcall/state"
)

// TestEveryFormatVersionIsReplayed: a replay of the log of any earlier version, see testdata/compat in the module's
// root, ends in the state that it was, and finds nothing wrong on the way.
func TestEveryFormatVersionIsReplayed(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob("../testdata/compat/v*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no folders: %v", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(dir, "expected.json"))
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				LastIndex uint64
				Digests   map[string]struct{ AtLast string }
				Failed    map[string]uint64
			}
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			for _, batch := range []int{1, 0} {
				r := replayed(t, compatDataDir(t, dir), Options{FromStart: true, Batch: batch})
				if digest := want.Digests[strconv.Itoa(state.DigestVersion)].AtLast; r.Digest != digest || r.LastIndex != want.LastIndex {
					t.Errorf("digest %s at %d, want %s at %d", r.Digest, r.LastIndex, digest, want.LastIndex)
				}
				if len(r.Problems) > 0 {
					t.Errorf("problems: %v", r.Problems)
				}
				for _, c := range r.Types {
					if c.Failed != want.Failed[c.Type] || c.Undecodable > 0 {
						t.Errorf("%+v, want %d failed", c, want.Failed[c.Type])
					}
				}
			}
		})
	}
}

// compatDataDir returns a data directory with the log in it.
func compatDataDir(t *testing.T, from string) string {
	t.Helper()
	f, err := os.Open(filepath.Join(from, "raft.db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "server", "raft"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "server", "raft", "raft.db"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
