package replay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/rollcall-id/rollcall/structs"
)

func TestOpenTakesEveryFolderOnTheWayToTheLog(t *testing.T) {
	t.Parallel()
	dir := writeDir(t, entries(t, commands(t, 5)))
	unchanged(t, dir)
	for _, path := range []string{dir, filepath.Join(dir, "server"), filepath.Join(dir, "server", "raft"), logFile(dir)} {
		d := openDir(t, path)
		if d.Path() != logFile(dir) {
			t.Errorf("%s leads to %s", path, d.Path())
		}
		i, err := d.Info(t.Context())
		if err != nil || i.Entries != 7 || i.ServerID != "server-1" {
			t.Errorf("info through %s: %+v, %v", path, i, err)
		}
	}
}

func TestWhatIsNoDataDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	write := func(name, content string) string {
		path := filepath.Join(t.TempDir(), filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	other := filepath.Join(t.TempDir(), "state.db") // BoltDB, but no Raft log
	db, err := bbolt.Open(other, 0o600, nil)
	if err := errors.Join(err, db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("meta")); return err }), db.Close()); err != nil {
		t.Fatal(err)
	}
	wal := filepath.Dir(filepath.Dir(filepath.Dir(write("server/raft/wal/wal-meta.db", "x"))))
	for _, c := range []struct {
		name, path string
		want       error
		says       string
	}{
		{"nothing at the path", filepath.Join(t.TempDir(), "none"), os.ErrNotExist, "none"},
		{"an empty folder", t.TempDir(), ErrNoLog, "server/raft/raft.db"},
		{"a log in the WAL store", wal, ErrUnsupported, "wal"},
		{"an empty file", write("raft.db", ""), ErrDamaged, "empty"},
		{"a text file", write("raft.db", strings.Repeat("hello\n", 9000)), ErrDamaged, "raft.db"},
		{"a file that is too short", write("raft.db", "hello"), ErrDamaged, "raft.db"},
		{"another program's BoltDB file", other, ErrDamaged, `"logs"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(c.path)
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("error %v, want %v with %q", err, c.want, c.says)
			}
		})
	}
}

func TestADirectoryThatAServerHoldsIsRefused(t *testing.T) {
	t.Parallel()
	dir := writeDir(t, entries(t, commands(t, 5)))
	store, err := raftboltdb.NewBoltStore(logFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "held by another process") {
		t.Errorf("error %v, want ErrHeld", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	openDir(t, dir)
}

// damage is a log that is not right, and what a replay says about it.
type damage struct {
	name   string
	logs   func(t *testing.T, logs []*raft.Log) []*raft.Log
	change func(b *bbolt.Bucket) error
	kind   string
	index  uint64
	says   string
	left   uint64 // entries applied when going on; there are 92 in all
}

var damages = []damage{
	{
		name: "an entry whose body can't be decoded",
		logs: func(_ *testing.T, logs []*raft.Log) []*raft.Log {
			logs[39].Data = []byte{byte(structs.NodeRegisterMsg), 0x81, 0xa4, 'N'}
			return logs
		},
		kind: KindDamaged, index: 40, says: "NodeRegister", left: 91,
	},
	{
		name: "an entry whose body is of another shape",
		logs: func(t *testing.T, logs []*raft.Log) []*raft.Log {
			logs[39].Data = command(t, structs.NodeUpdateStatusMsg, []int{1, 2})
			return logs
		},
		kind: KindDamaged, index: 40, says: "NodeUpdateStatus", left: 91,
	},
	{
		name: "an entry without a message type",
		logs: func(_ *testing.T, logs []*raft.Log) []*raft.Log { logs[39].Data = nil; return logs },
		kind: KindDamaged, index: 40, says: "decoded", left: 91,
	},
	{
		name: "an entry of a future type",
		logs: func(_ *testing.T, logs []*raft.Log) []*raft.Log { logs[39].Data = []byte{99, 0x80}; return logs },
		kind: KindFuture, index: 40, says: "99", left: 91,
	},
	{
		name: "a configuration that can't be decoded",
		logs: func(_ *testing.T, logs []*raft.Log) []*raft.Log {
			logs[39].Type, logs[39].Data = raft.LogConfiguration, []byte{0x81, 0xa7}
			return logs
		},
		kind: KindDamaged, index: 40, says: "configuration", left: 91,
	},
	{
		name:   "one entry that is missing",
		change: func(b *bbolt.Bucket) error { return b.Delete(rowKey(40)) },
		kind:   KindGap, index: 40, says: "entry 40 is missing", left: 91,
	},
	{
		name: "several entries that are missing",
		logs: func(_ *testing.T, logs []*raft.Log) []*raft.Log { return slices.Delete(logs, 39, 49) },
		kind: KindGap, index: 40, says: "entries 40 to 49 are missing", left: 82,
	},
	{
		name: "a beginning that is missing, without a snapshot",
		logs: func(_ *testing.T, logs []*raft.Log) []*raft.Log { return logs[10:] },
		kind: KindGap, index: 1, says: "entries 1 to 10 are missing; no usable snapshot has them", left: 82,
	},
	{
		name:   "a row that is no record",
		change: func(b *bbolt.Bucket) error { return b.Put(rowKey(40), []byte("garbage")) },
		kind:   KindDamaged, index: 40, says: "record", left: 91,
	},
	{
		name:   "a row that is empty",
		change: func(b *bbolt.Bucket) error { return b.Put(rowKey(40), nil) },
		kind:   KindDamaged, index: 40, says: "record", left: 91,
	},
	{
		name:   "a row that claims to be huge",
		change: func(b *bbolt.Bucket) error { return b.Put(rowKey(40), []byte{0xdf, 0xff, 0xff, 0xff, 0xff}) },
		kind:   KindDamaged, index: 40, says: "record", left: 91,
	},
	{
		name:   "a row that belongs elsewhere",
		change: func(b *bbolt.Bucket) error { return b.Put(rowKey(40), b.Get(rowKey(41))) },
		kind:   KindDamaged, index: 40, says: "entry 41", left: 91,
	},
	{
		name:   "a key that is no index",
		change: func(b *bbolt.Bucket) error { return b.Put(append(rowKey(40), 1), []byte("x")) },
		kind:   KindDamaged, index: 40, says: "9 bytes", left: 92,
	},
	{
		name: "terms that go backwards",
		logs: func(_ *testing.T, logs []*raft.Log) []*raft.Log {
			for _, l := range logs[:39] {
				l.Term += 5
			}
			return logs
		},
		kind: KindUnordered, index: 40, says: "term", left: 92,
	},
}

func TestABadLogIsToldAboutAndStopsTheReplay(t *testing.T) {
	t.Parallel()
	for _, c := range damages {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			logs := entries(t, commands(t, 90))
			if c.logs != nil {
				logs = c.logs(t, logs)
			}
			dir := writeDir(t, logs)
			if c.change != nil {
				rewrite(t, dir, c.change)
			}
			unchanged(t, dir)
			d := openDir(t, dir)
			var digests []string
			for _, batch := range []int{1, 7, 256} {
				stopped, err := d.Run(t.Context(), Options{Batch: batch})
				var p *Problem
				if !errors.Is(err, ErrProblem) || !errors.As(err, &p) {
					t.Fatalf("batch %d: error %v", batch, err)
				}
				if p.Kind != c.kind || p.Index != c.index || !strings.Contains(p.Error(), c.says) {
					t.Errorf("batch %d: problem %v, want %s at %d with %q", batch, p, c.kind, c.index, c.says)
				}
				if stopped == nil || len(stopped.Problems) != 1 || stopped.LastIndex >= c.index && c.left != 92 {
					t.Errorf("batch %d: stopped with %+v", batch, stopped)
				}
				on, err := d.Run(t.Context(), Options{Batch: batch, KeepGoing: true})
				if err != nil || len(on.Problems) != 1 || *on.Problems[0] != *p {
					t.Fatalf("batch %d, going on: %+v, %v", batch, on, err)
				}
				if on.LastIndex != 92 || on.Entries != c.left {
					t.Errorf("batch %d, going on: %d entries to %d, want %d to 92", batch, on.Entries, on.LastIndex, c.left)
				}
				digests = append(digests, stopped.Digest+" "+on.Digest)
			}
			if len(slices.Compact(digests)) != 1 {
				t.Errorf("digests depend on the batch: %v", digests)
			}
		})
	}
}

// TestALogThatWasCutOffIsToldAbout cuts the file in the middle of every second page. Entries on pages that are left are still there.
func TestALogThatWasCutOffIsToldAbout(t *testing.T) {
	t.Parallel()
	dir := writeDir(t, entries(t, commands(t, 120)))
	whole, err := os.ReadFile(logFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	extent := openDir(t, dir).file.Extent()
	page := os.Getpagesize()
	var opened, most int
	for cut := page / 2; cut < int(extent); cut += 2 * page {
		path := filepath.Join(t.TempDir(), "raft.db")
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := Open(path)
		if err != nil {
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Errorf("cut at %d: %v", cut, err)
			}
			continue
		}
		opened++
		_, stopped := d.Run(t.Context(), Options{})
		var p *Problem
		if !errors.As(stopped, &p) || p.Kind != KindTorn && p.Kind != KindGap {
			t.Errorf("cut at %d: %v", cut, stopped)
		}
		if p != nil && p.Kind == KindTorn && !strings.Contains(p.What, fmt.Sprintf("%d of %d bytes", cut, extent)) {
			t.Errorf("cut at %d: it says %v", cut, p)
		}
		on, err := d.Run(t.Context(), Options{KeepGoing: true})
		switch {
		case errors.Is(err, ErrNothing):
			if cut > 16*page {
				t.Errorf("cut at %d: nothing was found", cut)
			}
		case err != nil || len(on.Problems) == 0:
			t.Errorf("cut at %d, going on: %+v, %v", cut, on, err)
		default:
			most = max(most, int(on.Entries))
		}
		_ = d.Close()
	}
	if opened == 0 || most < 60 {
		t.Errorf("%d of the cut files were opened, at most %d entries read", opened, most)
	}
}

// TestALogWithoutItsTreeGivesWhatItsPagesHold: the fixture's file has the root of its tree behind most entries.
func TestALogWithoutItsTreeGivesWhatItsPagesHold(t *testing.T) {
	t.Parallel()
	dir := unpack(t)
	if err := os.Truncate(logFile(dir), 100_000); err != nil {
		t.Fatal(err)
	}
	d := openDir(t, dir)
	_, err := d.Run(t.Context(), Options{FromStart: true})
	var p *Problem
	if !errors.As(err, &p) || p.Kind != KindTorn || !strings.Contains(p.What, "100000 of 172032 bytes") {
		t.Errorf("error %v", err)
	}
	on, err := d.Run(t.Context(), Options{FromStart: true, KeepGoing: true})
	if err != nil || on.Entries != 65 || on.LastIndex != 65 || len(on.Problems) != 1 {
		t.Errorf("going on: %+v, %v", on, err)
	}
	i, err := d.Info(t.Context())
	if err != nil || i.Entries != on.Entries || len(i.Problems) == 0 {
		t.Errorf("info: %+v, %v", i, err)
	}
}

func TestADamagedSnapshotIsPassedOver(t *testing.T) {
	t.Parallel()
	logs := entries(t, commands(t, 90))
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, snap string)
		says   string
	}{
		{"state.bin is shorter", func(t *testing.T, snap string) {
			if err := os.Truncate(filepath.Join(snap, "state.bin"), 100); err != nil {
				t.Fatal(err)
			}
		}, "100 bytes"},
		{"a byte of state.bin is another", func(t *testing.T, snap string) {
			b, err := os.ReadFile(filepath.Join(snap, "state.bin"))
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 1
			if err := os.WriteFile(filepath.Join(snap, "state.bin"), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "state.bin"},
		{"meta.json is cut off", func(t *testing.T, snap string) {
			if err := os.Truncate(filepath.Join(snap, "meta.json"), 20); err != nil {
				t.Fatal(err)
			}
		}, "meta.json"},
		{"state.bin is missing", func(t *testing.T, snap string) {
			if err := os.Remove(filepath.Join(snap, "state.bin")); err != nil {
				t.Fatal(err)
			}
		}, "missing"},
		{"it was never finished", func(t *testing.T, snap string) {
			if err := os.Rename(snap, snap+".tmp"); err != nil {
				t.Fatal(err)
			}
		}, "never finished"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := writeDir(t, logs)
			writeSnapshot(t, dir, logs, 30)
			c.damage(t, writeSnapshot(t, dir, logs, 60))
			unchanged(t, dir)
			want := replayed(t, dir, Options{FromStart: true})
			r := replayed(t, dir, Options{})
			if r.Snapshot == nil || r.Snapshot.Index != 30 || r.Entries != 62 || r.Digest != want.Digest {
				t.Errorf("result %+v", r)
			}
			if len(r.UnusableSnapshots) != 1 || r.UnusableSnapshots[0].Usable || !strings.Contains(r.UnusableSnapshots[0].Problem, c.says) {
				t.Errorf("unusable snapshots %+v", r.UnusableSnapshots)
			}
			i, err := openDir(t, dir).Info(t.Context())
			if err != nil || len(i.Snapshots) != 2 {
				t.Fatalf("info %+v, %v", i, err)
			}
			usable := 0
			for _, s := range i.Snapshots {
				if s.Usable {
					usable++
				}
			}
			if usable != 1 {
				t.Errorf("%d usable snapshots", usable)
			}
		})
	}
}

// TestEntriesBelowTheSnapshotMayBeMissing: a server that got a snapshot from the leader has a gap below it.
func TestEntriesBelowTheSnapshotMayBeMissing(t *testing.T) {
	t.Parallel()
	logs := entries(t, commands(t, 90))
	want := replayed(t, writeDir(t, logs), Options{})
	dir := writeDir(t, slices.Concat(logs[:10], logs[60:]))
	writeSnapshot(t, dir, logs, 60)
	if r := replayed(t, dir, Options{}); r.Digest != want.Digest || r.Entries != 32 {
		t.Errorf("result %+v", r)
	}
	if _, err := openDir(t, dir).Run(t.Context(), Options{FromStart: true}); !errors.Is(err, ErrProblem) {
		t.Errorf("from the start: %v", err)
	}
	i, err := openDir(t, dir).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Range{{1, 10}, {61, 92}}, i.Ranges); diff != "" {
		t.Error(diff)
	}
}

// TestASnapshotThatTheLogDoesNotFollow: between its end and the first entry something is missing.
func TestASnapshotThatTheLogDoesNotFollow(t *testing.T) {
	t.Parallel()
	logs := entries(t, commands(t, 90))
	dir := writeDir(t, logs[60:])
	writeSnapshot(t, dir, logs, 50)
	_, err := openDir(t, dir).Run(t.Context(), Options{})
	var p *Problem
	if !errors.As(err, &p) || p.Kind != KindGap || p.Index != 51 || !strings.Contains(p.What, "ends before them") {
		t.Errorf("error %v", err)
	}
}

func TestAnEmptyDirectoryHasNothingToReplay(t *testing.T) {
	t.Parallel()
	d := openDir(t, writeDir(t, nil))
	if _, err := d.Run(t.Context(), Options{}); !errors.Is(err, ErrNothing) {
		t.Errorf("error %v, want ErrNothing", err)
	}
	if i, err := d.Info(t.Context()); err != nil || i.Entries != 0 || len(i.Ranges) != 0 {
		t.Errorf("info %+v, %v", i, err)
	}
}

func TestAReplayIsInterrupted(t *testing.T) {
	t.Parallel()
	logs := entries(t, commands(t, 90))
	dir := writeDir(t, logs)
	writeSnapshot(t, dir, logs, 30)
	for _, phase := range []string{"verify snapshot", "load snapshot", "log"} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		seen := false
		_, err := openDir(t, dir).Run(ctx, Options{Batch: 1, Progress: func(p string, done, _ int64) {
			if p == phase && done > 0 {
				seen = true
				cancel()
			}
		}})
		if !seen || !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted at %q (%t): %v", phase, seen, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := openDir(t, dir)
	if _, err := d.Info(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("info: %v", err)
	}
	err := d.Entries(ctx, Filter{}, func(*Entry) error { return nil }, func(p *Problem) error { return p })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("entries: %v", err)
	}
}
