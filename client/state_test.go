package client

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"go.etcd.io/bbolt"

	"github.com/rollcall-id/rollcall/structs"
)

// newNode starts and stops a node in dir.
func newNode(dir string) (nodeID string, err error) {
	cfg := testConfig("127.0.0.1:1")
	cfg.StateDir = dir
	c, err := New(cfg)
	if err != nil {
		return "", err
	}
	return c.NodeID(), c.Shutdown()
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestStateDirectoryIsMadeOnFirstBootAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "client")
	first, err := newNode(dir)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(filepath.Join(dir, secretIDFile))
	if err != nil {
		t.Fatal(err)
	}
	if !structs.IsUUID(first) || !structs.IsUUID(string(secret)) || first == string(secret) {
		t.Errorf("node ID %q, secret ID of %d bytes", first, len(secret))
	}
	for path, want := range map[string]fs.FileMode{"": 0o700, nodeIDFile: 0o600, secretIDFile: 0o600, stateFile: 0o600} {
		if got := mode(t, filepath.Join(dir, path)); got != want {
			t.Errorf("mode of %q is %04o, want %04o", path, got, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
	second, err := newNode(dir)
	if err != nil || second != first {
		t.Errorf("second start: node %q, %v; want %q", second, err, first)
	}
	if now, _ := os.ReadFile(filepath.Join(dir, secretIDFile)); !bytes.Equal(now, secret) {
		t.Error("the secret ID has changed")
	}
}

func TestPermissionsOfOthersAreTakenAway(t *testing.T) {
	dir := t.TempDir()
	if _, err := newNode(dir); err != nil {
		t.Fatal(err)
	}
	for path, m := range map[string]fs.FileMode{"": 0o755, nodeIDFile: 0o644, secretIDFile: 0o664, stateFile: 0o606} {
		if err := os.Chmod(filepath.Join(dir, path), m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := newNode(dir); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{"": 0o700, nodeIDFile: 0o600, secretIDFile: 0o600, stateFile: 0o600} {
		if got := mode(t, filepath.Join(dir, path)); got != want {
			t.Errorf("mode of %q is %04o, want %04o", path, got, want)
		}
	}
}

func TestStateDirectoryBelongsToOneAgent(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig("127.0.0.1:1")
	cfg.StateDir = dir
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newNode(dir); err == nil || !strings.Contains(err.Error(), "another agent") || !strings.Contains(err.Error(), dir) {
		t.Errorf("second agent: %v", err)
	}
	if err := c.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if _, err := newNode(dir); err != nil {
		t.Errorf("after the first has stopped: %v", err)
	}
}

// TestDamagedStateIsRefusedAndLeftAlone also checks that nothing of a secret ends up in the error.
func TestDamagedStateIsRefusedAndLeftAlone(t *testing.T) {
	for _, tc := range []struct {
		name   string
		file   string
		damage func(b []byte) []byte
		want   string
	}{
		{"an empty node ID", nodeIDFile, func([]byte) []byte { return nil }, "does not hold a UUID"},
		{"a node ID cut short", nodeIDFile, func(b []byte) []byte { return b[:20] }, "does not hold a UUID"},
		{"a secret ID that is text", secretIDFile, func([]byte) []byte { return []byte("hunter2-hunter2") }, "does not hold a UUID"},
		{"a secret ID that is endless", secretIDFile, func([]byte) []byte { return bytes.Repeat([]byte("a"), maxSmallFile+1) }, "longer than"},
		{"a database of garbage", stateFile, func(b []byte) []byte { return bytes.Repeat([]byte("garbage!"), len(b)/8) }, "open client state"},
		{"a database cut to its first page", stateFile, func(b []byte) []byte { return b[:4096] }, "open client state"},
		{"a database cut in the middle", stateFile, func(b []byte) []byte { return b[:3*4096] }, "open client state"},
		{"a database whose pages are zero", stateFile, func(b []byte) []byte { clear(b[2*4096:]); return b }, "open client state"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := newNode(dir); err != nil {
				t.Fatal(err)
			}
			s, err := openStore(dir, hclog.NewNullLogger())
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(s.save(persisted{strings.Repeat("x", 9000), true}), s.save(persisted{"", true}), s.close()); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, tc.file)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			bad := tc.damage(bytes.Clone(whole))
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = newNode(dir)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("got %v, want an error that names %s and contains %q", err, path, tc.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the file's content: %v", err)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, bad) {
				t.Errorf("the damaged file was changed (%v)", err)
			}
		})
	}
}

func TestDatabaseCutAtAnyPageIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := openStore(dir, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{30000, 10, 30000, 500} {
		if err := s.save(persisted{strings.Repeat("x", size), true}); err != nil {
			t.Fatal(err)
		}
	}
	var used int64
	if err := s.db.View(func(tx *bbolt.Tx) error { used = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	for n := page; int64(n) < used; n += page {
		cut := t.TempDir()
		if err := os.WriteFile(filepath.Join(cut, stateFile), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := newNode(cut); err == nil || !strings.Contains(err.Error(), "open client state") {
			t.Errorf("cut to %d of %d bytes: %v", n, used, err)
		}
	}
}

func TestStoredIdentityMustBeOfThisNode(t *testing.T) {
	for _, tc := range []struct{ name, identity, want string }{
		{"of another node", nodeToken(testSecret, "x", time.Unix(1<<31, 0), time.Hour), "belongs to node"},
		{"no token at all", "xyzzy", "not a signed token"},
		{"not base64", "a.!xyzzy!.c", "not base64url"},
		{"no claims", "a.bm90IGpzb24.c", "does not hold the claims"},
		{"an introduction", makeToken(structs.NewIntroductionClaims("global", "default", "", structs.Lifetime{})), "kind introduction"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := loadCredentials(testNode, testSecret, &memStore{p: persisted{Identity: tc.identity}})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), stateFile) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "xyzzy") {
				t.Errorf("the error shows the stored identity: %v", err)
			}
		})
	}
}

// TestStateFormat pins the places and forms of wire.md §3.6.
func TestStateFormat(t *testing.T) {
	dir := t.TempDir()
	s, err := openStore(dir, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	want := persisted{"signed", true}
	if err := s.save(want); err != nil {
		t.Fatal(err)
	}
	if got, err := s.load(); err != nil || got != want {
		t.Errorf("load() = %v, %v", got, err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(dir, "state.db"), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	got := map[string]any{}
	if err := db.View(func(tx *bbolt.Tx) error {
		for _, at := range [][2]string{{"node_identity", "node_identity_state"}, {"node", "registration"}} {
			var v any
			if err := structs.Decode(tx.Bucket([]byte(at[0])).Get([]byte(at[1])), &v); err != nil {
				return err
			}
			got[at[0]+"/"+at[1]] = v
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{
		"node_identity/node_identity_state": map[string]any{"SignedIdentity": "signed"},
		"node/registration":                 map[string]any{"HasRegistered": true},
	}, got); diff != "" {
		t.Errorf("state.db, -want +got:\n%s", diff)
	}
}

func TestDamagedRecordIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := newNode(dir); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(dir, stateFile), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(nodeBucket)
		if err != nil {
			return err
		}
		return b.Put(registrationKey, []byte{0xc1})
	}); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if _, err := newNode(dir); err == nil || !strings.Contains(err.Error(), "record node/registration") {
		t.Errorf("got %v", err)
	}
}

// slowDisk is a store whose save takes until done is closed.
type slowDisk struct {
	memStore
	done chan struct{}
}

func (s *slowDisk) save(p persisted) error {
	<-s.done
	return s.memStore.save(p)
}

func TestIdentityIsStoredBeforeItIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &slowDisk{done: make(chan struct{})}
		c, err := loadCredentials(testNode, testSecret, st)
		if err != nil {
			t.Fatal(err)
		}
		token := nodeToken(testNode, "new", time.Now(), time.Hour)
		var handed atomic.Bool
		c.watch(func(got string) {
			p, _ := st.load()
			handed.Store(got == token && p.Identity == token)
		})
		go func() {
			if err := c.accept(answer{identity: token, registered: true}); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		if c.token() != testSecret || handed.Load() {
			t.Errorf("while it is being stored: presents %s, handed on %t", kind(c.token()), handed.Load())
		}
		close(st.done)
		synctest.Wait()
		if c.token() != token || !handed.Load() {
			t.Errorf("once it is stored: presents %s, handed on %t", kind(c.token()), handed.Load())
		}
	})
}

func TestRegistrationTokens(t *testing.T) {
	const id = "identity"
	for _, tc := range []struct {
		name       string
		saved      persisted
		registered bool
		intro      string
		want       []string
		own        int
	}{
		{"a new node", persisted{}, false, "", []string{""}, 0},
		{"a new node that is introduced insists on it", persisted{}, false, "intro", []string{"intro"}, 0},
		{"a known node", persisted{id, true}, false, "", []string{id, testSecret, ""}, 2},
		{"a known node without identity", persisted{"", true}, false, "", []string{testSecret, ""}, 1},
		{"a known node with an introduction", persisted{id, true}, false, "intro", []string{id, testSecret, "intro", ""}, 2},
		{"a forgotten node keeps its identity for last", persisted{id, false}, false, "", []string{"", id, testSecret}, 0},
		{"a forgotten node with an introduction", persisted{id, false}, false, "intro", []string{"intro", "", id, testSecret}, 0},
		{"a node forgotten since it started", persisted{}, true, "intro", []string{"intro", "", testSecret}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &credentials{nodeID: testNode, secretID: testSecret, saved: tc.saved, registered: tc.registered}
			got, own := c.registrationTokens(tc.intro)
			if diff := cmp.Diff(tc.want, got); diff != "" || own != tc.own {
				t.Errorf("%d own, want %d; tokens -want +got:\n%s", own, tc.own, diff)
			}
		})
	}
}

func TestForgettingIsStored(t *testing.T) {
	st := &memStore{p: persisted{HasRegistered: true}}
	c, err := loadCredentials(testNode, testSecret, st)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.forget(); err != nil {
		t.Fatal(err)
	}
	if p, _ := st.load(); p.HasRegistered {
		t.Error("the store still says that the node has registered")
	}
	if tokens, _ := c.registrationTokens("intro"); len(tokens) != 3 {
		t.Errorf("the process has forgotten that the node was known: %q", tokens)
	}
}

func TestWatchTellsThePresentIdentity(t *testing.T) {
	token := nodeToken(testNode, "present", time.Unix(1<<31, 0), time.Hour)
	c, err := loadCredentials(testNode, testSecret, &memStore{p: persisted{Identity: token}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	c.watch(func(token string) { got = append(got, kind(token)) })
	if diff := cmp.Diff([]string{"present"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
