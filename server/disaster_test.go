package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/structs"
)

// A cluster is lost, and its last snapshot restored into one that was never part of it.
func TestAFreshClusterTakesASnapshotOnlyWithAllThatItsKeysWereWrappedWith(t *testing.T) {
	first, second := []byte("0123456789abcdef0123456789abcdef"), []byte("89abcdef0123456789abcdef01234567")
	wrong := []byte("fedcba9876543210fedcba9876543210")
	both := func(c *Config) {
		withKEK(c, "first", first)
		c.Keys.Keyring.Wrappers[0].Active = false
		c.Keys.Keyring.Wrappers = append(c.Keys.Keyring.Wrappers, keyring.WrapperConfig{
			Provider: keyring.ProviderAEAD, Name: "second", Active: true, KEK: second,
		})
	}
	pool := newPool(t)
	lost := cluster(t, 1, func(c *Config) {
		c.DataDir = t.TempDir()
		withKEK(c, "first", first)
	})[0]
	n := testNode()
	token := *register(t, pool, lost.RPCAddr(), n, "").SignedIdentity
	lost = upgrade(t, lost, both)
	waitLeader(t, lost)
	rotateKey(t, lost) // so that each of two keys is wrapped by another
	archive, _ := save(t, dialStream(t, pool, lost, "Operator.SnapshotSave"), false)
	keys := keyStates(t, lost)
	if err := lost.Shutdown(); err != nil {
		t.Fatal(err)
	}

	for name, edit := range map[string]func(*Config){
		"another key":                func(c *Config) { withKEK(c, "first", wrong) },
		"no key":                     func(*Config) {},
		"the key under another name": func(c *Config) { withKEK(c, "elsewhere", first) },
		"only the first of two":      func(c *Config) { withKEK(c, "first", first) },
		"only the second of two":     func(c *Config) { withKEK(c, "second", second) },
	} {
		t.Run(name, func(t *testing.T) {
			s := cluster(t, 1, func(c *Config) {
				c.DataDir = t.TempDir()
				edit(c)
			})[0]
			own := register(t, pool, s.RPCAddr(), testNode(), "")
			before, err := s.fsm.State().Digest()
			if err != nil {
				t.Fatal(err)
			}
			published := jwksOf(t, s.keyring.JWKS())
			reply := restore(t, dialStream(t, pool, s, "Operator.SnapshotRestore"), archive, structs.StreamEOF)
			for _, text := range []string{"nothing was changed", "root key", "key-encryption key"} {
				if reply.ErrorCode != 400 || !strings.Contains(reply.ErrorMsg, text) {
					t.Errorf("answer %+v, want 400 and %q", reply, text)
				}
			}
			if after, err := s.fsm.State().Digest(); err != nil || after != before {
				t.Errorf("the state changed: %v", err)
			}
			if got := jwksOf(t, s.keyring.JWKS()); len(got) != 1 || len(published) != 1 {
				t.Errorf("%d keys are published, before it was %d", len(got), len(published))
			}
			if own.SignedIdentity == nil {
				t.Fatal("no identity")
			}
			if register(t, pool, s.RPCAddr(), testNode(), "").SignedIdentity == nil {
				t.Error("nothing is issued after the refusal")
			}
		})
	}

	t.Run("both keys", func(t *testing.T) {
		servers := cluster(t, 3, func(c *Config) {
			c.DataDir = t.TempDir()
			both(c)
		})
		if reply := restore(t, dialStream(t, pool, servers[0], "Operator.SnapshotRestore"), archive, structs.StreamEOF); reply.ErrorMsg != "" {
			t.Fatalf("restore: %s", reply.ErrorMsg)
		}
		for _, s := range servers {
			eventually(t, "the keys of the lost cluster on "+s.cfg.NodeName, func() error {
				got, want := slices.Sorted(slices.Values(loadedKeys(s))), slices.Sorted(maps.Keys(keys))
				if !slices.Equal(got, want) {
					return fmt.Errorf("loaded %v, want %v", got, want)
				}
				return nil
			})
		}
		reply, err := heartbeat(pool, t, servers[2].RPCAddr(), n.ID, token, true)
		if err != nil || reply.SignedIdentity == nil {
			t.Errorf("the node's identity of before: %v", err)
		}
	})
}
