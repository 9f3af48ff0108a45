package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/internal/eventually"
	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// secretOfTest must show nowhere.
const secretOfTest = "5ec2e7aa-0000-4000-8000-000000000000"

// testState is a small state with something of everything; change makes another one of it.
func testState(t *testing.T, change func(*state.Restore) error) *state.Store {
	t.Helper()
	store := state.New()
	r := store.Restore()
	key := &structs.RootKey{KeyID: key1, Algorithm: "aes256-gcm", State: "active", CreateTime: start.UnixNano(), CreateIndex: 3, ModifyIndex: 3}
	allocation, err := structs.EncodeBytes(struct { // a map would have another order each time
		ID  string
		Env map[string]string
	}{"alloc-1", map[string]string{"PASSWORD": secretOfTest}})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		r.Node(&structs.Node{ID: node1, Name: "web-1", NodePool: "default", Datacenter: "dc1", Status: "ready", SecretID: secretOfTest, CreateIndex: 5, ModifyIndex: 5}),
		r.Node(&structs.Node{ID: node3, Name: "db-1", NodePool: "edge", Datacenter: "dc1", Status: "down", SecretID: secretOfTest, CreateIndex: 6, ModifyIndex: 6}),
		r.NodePool(&structs.NodePool{Name: "edge", NodeIdentityTTL: time.Hour, CreateIndex: 4, ModifyIndex: 4}),
		r.RootKey(key),
		r.Index(structs.IndexEntry{Key: "nodes", Value: 7}),
		r.ClusterMetadata(&structs.ClusterMetadata{ClusterID: "c1a57e2a-0000-4000-8000-000000000000", CreateTime: start.UnixNano()}),
		r.Opaque(structs.OpaqueRecord{Type: 4, Data: allocation}),
		r.Opaque(structs.OpaqueRecord{Type: 90, Data: []byte{0xc0}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		if err := change(r); err != nil {
			t.Fatal(err)
		}
	}
	r.Commit()
	return store
}

func testArchive(t *testing.T, index uint64, change func(*state.Restore) error) []byte {
	t.Helper()
	var out bytes.Buffer
	meta := snapshot.Meta{Version: 1, ID: fmt.Sprintf("2-%d-%d", index, start.UnixMilli()), Index: index, Term: 2}
	_, err := snapshot.Write(t.Context(), &out, meta, func(w io.Writer) error {
		_, err := fsm.WriteState(w, testState(t, change).Snapshot())
		return err
	}, snapshot.WriteOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// otherArchive has a node more, one less, and another TTL.
func otherArchive(t *testing.T) []byte {
	return testArchive(t, 88, func(r *state.Restore) error {
		return errors.Join(
			r.Node(&structs.Node{ID: node2, Name: "new\x1b[31m", NodePool: "edge", Datacenter: "dc2", Status: "ready", CreateIndex: 9, ModifyIndex: 9}),
			r.NodePool(&structs.NodePool{Name: "edge", NodeIdentityTTL: 2 * time.Hour, CreateIndex: 4, ModifyIndex: 10}),
			r.Opaque(structs.OpaqueRecord{Type: 4, Data: []byte{0x80}}),
		)
	})
}

// snapshotServer saves archive and keeps what it is told to restore, behind the real streaming methods and HTTP API.
type snapshotServer struct {
	archive []byte
	digest  string // "" is the archive's
	err     error

	mu       sync.Mutex
	restored [][]byte // guarded by mu
}

func (s *snapshotServer) Save(context.Context) (*rpc.SavedSnapshot, error) {
	if s.err != nil {
		return nil, s.err
	}
	digest := s.digest
	if digest == "" {
		digest = digestHeader(s.archive)
	}
	return &rpc.SavedSnapshot{Index: 77, Digest: digest, Body: io.NopCloser(bytes.NewReader(s.archive))}, nil
}

func (s *snapshotServer) Restore(_ context.Context, archive io.Reader) error {
	b, err := io.ReadAll(archive)
	if err == nil {
		err = s.err
	}
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.restored = append(s.restored, b)
	}
	return err
}

// leading always leads.
type leading struct{ rpc.Leader }

func (leading) IsLeader() bool                    { return true }
func (leading) Leading() bool                     { return true }
func (leading) VerifyLease(context.Context) error { return nil }

func (s *snapshotServer) serve(t *testing.T) {
	t.Helper()
	c := newCluster()
	s.attach(c)
	c.serve(t)
}

// attach lets the cluster save and restore snapshots.
func (s *snapshotServer) attach(c *cluster) {
	server := rpc.New(rpc.DefaultConfig("global"), rpc.Deps{Logger: hclog.NewNullLogger(), Clock: time.Now, Snapshots: s, Leader: leading{}})
	c.streams = func(ctx context.Context, method string) (net.Conn, error) { return server.Stream(ctx, method) }
}

// snapshotDir has good archives and bad ones.
func snapshotDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	a := testArchive(t, 77, nil)
	flipped := bytes.Clone(a)
	flipped[len(a)/2] ^= 0x10
	for name, content := range map[string][]byte{
		"a.snap": a, "same.snap": testArchive(t, 78, nil), "b.snap": otherArchive(t), "full.snap": fullArchive(t), "cut.snap": a[:len(a)-20], "flipped.snap": flipped,
		"more.snap": append(bytes.Clone(a), 0), "empty.snap": nil, "text.snap": []byte("This is no archive.\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSnapshotCommands(t *testing.T) {
	for _, tc := range []struct {
		name, args string
		server     func(*snapshotServer)
	}{
		{name: "inspect", args: "inspect a.snap"},
		{name: "inspect-json", args: "inspect -json a.snap"},
		{name: "inspect-template", args: "inspect -t '{{.Index}} {{.Nodes.Total}}' a.snap"},
		{name: "inspect-nothing", args: "inspect"},
		{name: "verify", args: "verify a.snap"},
		{name: "verify-cut", args: "verify cut.snap"},
		{name: "verify-flipped", args: "verify flipped.snap"},
		{name: "verify-more", args: "verify more.snap"},
		{name: "verify-empty", args: "verify empty.snap"},
		{name: "verify-text", args: "verify text.snap"},
		{name: "verify-missing", args: "verify none.snap"},
		{name: "verify-directory", args: "verify ."},
		{name: "state", args: "state a.snap"},
		{name: "state-filter", args: `state -type node -filter 'NodePool == "edge"' a.snap`},
		{name: "state-filter-all", args: `state -filter 'Name matches "^web"' a.snap`},
		{name: "state-bad-filter", args: "state -filter 'Name ==' a.snap"},
		{name: "state-no-such-type", args: "state -type Job a.snap"},
		{name: "state-cut", args: "state cut.snap"},
		{name: "diff-same", args: "diff a.snap same.snap"},
		{name: "diff", args: "diff a.snap b.snap"},
		{name: "diff-json", args: "diff -json b.snap a.snap"},
		{name: "diff-most", args: "diff -most 1 a.snap b.snap"},
		{name: "diff-cut", args: "diff a.snap cut.snap"},
		{name: "diff-one", args: "diff a.snap"},
		{name: "diff-bad-most", args: "diff -most -1 a.snap b.snap"},
		{name: "redact", args: "redact a.snap"},
		{name: "redact-out", args: "redact -out out.snap a.snap"},
		{name: "redact-out-exists", args: "redact -out b.snap a.snap"},
		{name: "redact-flipped", args: "redact flipped.snap"},
		{name: "convert", args: "convert -out out.snap full.snap"},
		{name: "convert-json", args: "convert -json -out out.snap full.snap"},
		{name: "convert-template", args: "convert -t '{{range .LeftOut}}{{.Type}} {{.Records}} {{end}}' -out out.snap a.snap"},
		{name: "convert-nowhere", args: "convert full.snap"},
		{name: "convert-out-exists", args: "convert -out b.snap full.snap"},
		{name: "convert-force", args: "convert -force -out b.snap full.snap"},
		{name: "convert-flipped", args: "convert -out out.snap flipped.snap"},
		{name: "save", args: "save -stale new.snap"},
		{name: "save-compatible", args: "save -compatible new.snap"},
		{name: "save-compatible-json", args: "save -compatible -json new.snap"},
		{name: "save-compatible-redacted", args: "save -compatible -redact new.snap"},
		{name: "save-json", args: "save -json new.snap"},
		{name: "save-redacted", args: "save -redact new.snap"},
		{name: "save-exists", args: "save a.snap"},
		{name: "save-denied", args: "save new.snap", server: func(s *snapshotServer) { s.err = structs.ErrPermissionDenied }},
		{name: "save-no-leader", args: "save new.snap", server: func(s *snapshotServer) { s.err = structs.ErrNoLeader }},
		{name: "save-no-folder", args: "save none/new.snap"},
		{name: "restore", args: "restore a.snap"},
		{name: "restore-json", args: "restore -t '{{.ID}}' a.snap"},
		{name: "restore-cut", args: "restore cut.snap"},
		{name: "restore-missing", args: "restore none.snap"},
		{name: "restore-refused", args: "restore a.snap", server: func(s *snapshotServer) { s.err = structs.Coded(400, "no key-encryption key opens root key %s", key1) }},
		{name: "agent-nowhere", args: "agent -once"},
		{name: "agent-twice", args: "agent -once -dir . -s3-bucket b"},
		{name: "agent-no-credentials", args: "agent -once -s3-bucket b"},
		{name: "agent-bad-interval", args: "agent -interval 1s -dir ."},
		{name: "agent-bad-retain", args: "agent -retain 0 -dir ."},
		{name: "agent-bad-level", args: "agent -log-level loud -dir ."},
		{name: "agent-bad-address", args: "agent -metrics-addr nowhere -dir ."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
				t.Setenv(name, "")
			}
			dir := snapshotDir(t)
			before := contents(t, dir)
			here, err := os.Getwd()
			if err != nil {
				t.Fatal(err)
			}
			s := &snapshotServer{archive: testArchive(t, 77, nil)}
			if tc.server != nil {
				tc.server(s)
			}
			s.serve(t)
			t.Chdir(dir)
			got := rollcall(t, "", append([]string{"operator", "snapshot"}, words(tc.args)...)...)
			t.Chdir(here)
			text := fmt.Sprintf("$ rollcall operator snapshot %s\nexit %d\n", tc.args, got.code)
			for _, part := range []struct{ name, content string }{
				{"stdout", got.out}, {"stderr", got.err}, {"files", strings.Join(changes(before, contents(t, dir)), "\n")},
			} {
				if part.content != "" {
					text += "--- " + part.name + "\n" + strings.TrimSuffix(part.content, "\n") + "\n"
				}
			}
			if len(s.restored) > 0 {
				text += fmt.Sprintf("--- restored\n%d bytes\n", len(s.restored[0]))
			}
			text = strings.ReplaceAll(text, os.Getenv("ROLLCALL_ADDR"), "ADDR")
			if strings.Contains(text, secretOfTest) {
				t.Errorf("a secret shows in:\n%s", text)
			}
			golden(t, "snapshot/"+tc.name, text)
		})
	}
}

// contents are the files of a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = fmt.Sprintf("%s %s", info.Mode(), b)
	}
	return out
}

// changes lists what is not as it was.
func changes(before, after map[string]string) (list []string) {
	for _, name := range []string{"new.snap", "out.snap"} {
		if content, ok := after[name]; ok {
			mode, body, _ := strings.Cut(content, " ")
			list = append(list, fmt.Sprintf("new file %s %s, %d bytes", mode, name, len(body)))
			delete(after, name)
		}
	}
	for name := range after {
		switch was, ok := before[name]; {
		case !ok:
			list = append(list, "left behind: "+name)
		case was != after[name]:
			list = append(list, "changed: "+name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			list = append(list, "gone: "+name)
		}
	}
	return list
}

func digestHeader(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha-256=" + base64.StdEncoding.EncodeToString(sum[:])
}

func TestWhatIsSavedIsTheServersArchive(t *testing.T) {
	s := &snapshotServer{archive: testArchive(t, 77, nil)}
	s.serve(t)
	t.Chdir(t.TempDir())
	if got := rollcall(t, "", "operator", "snapshot", "save"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	files, err := filepath.Glob("rollcall-20*Z.snap")
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if b, err := os.ReadFile(files[0]); err != nil || !bytes.Equal(b, s.archive) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if got := rollcall(t, "", "operator", "snapshot", "restore", files[0]); got.code != 0 || len(s.restored) != 1 || !bytes.Equal(s.restored[0], s.archive) {
		t.Errorf("%+v, restored %d times", got, len(s.restored))
	}
}

func TestASaveThatGoesWrongLeavesTheOldFile(t *testing.T) {
	whole := testArchive(t, 77, nil)
	flipped := bytes.Clone(whole)
	flipped[len(whole)/2] ^= 1
	for name, s := range map[string]*snapshotServer{
		"another digest than announced": {archive: whole, digest: digestHeader(otherArchive(t))},
		"a damaged archive":             {archive: flipped},
		"half an archive":               {archive: whole[:len(whole)/2]},
		"no archive":                    {archive: []byte("hello")},
		"a refusal":                     {err: structs.ErrPermissionDenied},
	} {
		t.Run(name, func(t *testing.T) {
			s.serve(t)
			for _, flag := range []string{"-stale", "-redact"} {
				dir := t.TempDir()
				file := filepath.Join(dir, "old.snap")
				if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
				got := rollcall(t, "", "operator", "snapshot", "save", "-force", flag, file)
				if got.code == 0 || !strings.HasPrefix(got.err, "Error: save snapshot: ") {
					t.Errorf("%s: %+v", flag, got)
				}
				if after := contents(t, dir); len(after) != 1 || !strings.HasSuffix(after["old.snap"], " old") {
					t.Errorf("%s: left %v", flag, after)
				}
			}
		})
	}
}

func TestARedactedSnapshotHasNoSecretsAndIsNotRestored(t *testing.T) {
	s := &snapshotServer{archive: testArchive(t, 77, nil)}
	s.serve(t)
	file := filepath.Join(t.TempDir(), "r.snap")
	if got := rollcall(t, "", "operator", "snapshot", "save", "-redact", file); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if got := rollcall(t, "", "operator", "snapshot", "state", "-type", "RootKey", file); got.code != 0 || !strings.Contains(got.out, key1+" [REDACTED]") {
		t.Errorf("%+v", got)
	}
	got := rollcall(t, "", "operator", "snapshot", "restore", file)
	if got.code != 1 || !strings.Contains(got.err, "the snapshot was redacted") || len(s.restored) > 0 {
		t.Errorf("%+v, restored %d times", got, len(s.restored))
	}
}

func TestRestoreAsksFirst(t *testing.T) {
	dir := snapshotDir(t)
	for answer, code := range map[string]int{"y\n": 0, "n\n": 1, "": 1} {
		s := &snapshotServer{}
		s.serve(t)
		var out, errs strings.Builder
		a := &app{in: strings.NewReader(answer), out: &out, err: &errs, interactive: true}
		got := a.run(t.Context(), []string{"rollcall", "operator", "snapshot", "restore", filepath.Join(dir, "a.snap")})
		if got != code || len(s.restored) != 1-code || !strings.Contains(errs.String(), "Replace the whole state of the cluster at http://") {
			t.Errorf("answer %q: exit %d, restored %d times, stderr %s", answer, got, len(s.restored), errs.String())
		}
	}
}

func TestEveryCutOfASnapshotIsRefused(t *testing.T) {
	whole := testArchive(t, 77, nil)
	file := filepath.Join(t.TempDir(), "cut.snap")
	s := &snapshotServer{}
	s.serve(t)
	for n := 0; n < len(whole); n += 101 {
		if err := os.WriteFile(file, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"verify", "inspect", "restore", "redact"} {
			got := rollcall(t, "", "operator", "snapshot", command, file)
			if got.code != 1 || got.out != "" || !strings.Contains(got.err, "Error: snapshot "+file) || !strings.Contains(got.err, "at byte ") {
				t.Errorf("%s of %d bytes: %+v", command, n, got)
			}
		}
	}
	if len(s.restored) > 0 {
		t.Error("something was restored")
	}
}

func TestSnapshotAgentTakesOne(t *testing.T) {
	s := &snapshotServer{archive: testArchive(t, 77, nil)}
	s.serve(t)
	digest, err := testState(t, nil).Digest()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "backups")
	got := rollcall(t, "", "operator", "snapshot", "agent", "-once", "-dir", dir)
	files, err := filepath.Glob(filepath.Join(dir, "rollcall-*-77.snap"))
	if err != nil || len(files) != 1 || got.code != 0 {
		t.Fatalf("%+v, files %v", got, files)
	}
	for _, text := range []string{filepath.Base(files[0]), "index 77, 2 nodes", fmt.Sprintf("%x", digest)} {
		if !strings.Contains(got.out, text) {
			t.Errorf("%q is not in %s", text, got.out)
		}
	}
	s.err = structs.ErrPermissionDenied
	if got := rollcall(t, "", "operator", "snapshot", "agent", "-once", "-json", "-dir", dir); got.code != exitDenied || got.out != "" {
		t.Errorf("%+v", got)
	}
}

func TestSnapshotAgentStoresInABucket(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "access")
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretOfTest)
	backend := s3mem.New()
	if err := backend.CreateBucket("backups"); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(gofakes3.New(backend).Server())
	defer srv.Close()
	s := &snapshotServer{archive: testArchive(t, 77, nil)}
	s.serve(t)
	t.Setenv("ROLLCALL_SNAPSHOT_S3_ENDPOINT", srv.URL)
	got := rollcall(t, "", "operator", "snapshot", "agent", "-once", "-s3-bucket", "backups", "-s3-region", "eu-west-1", "-s3-prefix", "site", "-t", "{{.Name}}")
	if got.code != 0 || strings.Contains(got.out+got.err, secretOfTest) {
		t.Fatalf("%+v", got)
	}
	o, err := backend.GetObject("backups", "site/"+strings.TrimSpace(got.out), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Contents.Close()
	if b, err := io.ReadAll(o.Contents); err != nil || !bytes.Equal(b, s.archive) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestSnapshotAgentRunsUntilItIsStopped(t *testing.T) {
	s := &snapshotServer{archive: testArchive(t, 77, nil)}
	s.serve(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan int, 1)
	var out, errs bytes.Buffer
	go func() {
		a := &app{in: strings.NewReader(""), out: &out, err: &errs}
		done <- a.run(ctx, []string{"rollcall", "operator", "snapshot", "agent", "-dir", t.TempDir(), "-metrics-addr", addr})
	}()
	defer http.DefaultClient.CloseIdleConnections()
	eventually.True(t, "a snapshot in the metrics", func() error {
		res, err := http.Get("http://" + addr + "/metrics")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err == nil && !strings.Contains(string(b), `rollcall_snapshot_rounds_total{result="taken"} 1`) {
			err = fmt.Errorf("metrics:\n%s", b)
		}
		return err
	})
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit %d, stderr:\n%s", code, errs.String())
	}
}

func TestEverySnapshotCommandHasAnExampleAndExitCodes(t *testing.T) {
	for _, name := range []string{"save", "restore", "inspect", "verify", "state", "diff", "redact", "agent"} {
		got := rollcall(t, "", "operator", "snapshot", name, "-h")
		if got.code != 0 || !strings.Contains(got.out, "\n     rollcall operator snapshot "+name) || !strings.Contains(got.out, exitCodeHelp) {
			t.Errorf("%s: exit %d, no example or exit codes in:\n%s", name, got.code, got.out)
		}
	}
}
