package server

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A server that has on its disk what was before a move, and is configured for what is after it, comes back: the copies that
// it can't open are not the cluster's any more. With a wrong key it is refused all the same.
func TestAServerThatWasAwayDuringAMoveNeedsTheNewKeyAlone(t *testing.T) {
	servers := cluster(t, 3, func(c *Config) {
		quietly(c)
		c.DataDir = t.TempDir()
		wrapBy(aeadBy("kek1", kek1, true))(c)
	})
	waitLeader(t, servers...)
	for i := range servers {
		servers[i] = upgrade(t, servers[i], wrapBy(aeadBy("kek1", kek1, false), aeadBy("kek2", kek2, true)))
		waitLeader(t, servers...)
	}
	leader := waitLeader(t, servers...)
	key := activeKey(t, leader)
	away := 0
	if servers[away] == leader {
		away = 1
	}
	if err := servers[away].raft.Snapshot().Error(); err != nil { // what it begins with next time
		t.Fatal(err)
	}
	rewrapAll(t, "aead.kek2", servers...)

	conf := servers[away].cfg
	if err := servers[away].Shutdown(); err != nil {
		t.Fatal(err)
	}
	run := func(kek []byte) (*Server, error) {
		eventually(t, "the server's port", func() (err error) {
			conf.RPCListener, err = listenAt(conf.RPCAdvertise)
			return err
		})
		wrapBy(aeadBy("kek2", kek, true))(&conf)
		return New(conf)
	}
	s, err := run([]byte("a key that is not the cluster's ..")[:32])
	if err == nil {
		select {
		case err = <-s.Failed():
		case <-time.After(time.Minute):
		}
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	}
	if err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "kek_file") || strings.Contains(err.Error(), "\n") {
		t.Errorf("with a wrong key: %v, want one line that names the root key and kek_file", err)
	}
	if s, err = run(kek2); err != nil {
		t.Fatalf("with the new key alone: %v", err)
	}
	defer func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	}()
	servers[away] = s
	waitLeader(t, servers...)
	eventually(t, "the key on the server that was away", func() error {
		select {
		case err := <-s.Failed():
			t.Fatal(err)
		default:
		}
		if got := loadedKeys(s); len(got) != 1 {
			return fmt.Errorf("loaded %v", got)
		}
		return nil
	})
}
