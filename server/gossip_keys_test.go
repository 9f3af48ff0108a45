package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func gossipKey(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func gossipKeyText(b byte) string { return base64.StdEncoding.EncodeToString(gossipKey(b)) }

// fileOfGossipKeys reads the file of a server.
func fileOfGossipKeys(t *testing.T, dir string) []string {
	t.Helper()
	path := filepath.Join(dir, gossipKeysFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	return keys
}

func TestGossipKeysRotateWhileServersRunAndStay(t *testing.T) {
	dir := t.TempDir()
	servers := cluster(t, 2, func(c *Config) {
		c.Gossip.EncryptKey = gossipKey(1)
		if c.NodeName == "s1" {
			c.DataDir = dir
		}
	})
	s, first, second := servers[0], gossipKeyText(1), gossipKeyText(2)
	must := func(r *structs.GossipKeysResponse, err error) *structs.GossipKeysResponse {
		t.Helper()
		if err != nil || r.NumNodes != 2 {
			t.Fatalf("%+v, %v", r, err)
		}
		return r
	}
	has := func(want map[string]int) {
		t.Helper()
		if diff := cmp.Diff(want, must(s.ListGossipKeys()).Keys); diff != "" {
			t.Errorf("keys (-want +got):\n%s", diff)
		}
	}
	has(map[string]int{first: 2})
	must(s.InstallGossipKey(second))
	has(map[string]int{first: 2, second: 2})
	if _, err := s.RemoveGossipKey(first); err == nil {
		t.Error("the key in use could be removed")
	}
	must(s.UseGossipKey(second))
	must(s.RemoveGossipKey(first))
	has(map[string]int{second: 2})
	if diff := cmp.Diff([]string{second}, fileOfGossipKeys(t, dir)); diff != "" {
		t.Errorf("the file (-want +got):\n%s", diff)
	}
	if _, err := s.UseGossipKey(gossipKeyText(3)); err == nil {
		t.Error("a key that nobody has is in use")
	}
	for _, key := range []string{"", "AAAA", strings.Repeat("A", 100), "%"} {
		_, err := s.InstallGossipKey(key)
		var coded *structs.CodedError
		if !errors.As(err, &coded) || coded.Code != 400 {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

func TestWhichGossipKeysAServerBeginsWith(t *testing.T) {
	first, second := gossipKeyText(1), gossipKeyText(2)
	for _, tc := range []struct {
		name       string
		file       string // not written when empty
		configured []byte
		want       []string // the first encrypts; nil: in clear
		err        string
	}{
		{"none", "", nil, nil, ""},
		{"the configured one", "", gossipKey(1), []string{first}, ""},
		{"those of the file", `["` + second + `", "` + first + `"]`, nil, []string{second, first}, ""},
		{"those of the file, though another is configured", `["` + second + `"]`, gossipKey(1), []string{second}, ""},
		{"an empty file", " ", gossipKey(1), nil, "not a JSON list of keys"},
		{"a list of nothing", "[]", gossipKey(1), nil, "0 keys, want 1 to 128"},
		{"a file cut off", `["` + second, nil, nil, "not a JSON list of keys"},
		{"a key too short", `["` + first + `", "AAAA"]`, nil, nil, "key 2 is not 16, 24 or 32 bytes in base64"},
		{"a file too large", `["` + strings.Repeat("A", maxGossipKeysFile) + `"]`, nil, nil, "not a regular file of at most 65536 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			if tc.file != "" {
				if err := os.WriteFile(filepath.Join(dir, gossipKeysFile), []byte(tc.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := testConfig(t, "s1", 1)
			c.DataDir, c.Gossip.EncryptKey = dir, tc.configured
			s := &Server{cfg: c, log: c.Logger}
			defer c.RPCListener.Close()
			ring, err := s.gossipKeys()
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), second[:8]) {
					t.Errorf("%v, want %s", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			if ring != nil {
				for _, k := range ring.GetKeys() {
					got = append(got, base64.StdEncoding.EncodeToString(k))
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if tc.want != nil && tc.file == "" {
				fileOfGossipKeys(t, dir)
			}
		})
	}
}

func TestAPoolInClearHasNoGossipKeys(t *testing.T) {
	conf := testConfig(t, "s1", 1)
	conf.Gossip.EncryptKey = nil
	s := start(t, conf)
	for name, op := range map[string]func() (*structs.GossipKeysResponse, error){
		"list": s.ListGossipKeys, "install": func() (*structs.GossipKeysResponse, error) { return s.InstallGossipKey(gossipKeyText(1)) },
	} {
		if _, err := op(); !errors.Is(err, errNotEncrypted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzGossipKeysFile(f *testing.F) {
	f.Add([]byte(`["` + gossipKeyText(1) + `"]`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`["AAAA`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseGossipKeys(text)
		for _, k := range keys {
			if n := len(k); err == nil && n != 16 && n != 24 && n != 32 {
				t.Errorf("a key of %d bytes", n)
			}
		}
		if err == nil && len(keys) == 0 {
			t.Error("no key and no error")
		}
	})
}
