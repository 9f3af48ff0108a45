package server

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

// refusingStore is a disk that refuses writes once told to.
type refusingStore struct {
	*raft.InmemStore
	err error
}

func (r *refusingStore) StoreLog(*raft.Log) error           { return r.err }
func (r *refusingStore) StoreLogs([]*raft.Log) error        { return r.err }
func (r *refusingStore) DeleteRange(_, _ uint64) error      { return r.err }
func (r *refusingStore) Set(_, _ []byte) error              { return r.err }
func (r *refusingStore) SetUint64(_ []byte, _ uint64) error { return r.err }

func TestEveryWriteThatTheDiskRefusesIsReported(t *testing.T) {
	full := errors.New("no space left on device")
	tests := []struct {
		name  string
		write func(g guardedStore) error
	}{
		{"one entry", func(g guardedStore) error { return g.StoreLog(&raft.Log{Index: 1}) }},
		{"several entries", func(g guardedStore) error { return g.StoreLogs([]*raft.Log{{Index: 1}}) }},
		{"a truncation", func(g guardedStore) error { return g.DeleteRange(1, 2) }},
		{"the vote", func(g guardedStore) error { return g.Set([]byte("LastVoteCand"), []byte("a")) }},
		{"the term", func(g guardedStore) error { return g.SetUint64([]byte("CurrentTerm"), 2) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, refusal := range []error{nil, full} {
				disk := &refusingStore{InmemStore: raft.NewInmemStore(), err: refusal}
				var reported []error
				g := guardedStore{LogStore: disk, StableStore: disk, path: "/data/raft.db", failed: func(err error) { reported = append(reported, err) }}
				err := tt.write(g)
				if !errors.Is(err, refusal) {
					t.Errorf("got %v, want %v", err, refusal)
				}
				if refusal == nil {
					if err != nil || len(reported) != 0 {
						t.Errorf("a write that succeeded: %v, reported %v", err, reported)
					}
					continue
				}
				if len(reported) != 1 || !errors.Is(reported[0], full) || !strings.Contains(reported[0].Error(), "/data/raft.db") {
					t.Errorf("reported %v, want one report that names the file", reported)
				}
			}
		})
	}
}

func TestAServerWhoseDiskRefusesAWriteStopsAndAcknowledgesNothing(t *testing.T) {
	conf := testConfig(t, "s1", 1)
	conf.DataDir = t.TempDir()
	conf.Raft.DisableLogCache = true
	s, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	waitLeader(t, s)
	pool := newPool(t)
	register(t, pool, s.RPCAddr(), testNode(), "")
	// The file goes away below the running server: every further write fails.
	if err := s.stores.bolt.Close(); err != nil {
		t.Fatal(err)
	}
	n := testNode()
	req := &structs.NodeRegisterRequest{Node: n, WriteRequest: structs.WriteRequest{Region: testRegion}}
	if err := pool.Call(t.Context(), s.RPCAddr(), "Node.Register", req, &structs.NodeUpdateResponse{}); err == nil {
		t.Error("a registration that is on no disk was acknowledged")
	}
	select {
	case err := <-s.Failed():
		if !strings.Contains(err.Error(), filepath.Join(conf.DataDir, "raft", "raft.db")) {
			t.Errorf("failure %q does not name the file", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the server goes on")
	}
	if err := s.Shutdown(); err != nil {
		t.Errorf("shut down: %v", err)
	}
	again := testConfig(t, "s1", 1)
	again.DataDir = conf.DataDir
	s2 := start(t, again)
	waitLeader(t, s2)
	if c := s2.fsm.State().NodeCount(); c != 1 {
		t.Errorf("%d nodes after the restart, want the one that was acknowledged", c)
	}
}

// ranOnce returns the folder of a server that has run, with nodes, and was stopped; snapshots says how many
// snapshots it took.
func ranOnce(t *testing.T, snapshots int) string {
	t.Helper()
	conf := testConfig(t, "s1", 1)
	conf.DataDir = t.TempDir()
	conf.Raft.TrailingLogs = 1
	s, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	waitLeader(t, s)
	pool := newPool(t)
	for range snapshots {
		register(t, pool, s.RPCAddr(), testNode(), "")
		register(t, pool, s.RPCAddr(), testNode(), "")
		if err := s.raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
	}
	register(t, pool, s.RPCAddr(), testNode(), "")
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	return conf.DataDir
}

// snapshotDirs are the snapshots of a folder, oldest first.
func snapshotDirs(t *testing.T, dir string) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(dir, "raft", "snapshots", "*-*-*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("snapshots: %v, %v", dirs, err)
	}
	taken := func(dir string) int { // names end in milliseconds
		ms, err := strconv.Atoi(dir[strings.LastIndexByte(dir, '-')+1:])
		if err != nil {
			t.Fatal(err)
		}
		return ms
	}
	slices.SortFunc(dirs, func(a, b string) int { return cmp.Compare(taken(a), taken(b)) })
	return dirs
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func scribble(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func fillFrom(b []byte, at int) []byte {
	for i := at; i < len(b); i++ {
		b[i] = 0xa5
	}
	return b
}

func TestADataDirectoryThatMakesNoSenseIsRefusedInClearWords(t *testing.T) {
	tests := []struct {
		name      string
		snapshots int
		damage    func(t *testing.T, dir string)
		want      []string // parts of the message
	}{
		{"written by a newer Raft protocol", 0, func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "raft", "version"), "4\n")
		}, []string{"raft/version", "protocol 4", "newer"}},
		{"a Raft version that is no number", 0, func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "raft", "version"), "three")
		}, []string{"raft/version", `"three"`}},
		{"a server ID that is no UUID", 0, func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "node-id"), "me")
		}, []string{"node-id", "does not hold a UUID", "backup"}},
		{"an empty server ID", 0, func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "node-id"), "")
		}, []string{"node-id", "does not hold a UUID"}},
		{"a log of other bytes", 0, func(t *testing.T, dir string) {
			scribble(t, filepath.Join(dir, "raft", "raft.db"), func(b []byte) []byte { return fillFrom(b, 0) })
		}, []string{"raft/raft.db", "damaged", "backup"}},
		{"a log whose pages but the first two are other bytes", 0, func(t *testing.T, dir string) {
			scribble(t, filepath.Join(dir, "raft", "raft.db"), func(b []byte) []byte { return fillFrom(b, 8192) })
		}, []string{"raft", "damaged"}},
		{"a log of text", 0, func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "raft", "raft.db"), strings.Repeat("not a log ", 2000))
		}, []string{"raft/raft.db"}},
		{"a log cut in its second page", 0, func(t *testing.T, dir string) {
			scribble(t, filepath.Join(dir, "raft", "raft.db"), func(b []byte) []byte { return b[:5000] })
		}, []string{"raft"}},
		{"a log that is a folder", 0, func(t *testing.T, dir string) {
			path := filepath.Join(dir, "raft", "raft.db")
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
		}, []string{"raft/raft.db"}},
		{"a recovery file that is no JSON", 0, func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "raft", "peers.json"), "[{")
		}, []string{"peers.json"}},
		{"a recovery file that names nobody", 0, func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "raft", "peers.json"), "[]")
		}, []string{"peers.json"}},
		{"one snapshot, damaged, and the log before it gone", 1, func(t *testing.T, dir string) {
			d := snapshotDirs(t, dir)
			scribble(t, filepath.Join(d[len(d)-1], "state.bin"), func(b []byte) []byte { return fillFrom(b, len(b)/2) })
		}, []string{"raft", "snapshot"}},
		{"the newest snapshot damaged, and the log after the one before gone", 2, func(t *testing.T, dir string) {
			d := snapshotDirs(t, dir)
			scribble(t, filepath.Join(d[len(d)-1], "state.bin"), func(b []byte) []byte { return b[:len(b)/2] })
		}, []string{"raft", "damaged"}},
		{"all descriptions of snapshots damaged", 2, func(t *testing.T, dir string) {
			for _, d := range snapshotDirs(t, dir) {
				write(t, filepath.Join(d, "meta.json"), "{")
			}
		}, []string{"raft", "damaged"}},
	}
	folders := map[int]string{}
	for _, n := range []int{0, 1, 2} {
		folders[n] = ranOnce(t, n)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conf := testConfig(t, "s1", 1)
			conf.Logger = hclog.NewNullLogger()
			conf.DataDir = t.TempDir()
			if err := os.CopyFS(conf.DataDir, os.DirFS(folders[tt.snapshots])); err != nil {
				t.Fatal(err)
			}
			tt.damage(t, conf.DataDir)
			s, err := New(conf)
			if err == nil {
				_ = s.Shutdown()
				t.Fatal("the server started")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("message lacks %q: %v", part, err)
				}
			}
		})
	}
}

func TestANewestSnapshotThatIsDamagedFallsBackToTheOneBeforeWhenTheLogReachesBack(t *testing.T) {
	conf := testConfig(t, "s1", 1)
	conf.DataDir = t.TempDir() // the default keeps 10,240 entries behind a snapshot
	s, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	waitLeader(t, s)
	pool := newPool(t)
	for range 2 {
		register(t, pool, s.RPCAddr(), testNode(), "")
		if err := s.raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	d := snapshotDirs(t, conf.DataDir)
	scribble(t, filepath.Join(d[len(d)-1], "state.bin"), func(b []byte) []byte { return fillFrom(b, 10) })
	again := testConfig(t, "s1", 1)
	again.DataDir, again.Logger = conf.DataDir, hclog.NewNullLogger()
	s2 := start(t, again)
	waitLeader(t, s2)
	if n := s2.fsm.State().NodeCount(); n != 2 {
		t.Errorf("%d nodes, want both", n)
	}
}

func TestAnUnwritableDataDirectoryIsRefused(t *testing.T) {
	conf := testConfig(t, "s1", 1)
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	conf.DataDir = filepath.Join(file, "server")
	s, err := New(conf)
	if err == nil {
		_ = s.Shutdown()
		t.Fatal("the server started")
	}
	if !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "data directory") {
		t.Errorf("message does not name the folder: %v", err)
	}
	if _, err := conf.RPCListener.Accept(); err == nil {
		t.Error("the listener of a server that did not start is open")
	}
}

func TestAConfigurationThatIsRefusedClosesTheListener(t *testing.T) {
	conf := testConfig(t, "", 1)
	if _, err := New(conf); err == nil || !strings.Contains(err.Error(), "node name is empty") {
		t.Fatalf("got %v", err)
	}
	if _, err := conf.RPCListener.Accept(); err == nil {
		t.Error("the listener is open")
	}
}

func TestALogHeldByAnotherServerIsRefusedSoon(t *testing.T) {
	conf := testConfig(t, "s1", 1)
	conf.DataDir = t.TempDir()
	start(t, conf)
	other := testConfig(t, "s2", 1)
	other.DataDir = conf.DataDir
	began := time.Now()
	s, err := New(other)
	if err == nil {
		_ = s.Shutdown()
		t.Fatal("two servers share a data directory")
	}
	if !strings.Contains(err.Error(), "raft.db") || !strings.Contains(err.Error(), "another process holds it") {
		t.Errorf("message: %v", err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %v, want under 3 s", took)
	}
}

func TestTheFilesOfANewServer(t *testing.T) {
	conf := testConfig(t, "s1", 1)
	conf.DataDir = t.TempDir()
	raftDir := filepath.Join(conf.DataDir, "raft")
	if err := os.MkdirAll(raftDir, 0o700); err != nil {
		t.Fatal(err)
	}
	// Left over from elsewhere: would leave the cluster without this server.
	left := filepath.Join(raftDir, "peers.json")
	write(t, left, `[{"id":"11111111-1111-1111-1111-111111111111","address":"10.0.0.1:4647"}]`)
	s := start(t, conf)
	waitLeader(t, s)
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left-over peers.json: %v", err)
	}
	for name, want := range map[string]string{"raft/version": "3", "node-id": s.id, "raft/peers.info": peersInfo} {
		path := filepath.Join(conf.DataDir, name)
		b, err := os.ReadFile(path)
		if err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v; want %q", name, b, err, want)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v; want 0600", name, info.Mode(), err)
		}
	}
	eventually(t, "the gossip snapshot", func() error {
		_, err := os.Stat(filepath.Join(conf.DataDir, "serf", "snapshot"))
		return err
	})
}

func TestOneServerOfThreeIsRecoveredByHand(t *testing.T) {
	dirs := map[string]string{}
	servers := cluster(t, 3, func(c *Config) {
		c.DataDir = t.TempDir()
		dirs[c.NodeName] = c.DataDir
	})
	pool := newPool(t)
	n := testNode()
	register(t, pool, servers[0].RPCAddr(), n, "")
	id := servers[0].id
	eventually(t, "the node on all servers", func() error {
		for _, s := range servers {
			if s.fsm.State().NodeCount() != 1 {
				return fmt.Errorf("%s does not have it", s.cfg.NodeName)
			}
		}
		return nil
	})
	for _, s := range servers {
		if err := s.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
	again := testConfig(t, "s1", 3)
	again.DataDir = dirs["s1"]
	peers, err := json.Marshal([]map[string]any{{"id": id, "address": again.RPCAdvertise, "non_voter": false}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(again.DataDir, "raft", "peers.json")
	write(t, file, string(peers))
	s := start(t, again)
	waitLeader(t, s)
	if s.fsm.State().NodeCount() != 1 {
		t.Error("the node is gone")
	}
	if peers, err := s.RaftPeers(); err != nil || len(peers) != 1 || peers[0] != again.RPCAdvertise {
		t.Errorf("peers %v, %v", peers, err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("peers.json after recovery: %v", err)
	}
	register(t, pool, s.RPCAddr(), testNode(), "")
}
