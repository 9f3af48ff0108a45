package snapshot

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// raftStore makes a store by Raft's own code, with snapshots at the indexes, and returns its directory and their IDs.
func raftStore(t *testing.T, state []byte, indexes ...uint64) (dir string, ids []string) {
	t.Helper()
	base := t.TempDir()
	store, err := raft.NewFileSnapshotStoreWithLogger(base, 10, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	_, trans := raft.NewInmemTransport("a")
	for _, index := range indexes {
		sink, err := store.Create(1, index, 2, testMeta.Raft().Configuration, 1, trans)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sink.Write(state); err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, sink.ID())
	}
	return filepath.Join(base, "snapshots"), ids
}

func TestSnapshotsOfRaftsStoreAreRead(t *testing.T) {
	t.Parallel()
	state := smallState(t)
	dir, ids := raftStore(t, state, 96)
	v, err := OpenRaftDir(t.Context(), filepath.Join(dir, ids[0]), VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	got, err := io.ReadAll(v.State())
	if err != nil || !bytes.Equal(got, state) || v.Meta.ID != ids[0] || v.Meta.Index != 96 || v.Meta.Size != int64(len(state)) {
		t.Errorf("%+v, %v", v.Meta, err)
	}
	whole, _, err := verifyBytes(t, archiveOf(t, v.Meta, got), VerifyOptions{})
	if err != nil || whole.StateSum != v.StateSum || !cmp.Equal(whole.Counts, v.Counts) || !cmp.Equal(whole.Meta, v.Meta) {
		t.Errorf("made an archive: %+v, %v", whole, err)
	}
}

func TestFaultsInRaftsStoreAreRefused(t *testing.T) {
	t.Parallel()
	edit := func(name, old, changed string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err != nil || !bytes.Contains(b, []byte(old)) {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, bytes.Replace(b, []byte(old), []byte(changed), 1), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := []struct {
		name   string
		damage func(*testing.T, string)
		member string
		want   error
		text   string
	}{
		{"a flipped bit in a string", edit(memberState, "debian", "debiao"), memberState, ErrDamaged, "the CRC-64 of state.bin"},
		{"a flipped bit in a length", edit(memberState, "\xa6debian", "\xa7debian"), memberState, ErrDamaged, "record 2 (Node"},
		{"a byte too many", edit(memberState, "debian", "debiann"), memberState, ErrDamaged, "bytes, meta.json says"},
		{"no state.bin", func(t *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, memberState)) }, memberState, ErrDamaged, "missing"},
		{"no meta.json", func(t *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, memberMeta)) }, memberMeta, ErrDamaged, "missing"},
		{"a meta.json that is cut off", edit(memberMeta, "}\n", ""), memberMeta, ErrDamaged, "unexpected EOF"},
		{"no CRC", edit(memberMeta, `"CRC"`, `"ABC"`), memberMeta, ErrDamaged, "no CRC"},
		{"an oversized meta.json", edit(memberMeta, "{", "{"+strings.Repeat(" ", maxMetaBytes)), memberMeta, ErrTooLarge, "1048576"},
		{"no index", edit(memberMeta, `"Index":96`, `"Index":0`), memberMeta, ErrDamaged, "Index is 0"},
		{"a link to another state", func(t *testing.T, dir string) {
			path := filepath.Join(dir, memberState)
			if err := errors.Join(os.Rename(path, path+".old"), os.Symlink(path+".old", path)); err != nil {
				t.Fatal(err)
			}
		}, memberState, ErrRefused, "not a regular file"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root, ids := raftStore(t, smallState(t), 96)
			dir := filepath.Join(root, ids[0])
			c.damage(t, dir)
			v, err := OpenRaftDir(t.Context(), dir, VerifyOptions{})
			var at *ArchiveError
			if v != nil || !errors.As(err, &at) || !errors.Is(err, c.want) || at.Member != c.member || at.File != dir || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("got %v, %v", v, err)
			}
			if _, skipped, err := OpenNewest(t.Context(), root, VerifyOptions{}); !errors.Is(err, ErrNoSnapshot) || len(skipped) != 1 || !errors.Is(skipped[0].Err, c.want) {
				t.Errorf("newest of none: %v, %v", skipped, err)
			}
		})
	}
}

func TestNewestWholeSnapshotIsFound(t *testing.T) {
	t.Parallel()
	dir, ids := raftStore(t, smallState(t), 9, 100, 20)
	open := func(want string, passed ...string) {
		t.Helper()
		v, skipped, err := OpenNewest(t.Context(), dir, VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_ = v.Close()
		var names []string
		for _, s := range skipped {
			names = append(names, s.Name)
		}
		if diff := cmp.Diff(passed, names); v.Meta.ID != want || diff != "" {
			t.Errorf("opened %s, want %s; passed over, -want +got:\n%s", v.Meta.ID, want, diff)
		}
	}
	open(ids[1])
	if err := os.Mkdir(filepath.Join(dir, "9-900-1"+tmpSuffix), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open(ids[1])
	if err := os.Truncate(filepath.Join(dir, ids[1], memberState), 10); err != nil {
		t.Fatal(err)
	}
	open(ids[2], ids[1])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := OpenNewest(ctx, dir, VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, _, err := OpenNewest(t.Context(), t.TempDir(), VerifyOptions{}); !errors.Is(err, ErrNoSnapshot) {
		t.Errorf("empty: %v", err)
	}
	if _, _, err := OpenNewest(t.Context(), "/nonexistent", VerifyOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}
