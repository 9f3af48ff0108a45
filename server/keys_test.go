package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/structs"
)

// testClock is the time, moved by hand.
type testClock struct{ ahead atomic.Int64 }

func (c *testClock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *testClock) set(ahead time.Duration) { c.ahead.Store(int64(ahead)) }

func rotateKey(t *testing.T, s *Server) string {
	t.Helper()
	var out structs.KeyringRotateResponse
	req := &structs.KeyringRotateRequest{WriteRequest: structs.WriteRequest{Region: testRegion}}
	if err := s.RPC(t.Context(), "Keyring.Rotate", req, &out); err != nil {
		t.Fatal(err)
	}
	return out.Key.KeyID
}

// keyStates are the states of the replicated keys by ID.
func keyStates(t *testing.T, s *Server) map[string]structs.KeyState {
	t.Helper()
	keys, err := rootKeys(s.fsm.State(), nil)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]structs.KeyState{}
	for _, k := range keys {
		out[k.KeyID] = k.State
	}
	return out
}

func activeKey(t *testing.T, s *Server) string {
	t.Helper()
	k, err := s.fsm.State().ActiveRootKey(nil)
	if err != nil || k == nil {
		t.Fatalf("active key: %v, %v", k, err)
	}
	return k.KeyID
}

func TestEveryServerFollowsARotation(t *testing.T) {
	servers := cluster(t, 3, nil)
	want := []string{activeKey(t, waitLeader(t, servers...))}
	for i := range 3 {
		want = append(want, rotateKey(t, servers[i]))
	}
	slices.Sort(want)
	eventually(t, "the keys on every server", func() error {
		for _, s := range servers {
			if got := loadedKeys(s); !slices.Equal(got, want) {
				return fmt.Errorf("%s has loaded %v, want %v", s.cfg.NodeName, got, want)
			}
		}
		return nil
	})
}

func TestAKeyThatCannotBeOpenedHoldsNothingUpAndIsTriedAgain(t *testing.T) {
	s := cluster(t, 1, quietly)[0]
	pool := newPool(t)
	bad := &structs.RootKey{
		KeyID: newUUID(), State: structs.KeyStateInactive, Algorithm: structs.EncryptionAlgorithmAES256GCM,
		CreateTime: time.Now().UnixNano(), WrappedKeys: []*structs.WrappedKey{{
			Provider: "transit", ProviderID: "transit", WrappedDataEncryptionKey: &structs.BlobInfo{Ciphertext: []byte("of a provider we lack, long enough")},
		}},
	}
	if _, err := (applier{s}).Apply(structs.RootKeyUpsertMsg, &structs.RootKeyUpsertRequest{WrappedRootKeys: bad}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the attempt to open it", func() error {
		if _, _, failed := s.keyring.Ready(); failed[bad.KeyID] == nil {
			return errors.New("not tried")
		}
		return nil
	})
	register(t, pool, s.RPCAddr(), testNode(), "")
	next := rotateKey(t, s)
	if reply := register(t, pool, s.RPCAddr(), testNode(), ""); reply.SignedIdentity == nil {
		t.Error("no identity")
	}
	eventually(t, "the new key beside the bad one", func() error {
		if got := loadedKeys(s); !slices.Contains(got, next) {
			return fmt.Errorf("loaded %v", got)
		}
		return nil
	})
	// A key of a provider that is not ours is no reason to stop.
	select {
	case err := <-s.Failed():
		t.Errorf("the server gave up: %v", err)
	default:
	}
	// Retries come at growing pauses; the watcher holds one due whatever else happens.
	if wait := s.keyring.Retry(t.Context()); wait <= 0 || wait > time.Minute {
		t.Errorf("next try in %v", wait)
	}
}

func TestKeysAreRotatedAndCollectedInTheirTime(t *testing.T) {
	var clock testClock
	s := cluster(t, 1, func(c *Config) { c.Clock = clock.now })[0]
	pool := newPool(t)
	first := activeKey(t, s)
	at := func(d time.Duration) map[string]structs.KeyState {
		t.Helper()
		clock.set(d)
		if err := s.maintainKeys(t.Context()); err != nil {
			t.Fatalf("at %v: %v", d, err)
		}
		return keyStates(t, s)
	}
	only := func(states map[string]structs.KeyState, want structs.KeyState) string {
		t.Helper()
		for id, st := range states {
			if st == want {
				return id
			}
		}
		t.Fatalf("no key is %s: %v", want, states)
		return ""
	}

	if got := at(359 * time.Hour); len(got) != 1 {
		t.Fatalf("before half the threshold: %v", got)
	}
	got := at(361 * time.Hour)
	second := only(got, structs.KeyStatePrepublished)
	if len(got) != 2 || got[first] != structs.KeyStateActive {
		t.Fatalf("past half the threshold: %v", got)
	}
	if got := at(719 * time.Hour); got[second] != structs.KeyStatePrepublished || len(got) != 2 {
		t.Fatalf("before the publish time: %v", got)
	}
	n := testNode()
	register(t, pool, s.RPCAddr(), n, "") // signed by the first key, good for a day after the node was last heard of
	s.heartbeats.Clear(n.ID)
	s.markNodesDown([]string{n.ID})
	got = at(721*time.Hour - time.Minute)
	if got[second] != structs.KeyStateActive || got[first] != structs.KeyStateInactive || activeKey(t, s) != second {
		t.Fatalf("past the publish time: %v", got)
	}
	if got := at(722 * time.Hour); got[first] != structs.KeyStateInactive {
		t.Fatalf("a key in use was deleted: %v", got)
	}
	if got := at(719*time.Hour + 23*time.Hour); got[first] != structs.KeyStateInactive {
		t.Fatalf("a key was deleted an hour before its last identity ended: %v", got)
	}
	if got := at(719*time.Hour + 25*time.Hour); got[first] != "" || got[second] != structs.KeyStateActive {
		t.Fatalf("after the last identity has ended: %v", got)
	}
	eventually(t, "the deleted key to leave the keyring", func() error {
		if got := loadedKeys(s); slices.Contains(got, first) || !slices.Contains(got, second) {
			return fmt.Errorf("loaded %v", got)
		}
		return nil
	})
}

func TestKeysThatAreLookedAfterByManyAtOnceAreMadeOnce(t *testing.T) {
	var clock testClock
	s := cluster(t, 1, func(c *Config) { c.Clock = clock.now })[0]
	clock.set(361 * time.Hour)
	done := make(chan error, 16)
	for range cap(done) {
		go func() { done <- s.CollectGarbage(t.Context(), time.Hour) }()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := keyStates(t, s); len(got) != 2 {
		t.Errorf("keys %v, want the active one and its successor", got)
	}
}

// withKEK makes the server wrap its keys by the named key-encryption key; nil means that none is configured.
func withKEK(c *Config, name string, kek []byte) {
	if kek != nil {
		c.Keys.Keyring.Wrappers = []keyring.WrapperConfig{{Provider: keyring.ProviderAEAD, Name: name, Active: true, KEK: kek}}
	}
}

func TestAServerWithTheWrongKeyEncryptionKeyStopsAndMakesNoKeyOfItsOwn(t *testing.T) {
	right, wrong := []byte("0123456789abcdef0123456789abcdef"), []byte("fedcba9876543210fedcba9876543210")
	for _, snapshot := range []bool{false, true} {
		t.Run(fmt.Sprintf("keys in a snapshot: %v", snapshot), func(t *testing.T) {
			dir := t.TempDir()
			run := func(name string, kek []byte) (*Server, error) {
				conf := testConfig(t, "s1", 1)
				quietly(&conf)
				conf.DataDir = dir
				withKEK(&conf, name, kek)
				return New(conf)
			}
			stop := func(s *Server) {
				if err := s.Shutdown(); err != nil {
					t.Error(err)
				}
			}
			s, err := run("", right)
			if err != nil {
				t.Fatal(err)
			}
			waitLeader(t, s)
			want := activeKey(t, s)
			if snapshot {
				if err := s.raft.Snapshot().Error(); err != nil {
					t.Fatal(err)
				}
			}
			stop(s)
			for what, refused := range map[string]func() (*Server, error){
				"another key":                func() (*Server, error) { return run("", wrong) },
				"no key":                     func() (*Server, error) { return run("", nil) },
				"the key under another name": func() (*Server, error) { return run("other", right) },
			} {
				s, err := refused()
				if err == nil {
					t.Errorf("%s: the server runs", what)
					stop(s)
				}
				if err == nil || !strings.Contains(err.Error(), "kek_file") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: reason %v, want one line that names the key and kek_file", what, err)
				}
			}
			s, err = run("", right)
			if err != nil {
				t.Fatal(err)
			}
			waitLeader(t, s)
			if got := activeKey(t, s); got != want || len(keyStates(t, s)) != 1 {
				t.Errorf("with the right key again: active %s, keys %v; want only %s", got, keyStates(t, s), want)
			}
			stop(s)
		})
	}
}

func TestAKeyEncryptionKeyThatIsAddedServesOldKeysToo(t *testing.T) {
	dir := t.TempDir()
	conf := testConfig(t, "s1", 1)
	conf.DataDir = dir
	s, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	waitLeader(t, s)
	old := activeKey(t, s)
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	conf = testConfig(t, "s1", 1)
	conf.DataDir = dir
	withKEK(&conf, "", []byte("0123456789abcdef0123456789abcdef"))
	s = start(t, conf)
	waitLeader(t, s)
	next := rotateKey(t, s)
	k, err := s.fsm.State().RootKeyByID(nil, next)
	if err != nil || len(k.WrappedKeys) != 1 || len(k.WrappedKeys[0].KeyEncryptionKey) != 0 {
		t.Errorf("the new key carries its key-encryption key: %v", err)
	}
	want := []string{old, next}
	slices.Sort(want)
	eventually(t, "both keys", func() error {
		if got := loadedKeys(s); !slices.Equal(got, want) {
			return fmt.Errorf("loaded %v, want %v", got, want)
		}
		return nil
	})
}

// countLog counts the lines of a log that hold a text.
type countLog struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (l *countLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

func (l *countLog) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.lines.String(), text)
}

func TestEveryStartWarnsOfKeysThatOpenThemselves(t *testing.T) {
	const warning = "root keys are stored with what opens them beside them"
	kek := []byte("0123456789abcdef0123456789abcdef")
	dir := t.TempDir()
	run := func(dir string, kek []byte) *countLog {
		t.Helper()
		log := new(countLog)
		conf := testConfig(t, "s1", 1)
		conf.Logger = hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Warn})
		conf.DataDir = dir
		withKEK(&conf, "", kek)
		s, err := New(conf)
		if err != nil {
			t.Fatal(err)
		}
		waitLeader(t, s)
		rotateKey(t, s)
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
		return log
	}
	for range 2 {
		if log := run(dir, nil); log.count(warning) != 1 || log.count("kek generate") != 1 {
			t.Errorf("a start without a key-encryption key logged:\n%s", &log.lines)
		}
	}
	if log := run(dir, kek); log.count(warning) != 1 || log.count("kek generate") != 0 || log.count("rewrap") != 1 {
		t.Errorf("a start with a key-encryption key and old keys logged:\n%s", &log.lines)
	}
	for _, quiet := range []*countLog{run(t.TempDir(), kek), run("", nil)} {
		if quiet.count(warning) != 0 {
			t.Errorf("warned of nothing:\n%s", &quiet.lines)
		}
	}
}
