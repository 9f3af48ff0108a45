package fsm

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/rollcall-id/rollcall/internal/version"
	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// See testdata/compat/README.md in the module's root.
const compatDir = "../testdata/compat"

const (
	compatSeed     = 7
	compatCommands = 600
)

var (
	compatWrite   = flag.String("compat-write", "", "write logs and snapshots of this version into a new `folder` of testdata/compat")
	compatDigests = flag.Bool("compat-digests", false, "note this version's state digests in every folder of testdata/compat that has none of its digest version")
)

// compatExpected is expected.json: what every later version must make of the files beside it.
type compatExpected struct {
	MadeBy        string
	LastIndex     uint64
	SnapshotIndex uint64
	// Digests are those of the states by state.DigestVersion.
	Digests            map[string]compatStates
	AtSnapshot, AtLast compatCounts
	Failed             map[string]int // commands of each type that the state refuses
}

type compatStates struct{ AtSnapshot, AtLast string }

type compatCounts struct {
	Nodes, NodePools, RootKeys, Namespaces, KeyUses, FeatureGates, OpaqueRecords int
	ACLPolicies, ACLTokens, ACLRoles, OneTimeTokens                              int
}

func countState(tb testing.TB, s *state.Store) compatCounts {
	tb.Helper()
	pools, err := s.NodePools(nil)
	c := compatCounts{Nodes: s.NodeCount(), NodePools: len(collect(tb, pools, err))}
	keys, err := s.RootKeys(nil)
	c.RootKeys = len(collect(tb, keys, err))
	namespaces, err := s.Namespaces(nil)
	c.Namespaces = len(collect(tb, namespaces, err))
	gates, err := s.FeatureGates(nil)
	c.FeatureGates = len(collect(tb, gates, err))
	policies, err := s.ACLPolicies(nil)
	c.ACLPolicies = len(collect(tb, policies, err))
	tokens, err := s.ACLTokens(nil, "")
	c.ACLTokens = len(collect(tb, tokens, err))
	roles, err := s.ACLRoles(nil)
	c.ACLRoles = len(collect(tb, roles, err))
	oneTime, err := s.OneTimeTokens(nil)
	c.OneTimeTokens = len(collect(tb, oneTime, err))
	c.KeyUses, c.OpaqueRecords = len(s.KeyUses()), len(s.OpaqueRecords())
	return c
}

// compatLog is a log as a server has it: commands of every type, and Raft's own entries where those leave room.
func compatLog(tb testing.TB) []*raft.Log {
	tb.Helper()
	commands, checks := withChecks(tb, newGenerator(tb, compatSeed).log(compatCommands))
	if checks < 2 {
		tb.Fatalf("%d digest checks in the log", checks)
	}
	servers := raft.Configuration{Servers: []raft.Server{{ID: "00000000-0000-4000-8000-000000000001", Address: "127.0.0.1:4647"}}}
	log := []*raft.Log{{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(servers)}}
	for _, c := range commands {
		for next := uint64(len(log)) + 1; next < c.Index; next++ {
			log = append(log, &raft.Log{Index: next, Term: 1, Type: raft.LogNoop})
		}
		log = append(log, c)
	}
	for i, e := range log {
		e.AppendedAt = time.Unix(1_700_000_000+int64(i), 0).UTC()
	}
	return log
}

// TestWriteCompat makes the files of a format version. It runs only when it is told to.
func TestWriteCompat(t *testing.T) {
	if *compatWrite == "" {
		t.Skip("no -compat-write")
	}
	dir := filepath.Join(compatDir, *compatWrite)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatalf("versions that are there are never written again: %v", err)
	}
	log := compatLog(t)
	db := filepath.Join(t.TempDir(), "raft.db")
	store, err := raftboltdb.New(raftboltdb.Options{Path: db, MsgpackUseNewTimeFormat: true})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(store.StoreLogs(log), store.SetUint64([]byte("CurrentTerm"), 1), store.Close())
	if err != nil {
		t.Fatal(err)
	}
	zipped(t, db, filepath.Join(dir, "raft.db.gz"))

	f := New(Config{})
	restore(t, f, everything(t)) // so that the snapshot has records of all kinds; the log after it goes on from there
	at := len(log) / 2
	for _, e := range log[:at] {
		f.Apply(e)
	}
	meta := snapshot.Meta{
		Version: 1, ID: "1-" + strconv.Itoa(at) + "-1700000000000", Index: uint64(at), Term: 1, ConfigurationIndex: 1,
		Configuration: snapshot.Configuration{Servers: []snapshot.Server{{ID: "00000000-0000-4000-8000-000000000001", Address: "127.0.0.1:4647"}}},
	}
	view := f.State().Snapshot()
	err = snapshot.WriteFile(filepath.Join(dir, "state.snap"), func(file *os.File) error {
		_, err := snapshot.Write(t.Context(), file, meta, func(w io.Writer) error {
			_, err := WriteState(w, view)
			return err
		}, snapshot.WriteOptions{TempDir: t.TempDir()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got := readCompat(t, dir)
	got.MadeBy = version.Version
	writeExpected(t, dir, got)
}

func writeExpected(tb testing.TB, dir string, e *compatExpected) {
	tb.Helper()
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "expected.json"), append(text, '\n'), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// readCompat reads the files of a folder as a server does that was upgraded to this version, and says what came out.
func readCompat(tb testing.TB, dir string) *compatExpected {
	tb.Helper()
	store, err := raftboltdb.New(raftboltdb.Options{Path: unzipped(tb, filepath.Join(dir, "raft.db.gz")), MsgpackUseNewTimeFormat: true})
	if err != nil {
		tb.Fatal(err)
	}
	defer store.Close()
	last, err := store.LastIndex()
	if err != nil {
		tb.Fatal(err)
	}
	log := make([]*raft.Log, last)
	for i := range log {
		log[i] = new(raft.Log)
		if err := store.GetLog(uint64(i)+1, log[i]); err != nil {
			tb.Fatalf("entry %d: %v", i+1, err)
		}
	}
	e := &compatExpected{LastIndex: last, Failed: map[string]int{}}
	single, batched := New(Config{}), New(Config{})
	for i, res := range oneByOne(single, log) {
		if _, failed := res.(error); failed {
			e.Failed[(structs.MessageType(log[i].Data[0])&^structs.IgnoreUnknownFlag).String()]++
		}
	}
	batched.ApplyBatch(log)
	sameState(tb, "entry by entry and in one batch", single, batched)
	e.AtLast = countState(tb, single.State())

	archive, err := snapshot.VerifyFile(context.Background(), filepath.Join(dir, "state.snap"), snapshot.VerifyOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	defer archive.Close()
	restored := New(Config{})
	if err := restored.Restore(io.NopCloser(archive.State())); err != nil {
		tb.Fatal(err)
	}
	e.SnapshotIndex, e.AtSnapshot = archive.Meta.Index, countState(tb, restored.State())
	again := New(Config{})
	restore(tb, again, persist(tb, restored))
	sameState(tb, "restored from what this version saves", restored, again)
	atSnapshot, atLast := digest(tb, restored), digest(tb, single)
	e.Digests = map[string]compatStates{
		strconv.Itoa(state.DigestVersion): {hex.EncodeToString(atSnapshot[:]), hex.EncodeToString(atLast[:])},
	}
	// What an upgraded server does next.
	for _, entry := range log[e.SnapshotIndex:] {
		restored.Apply(entry)
	}
	if err := errors.Join(single.Err(), batched.Err(), restored.Err()); err != nil {
		tb.Fatal(err)
	}
	return e
}

// zipped compresses a file: a log's is mostly free pages.
func zipped(tb testing.TB, from, to string) {
	tb.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		tb.Fatal(err)
	}
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	if _, err := zip.Write(b); err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(zip.Close(), os.WriteFile(to, out.Bytes(), 0o644)); err != nil {
		tb.Fatal(err)
	}
}

// unzipped returns the path of a copy of the file, which may be written to.
func unzipped(tb testing.TB, path string) string {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(zip)
	if err != nil {
		tb.Fatal(err)
	}
	to := filepath.Join(tb.TempDir(), strings.TrimSuffix(filepath.Base(path), ".gz"))
	if err := os.WriteFile(to, b, 0o600); err != nil {
		tb.Fatal(err)
	}
	return to
}

// TestEveryFormatVersionIsReadAsItWas: this version makes of the logs and snapshots of every earlier one what they were.
func TestEveryFormatVersionIsReadAsItWas(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join(compatDir, "v*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no folder in %s: %v", compatDir, err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(dir, "expected.json"))
			if err != nil {
				t.Fatal(err)
			}
			want := new(compatExpected)
			if err := json.Unmarshal(text, want); err != nil {
				t.Fatal(err)
			}
			got := readCompat(t, dir)
			got.MadeBy = want.MadeBy
			key := strconv.Itoa(state.DigestVersion)
			if _, known := want.Digests[key]; !known {
				if !*compatDigests {
					t.Fatalf("there are no digests of version %s: note them with -compat-digests once everything else is the same", key)
				}
				want.Digests[key] = got.Digests[key]
				writeExpected(t, dir, want)
			}
			for v, states := range want.Digests {
				if v != key { // computed in another way, which this version does not know
					got.Digests[v] = states
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestCompatLogHasEveryCommand keeps what TestWriteCompat writes complete.
func TestCompatLogHasEveryCommand(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	log := compatLog(t)
	worked := map[structs.MessageType]bool{}
	for i, res := range oneByOne(f, log) {
		if _, failed := res.(error); !failed && log[i].Type == raft.LogCommand {
			worked[structs.MessageType(log[i].Data[0])&^structs.IgnoreUnknownFlag] = true
		}
	}
	for i := range numTypes {
		if typ := structs.MessageType(i); commands[typ].apply != nil && !worked[typ] {
			t.Errorf("no %s that works", typ)
		}
	}
}
