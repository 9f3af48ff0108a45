package snapshotagent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/internal/leak"
	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

func TestMain(m *testing.M) { leak.Main(m) }

// archiveOf is a whole archive of a cluster with so many nodes, and the digest of its state.
func archiveOf(t testing.TB, nodes int, index uint64) (archive []byte, digest string) {
	t.Helper()
	store := state.New()
	r := store.Restore()
	for n := range nodes {
		if err := r.Node(&structs.Node{ID: fmt.Sprintf("%08x-0000-4000-8000-000000000000", n), Name: "n", NodePool: "default", CreateIndex: 5, ModifyIndex: 5}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Index(structs.IndexEntry{Key: "nodes", Value: index}); err != nil {
		t.Fatal(err)
	}
	r.Commit()
	sum, err := store.Digest()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	meta := snapshot.Meta{Version: 1, ID: fmt.Sprintf("2-%d-1795253490000", index), Index: index, Term: 2}
	if _, err := snapshot.Write(t.Context(), &out, meta, func(w io.Writer) error {
		_, err := fsm.WriteState(w, store.Snapshot())
		return err
	}, snapshot.WriteOptions{TempDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), fmt.Sprintf("%x", sum)
}

// source hands out archives in turn, the last one again and again; an error is what the save fails with.
func source(answers ...any) (Source, *int) {
	calls := new(int)
	return func(context.Context) (io.ReadCloser, error) {
		a := answers[min(*calls, len(answers)-1)]
		*calls++
		switch a := a.(type) {
		case []byte:
			return io.NopCloser(bytes.NewReader(a)), nil
		case io.Reader:
			return io.NopCloser(a), nil
		default:
			return nil, a.(error)
		}
	}, calls
}

// memStore is a Store in memory that fails as it is told. Each error is used once.
type memStore struct {
	mu       sync.Mutex // guards what follows
	files    map[string][]byte
	puts     []error
	opens    []error
	deletes  []error
	mangle   []func([]byte) []byte // what Put makes of the next archives
	forgets  bool                  // List shows nothing
	listFail error
	log      []string
}

func newMemStore(names ...string) *memStore {
	m := &memStore{files: map[string][]byte{}}
	for _, n := range names {
		m.files[n] = []byte("old")
	}
	return m
}

func (m *memStore) String() string { return "memory" }

func next[T any](list *[]T) (v T) {
	if len(*list) > 0 {
		v, *list = (*list)[0], (*list)[1:]
	}
	return v
}

func (m *memStore) Put(_ context.Context, name string, archive io.ReaderAt, size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = append(m.log, "put "+name)
	if err := next(&m.puts); err != nil {
		return err
	}
	b, err := io.ReadAll(io.NewSectionReader(archive, 0, size))
	if err != nil {
		return err
	}
	if f := next(&m.mangle); f != nil {
		b = f(b)
	}
	m.files[name] = b
	return nil
}

func (m *memStore) List(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.files {
		names = append(names, name)
	}
	if m.forgets {
		names = nil
	}
	return names, m.listFail
}

func (m *memStore) Open(_ context.Context, name string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := next(&m.opens); err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(m.files[name])), nil
}

func (m *memStore) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = append(m.log, "delete "+name)
	if err := next(&m.deletes); err != nil {
		return err
	}
	delete(m.files, name)
	return nil
}

func (m *memStore) names() []string {
	names, _ := m.List(context.Background())
	slices.Sort(names)
	return names
}

func newAgent(t *testing.T, cfg Config) *Agent {
	t.Helper()
	if cfg.TempDir == "" {
		cfg.TempDir = t.TempDir()
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestConfigurationThatMakesNoSenseIsRefused(t *testing.T) {
	s, _ := source(errors.New("unused"))
	for text, cfg := range map[string]Config{
		"a source and a store are needed": {},
		"interval 1s is shorter than 10s": {Source: s, Store: newMemStore(), Interval: time.Second},
		"retain -2":                       {Source: s, Store: newMemStore(), Retain: -2},
		`name "a/b"`:                      {Source: s, Store: newMemStore(), Name: "a/b"},
		"attempts -1":                     {Source: s, Store: newMemStore(), Attempts: -1},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %q", err, text)
		}
	}
}

func TestASnapshotIsStoredAndDrilled(t *testing.T) {
	archive, digest := archiveOf(t, 3, 77)
	src, _ := source(archive)
	store := newMemStore()
	tmp := t.TempDir()
	a := newAgent(t, Config{Source: src, Store: store, TempDir: tmp})
	taken, err := a.Once(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if names := store.names(); !slices.Equal(names, []string{taken.Name}) || !bytes.Equal(store.files[taken.Name], archive) ||
		!strings.HasPrefix(taken.Name, "rollcall-") || !strings.HasSuffix(taken.Name, "-77.snap") {
		t.Errorf("stored as %s: %v", taken.Name, names)
	}
	if d := taken.Drill; d.Nodes != 3 || d.StateDigest != digest || d.Records == 0 || taken.Index != 77 || taken.Size != int64(len(archive)) {
		t.Errorf("%+v, want digest %s", taken, digest)
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if n := testutil.ToFloat64(a.metrics.nodes); n != 3 {
		t.Errorf("metric nodes is %v", n)
	}
	if at := testutil.ToFloat64(a.metrics.lastSuccess); time.Since(time.Unix(int64(at), 0)) > time.Minute {
		t.Errorf("metric last success is %v", at)
	}
}

func TestStepsThatFailAreTriedAgainWithLongerPauses(t *testing.T) {
	archive, _ := archiveOf(t, 1, 9)
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	other, _ := archiveOf(t, 2, 9)
	down := errors.New("service unavailable")
	for _, tc := range []struct {
		name  string
		saves []any
		store *memStore
		took  time.Duration
		text  string // of the error; empty for none
		kept  int    // snapshots in the store afterwards
	}{
		{"nothing fails", []any{archive}, newMemStore(), 0, "", 1},
		{"the server is away twice", []any{down, down, archive}, newMemStore(), 3 * time.Second, "", 1},
		{"the archive breaks off once", []any{io.MultiReader(bytes.NewReader(archive[:99]), iotest.ErrReader(down)), archive}, newMemStore(), time.Second, "", 1},
		{"the server sends a damaged one once", []any{archive[:len(archive)-9], archive}, newMemStore(), time.Second, "", 1},
		{"the upload fails three times", []any{archive}, &memStore{files: map[string][]byte{}, puts: []error{down, down, down}}, 7 * time.Second, "", 1},
		{"the download fails once", []any{archive}, &memStore{files: map[string][]byte{}, opens: []error{down}}, time.Second, "", 1},
		{"it is damaged in the store once", []any{archive}, &memStore{files: map[string][]byte{}, mangle: []func([]byte) []byte{flip}}, time.Second, "", 1},
		{"it is another one in the store once", []any{archive}, &memStore{files: map[string][]byte{}, mangle: []func([]byte) []byte{func([]byte) []byte { return other }}}, time.Second, "", 1},
		{"the server stays away", []any{down}, newMemStore(), 15 * time.Second, "save snapshot: service unavailable", 0},
		{"the store stays away", []any{archive}, &memStore{files: map[string][]byte{}, puts: []error{down, down, down, down, down}}, 15 * time.Second, "store snapshot: service unavailable", 0},
		{"we have no right to it", []any{structs.ErrPermissionDenied}, newMemStore(), 0, "Permission denied", 0},
		{"the store damages everything", []any{archive}, &memStore{files: map[string][]byte{}, mangle: []func([]byte) []byte{flip, flip, flip, flip, flip}}, 15 * time.Second, "damaged", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tmp := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				src, _ := source(tc.saves...)
				a := newAgent(t, Config{Source: src, Store: tc.store, TempDir: tmp})
				start := time.Now()
				_, err := a.Once(t.Context())
				if took := time.Since(start); took != tc.took {
					t.Errorf("took %s, want %s", took, tc.took)
				}
				if tc.text == "" && err != nil || tc.text != "" && (err == nil || !strings.Contains(err.Error(), tc.text)) {
					t.Errorf("got %v, want %q", err, tc.text)
				}
				if n := len(tc.store.names()); n != tc.kept {
					t.Errorf("%d snapshots in the store, want %d", n, tc.kept)
				}
				result := "taken"
				if tc.text != "" {
					result = "failed"
				}
				if n := testutil.ToFloat64(a.metrics.rounds.WithLabelValues(result)); n != 1 {
					t.Errorf("counted %v rounds as %s", n, result)
				}
			})
		})
	}
}

func TestASnapshotThatDoesNotRestoreIsKeptAndReported(t *testing.T) {
	// Every record decodes, but a node without an ID has no place in a state.
	var out bytes.Buffer
	meta := snapshot.Meta{Version: 1, ID: "2-9-1795253490000", Index: 9, Term: 2}
	if _, err := snapshot.Write(t.Context(), &out, meta, func(w io.Writer) error {
		sw := snapshot.NewWriter(w)
		if err := sw.WriteRecord(structs.NodeRecord, &structs.Node{Name: "nameless"}); err != nil {
			return err
		}
		return sw.Flush()
	}, snapshot.WriteOptions{TempDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	src, _ := source(out.Bytes())
	store := newMemStore("rollcall-20200101T000000Z-1.snap")
	_, err := newAgent(t, Config{Source: src, Store: store, Retain: 1}).Once(t.Context())
	if !errors.Is(err, errNoRestore) || len(store.names()) != 2 {
		t.Errorf("got %v, stored %v", err, store.names())
	}
}

func TestRetention(t *testing.T) {
	archive, _ := archiveOf(t, 1, 9)
	old := []string{
		"rollcall-20200101T000000Z-1.snap", "rollcall-20200102T000000Z-2.snap", "rollcall-20200103T000000Z-3.snap",
		// None of ours.
		"rollcall-20200101T000000Z-1.snap.bak", "rollcall-eu-20200101T000000Z-1.snap", "rollcall-20200101T000000Z-01.snap", "notes.txt",
		"rollcall-20201301T000000Z-1.snap", "rollcall-20200101T000000Z-.snap",
	}
	for _, tc := range []struct {
		name    string
		retain  int
		change  func(*memStore)
		deleted []string
	}{
		{"everything", -1, nil, nil},
		{"more than there are", 5, nil, nil},
		{"as many as there are", 4, nil, nil},
		{"two", 2, nil, []string{old[1], old[0]}},
		{"the new one alone", 1, nil, []string{old[2], old[1], old[0]}},
		{"one, the new one seeming the oldest", 1, func(m *memStore) { m.files["rollcall-29990101T000000Z-5.snap"] = nil }, []string{"rollcall-29990101T000000Z-5.snap", old[2], old[1], old[0]}},
		{"two, one of which can't be deleted", 2, func(m *memStore) { m.deletes = []error{errors.New("locked")} }, []string{old[0]}},
		{"one, but the store shows nothing", 1, func(m *memStore) { m.forgets = true }, nil},
		{"one, but the store can't list", 1, func(m *memStore) { m.listFail = errors.New("no list") }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, _ := source(archive)
			store := newMemStore(old...)
			if tc.change != nil {
				tc.change(store)
			}
			taken, err := newAgent(t, Config{Source: src, Store: store, Retain: tc.retain}).Once(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.deleted, taken.Deleted); diff != "" {
				t.Errorf("deleted, -want +got:\n%s", diff)
			}
			store.forgets, store.listFail = false, nil
			left := store.names()
			for _, name := range append(slices.Clone(old[3:]), taken.Name) {
				if !slices.Contains(left, name) {
					t.Errorf("%s is gone", name)
				}
			}
		})
	}
}

func TestAFailedRoundDeletesNothing(t *testing.T) {
	archive, _ := archiveOf(t, 1, 9)
	names := []string{"rollcall-20200101T000000Z-1.snap", "rollcall-20200102T000000Z-2.snap"}
	store := newMemStore(names...)
	store.mangle = []func([]byte) []byte{func(b []byte) []byte { return b[:len(b)-1] }}
	src, _ := source(archive)
	if _, err := newAgent(t, Config{Source: src, Store: store, Retain: 1, Attempts: 1}).Once(t.Context()); err == nil {
		t.Fatal("no error")
	}
	if !slices.Equal(store.names(), names) {
		t.Errorf("left %v", store.names())
	}
}

func TestRunKeepsTime(t *testing.T) {
	archive, _ := archiveOf(t, 1, 9)
	tmp := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		// The newest stored one is twenty minutes old, so the first is due in forty.
		store := newMemStore("rollcall-"+start.Add(-20*time.Minute).UTC().Format(timeFormat)+"-1.snap", "rollcall-"+start.Add(-80*time.Minute).UTC().Format(timeFormat)+"-1.snap")
		var at []time.Duration
		var fail atomic.Bool
		a := newAgent(t, Config{Store: store, TempDir: tmp, Attempts: 1, Source: func(context.Context) (io.ReadCloser, error) {
			at = append(at, time.Since(start))
			if fail.Load() {
				return nil, errors.New("away")
			}
			time.Sleep(time.Minute) // a save takes its time
			return io.NopCloser(bytes.NewReader(archive)), nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); a.Run(ctx) }()
		time.Sleep(110 * time.Minute)
		synctest.Wait()
		fail.Store(true)
		time.Sleep(58 * time.Minute) // at 160 minutes it fails, and then every five
		synctest.Wait()
		cancel()
		<-done
		want := []time.Duration{40 * time.Minute, 100 * time.Minute, 160 * time.Minute, 165 * time.Minute}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("rounds, -want +got:\n%s", diff)
		}
	})
}

func TestRunStopsInTheMiddleOfARound(t *testing.T) {
	tmp := t.TempDir()
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		store := newMemStore()
		a := newAgent(t, Config{Store: store, TempDir: tmp, Logger: hclog.New(&hclog.LoggerOptions{Output: &out}), Source: func(ctx context.Context) (io.ReadCloser, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); a.Run(ctx) }()
		synctest.Wait()
		cancel()
		<-done
		if len(store.log) > 0 {
			t.Errorf("the store was told %v", store.log)
		}
	})
	if strings.Contains(out.String(), "[ERROR]") {
		t.Errorf("an orderly stop is logged as an error:\n%s", out.String())
	}
}

func TestDir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d, err := NewDir(path)
	if err != nil {
		t.Fatal(err)
	}
	storeConformance(t, d)
	info, err := os.Stat(filepath.Join(path, "two.snap"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.Mkdir(filepath.Join(path, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if names, err := d.List(t.Context()); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Put(ctx, "three.snap", strings.NewReader("x"), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("put with a context that is done: %v", err)
	}
	if left, err := os.ReadDir(path); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := NewDir(filepath.Join(path, "two.snap")); err == nil {
		t.Error("a file is taken for a directory")
	}
}

// storeConformance holds for every Store. It leaves two.snap behind.
func storeConformance(t *testing.T, s Store) {
	t.Helper()
	ctx := t.Context()
	content := strings.Repeat("archive", 10_000)
	for name, text := range map[string]string{"one.snap": "first", "two.snap": content} {
		if err := s.Put(ctx, name, strings.NewReader(text+"more"), int64(len(text))); err != nil {
			t.Fatal(err)
		}
	}
	names, err := s.List(ctx)
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{"one.snap", "two.snap"}) {
		t.Fatalf("listed %v, %v", names, err)
	}
	in, err := s.Open(ctx, "two.snap")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(in)
	if err := errors.Join(err, in.Close()); err != nil || string(b) != content {
		t.Errorf("read %d bytes, %v", len(b), err)
	}
	for range 2 { // the second time it is gone
		if err := s.Delete(ctx, "one.snap"); err != nil {
			t.Error(err)
		}
	}
	if names, err := s.List(ctx); err != nil || !slices.Equal(names, []string{"two.snap"}) {
		t.Errorf("listed %v, %v", names, err)
	}
	in, err = s.Open(ctx, "one.snap")
	if err == nil {
		_, err = io.ReadAll(in)
		_ = in.Close()
	}
	if err == nil {
		t.Error("what was deleted can be read")
	}
}
