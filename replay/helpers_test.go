package replay

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/structs"
)

const fixture = "testdata/nomad-1.10.5"

// unpack returns a data directory with the fixture's server folder in it.
func unpack(tb testing.TB) string {
	tb.Helper()
	f, err := os.Open(filepath.Join(fixture, "server-datadir.tar.gz"))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	zip, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	for in := tar.NewReader(zip); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			tb.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(path, 0o700); err != nil {
				tb.Fatal(err)
			}
			continue
		}
		b, err := io.ReadAll(in)
		if err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

func openDir(tb testing.TB, path string) *Dir {
	tb.Helper()
	d, err := Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = d.Close() })
	return d
}

// replayed runs a replay that has to reach the end without a problem.
func replayed(tb testing.TB, path string, opts Options) *Result {
	tb.Helper()
	r, err := openDir(tb, path).Run(context.Background(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	if len(r.Problems) > 0 {
		tb.Fatalf("problems: %v", r.Problems)
	}
	return r
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600))

// command is an entry's data.
func command(tb testing.TB, t structs.MessageType, req any) []byte {
	tb.Helper()
	b, err := structs.Encode(t, req)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func nodeID(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

// commands is a log's worth of commands, of which some are refused.
func commands(tb testing.TB, n int) [][]byte {
	tb.Helper()
	all := [][]byte{
		command(tb, structs.ClusterMetadataMsg, &structs.ClusterMetadata{ClusterID: nodeID(9), CreateTime: epoch.UnixNano()}),
		command(tb, structs.NodePoolUpsertMsg, map[string]any{"NodePools": []any{map[string]any{"Name": "edge"}, map[string]any{"Name": "core", "NodeIdentityTTL": int64(time.Hour)}}}),
	}
	for i := len(all); i < n; i++ {
		id := i / 3
		switch i % 3 {
		case 0:
			node := &structs.Node{
				ID: nodeID(id), SecretID: nodeID(1_000_000 + id), Datacenter: "dc1", Name: fmt.Sprint("n", id), NodePool: []string{"edge", "made", ""}[id%3],
				Attributes: structs.NewStringMap(map[string]string{"kernel.name": "linux", "arch": "amd64"}), Status: structs.NodeStatusInit, StatusUpdatedAt: epoch.Unix() + int64(i),
			}
			all = append(all, command(tb, structs.NodeRegisterMsg, &structs.NodeRegisterRequest{Node: node, CreateNodePool: true}))
		case 1:
			all = append(all, command(tb, structs.NodeUpdateStatusMsg, &structs.NodeUpdateStatusRequest{
				NodeID: nodeID(id), Status: structs.NodeStatusReady, UpdatedAt: epoch.Unix() + int64(i),
				NodeEvent: structs.NewNodeEvent("Cluster", "ready", epoch.Add(time.Duration(i)*time.Second)),
			}))
		default:
			if id%7 == 0 {
				all = append(all, command(tb, structs.NodePoolDeleteMsg, &structs.NodePoolDeleteRequest{Names: []string{"none"}})) // is refused
				continue
			}
			all = append(all, command(tb, structs.JobRegisterMsg, map[string]any{"Job": map[string]any{"ID": "web"}, "AuthToken": "marker-token"})) // is skipped
		}
	}
	return all[:n]
}

// entries makes commands a log: entry 1 is the configuration, entry 2 a noop, and the commands start at 3.
func entries(tb testing.TB, cmds [][]byte) []*raft.Log {
	tb.Helper()
	conf := raft.Configuration{Servers: []raft.Server{{ID: "server-1", Address: "10.0.0.1:4647"}}}
	logs := []*raft.Log{
		{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(conf), AppendedAt: epoch},
		{Index: 2, Term: 2, Type: raft.LogNoop, AppendedAt: epoch},
	}
	for i, c := range cmds {
		logs = append(logs, &raft.Log{Index: uint64(i + 3), Term: 2, Type: raft.LogCommand, Data: c, AppendedAt: epoch.Add(time.Duration(i) * time.Second)})
	}
	return logs
}

// writeDir makes a data directory with such a log.
func writeDir(tb testing.TB, logs []*raft.Log) string {
	tb.Helper()
	dir := tb.TempDir()
	path := filepath.Join(dir, "server", "raft")
	if err := os.MkdirAll(path, 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "server", "node-id"), []byte("server-1\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	store, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(path, "raft.db"), NoSync: true, MsgpackUseNewTimeFormat: true})
	if err != nil {
		tb.Fatal(err)
	}
	for chunk := range slices.Chunk(logs, 2000) {
		if err := store.StoreLogs(chunk); err != nil {
			tb.Fatal(err)
		}
	}
	err = errors.Join(store.SetUint64([]byte("CurrentTerm"), 2), store.SetUint64([]byte("LastVoteTerm"), 2),
		store.Set([]byte("LastVoteCand"), []byte("10.0.0.1:4647")), store.Close())
	if err != nil {
		tb.Fatal(err)
	}
	return dir
}

// writeSnapshot adds the snapshot of the state after the first n entries and returns its folder.
func writeSnapshot(tb testing.TB, dir string, logs []*raft.Log, n int) string {
	tb.Helper()
	f := fsm.New(fsm.Config{})
	f.ApplyBatch(logs[:n])
	snap, err := f.Snapshot()
	if err != nil {
		tb.Fatal(err)
	}
	raftDir := filepath.Join(dir, "server", "raft")
	store, err := raft.NewFileSnapshotStoreWithLogger(raftDir, 10, hclog.NewNullLogger())
	if err != nil {
		tb.Fatal(err)
	}
	_, trans := raft.NewInmemTransport("10.0.0.1:4647")
	conf := raft.Configuration{Servers: []raft.Server{{ID: "server-1", Address: "10.0.0.1:4647"}}}
	sink, err := store.Create(1, logs[n-1].Index, logs[n-1].Term, conf, 1, trans)
	if err != nil {
		tb.Fatal(err)
	}
	if err := snap.Persist(sink); err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(raftDir, "snapshots", sink.ID())
}

func logFile(dir string) string { return filepath.Join(dir, "server", "raft", "raft.db") }

// rewrite changes the log's rows.
func rewrite(tb testing.TB, dir string, change func(b *bbolt.Bucket) error) {
	tb.Helper()
	db, err := bbolt.Open(logFile(dir), 0o600, nil)
	if err != nil {
		tb.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return change(tx.Bucket([]byte("logs"))) })
	if err := errors.Join(err, db.Close()); err != nil {
		tb.Fatal(err)
	}
}

// contents returns every file below dir.
func contents(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			files[path] = "dir"
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return files
}

// unchanged fails the test if anything below dir is other than now when it ends.
func unchanged(tb testing.TB, dir string) {
	tb.Helper()
	before := contents(tb, dir)
	tb.Cleanup(func() {
		if after := contents(tb, dir); !maps.Equal(before, after) {
			tb.Errorf("the data directory was changed")
		}
	})
}
