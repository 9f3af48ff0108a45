package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	gossipKeysFile = "serf.keyring" // wire.md §8.1
	// maxGossipKeysFile and maxGossipKeys bound the file; each message is tried with all of them.
	maxGossipKeysFile = 64 << 10
	maxGossipKeys     = 128
)

// gossipKeys returns the keys of the gossip pool, the first of which encrypts; nil for a pool in clear. They are those of the
// file, which follows every change that is made while servers run, or else the configured one, which begins the file.
func (s *Server) gossipKeys() (*memberlist.Keyring, error) {
	path := s.gossipKeysPath()
	keys, err := readGossipKeys(path)
	if err != nil {
		return nil, fmt.Errorf("gossip keys in %s: %w; put back the file of another server, or remove it to begin with server.encrypt", path, err)
	}
	configured := s.cfg.Gossip.EncryptKey
	if keys == nil && configured == nil {
		return nil, nil
	}
	if keys == nil {
		keys = [][]byte{configured}
		if err := writeGossipKeys(path, keys); err != nil {
			return nil, fmt.Errorf("save gossip keys: %w", err)
		}
	} else if configured != nil && !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, configured) }) {
		s.log.Warn("server.encrypt is not used: the gossip keys have been changed since, and those of the file count", "file", path)
	}
	ring, err := memberlist.NewKeyring(keys, keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	return ring, nil
}

// gossipKeysPath is empty for a server that keeps everything in memory.
func (s *Server) gossipKeysPath() string {
	if s.cfg.DataDir == "" {
		return ""
	}
	return filepath.Join(s.cfg.DataDir, gossipKeysFile)
}

// readGossipKeys reads a file of keys; nil if there is none. No error holds any of its content.
func readGossipKeys(path string) ([][]byte, error) {
	if path == "" {
		return nil, nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxGossipKeysFile:
		return nil, fmt.Errorf("not a regular file of at most %d bytes", maxGossipKeysFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseGossipKeys(text)
}

func parseGossipKeys(text []byte) ([][]byte, error) {
	var encoded []string
	if err := json.Unmarshal(text, &encoded); err != nil {
		return nil, errors.New("not a JSON list of keys")
	}
	if len(encoded) == 0 || len(encoded) > maxGossipKeys {
		return nil, fmt.Errorf("%d keys, want 1 to %d", len(encoded), maxGossipKeys)
	}
	keys := make([][]byte, len(encoded))
	for i, e := range encoded {
		var err error
		if keys[i], err = structs.DecodeGossipKey(e); err != nil {
			return nil, fmt.Errorf("key %d is not 16, 24 or 32 bytes in base64", i+1)
		}
	}
	return keys, nil
}

// writeGossipKeys replaces the file as a whole; the gossip library does so later on.
func writeGossipKeys(path string, keys [][]byte) error {
	if path == "" {
		return nil
	}
	encoded := make([]string, len(keys))
	for i, k := range keys {
		encoded[i] = base64.StdEncoding.EncodeToString(k)
	}
	text, err := json.MarshalIndent(encoded, "", "  ")
	if err != nil {
		return err
	}
	return writeFileSync(path, text, 0o600)
}

// errNotEncrypted is the answer to operations on keys that a pool in clear does not have.
var errNotEncrypted = structs.Coded(400, "gossip is not encrypted; set server.encrypt on every server and restart them")

// ListGossipKeys asks all servers which keys they have. It takes as long as the slowest of them, up to some seconds.
func (s *Server) ListGossipKeys() (*structs.GossipKeysResponse, error) {
	return s.gossipKeyOp("list", "", func(m *serf.KeyManager, _ string) (*serf.KeyResponse, error) { return m.ListKeys() })
}

// InstallGossipKey gives all servers another key to decrypt with.
func (s *Server) InstallGossipKey(key string) (*structs.GossipKeysResponse, error) {
	return s.gossipKeyOp("install", key, (*serf.KeyManager).InstallKey)
}

// UseGossipKey makes all servers encrypt with a key that they have.
func (s *Server) UseGossipKey(key string) (*structs.GossipKeysResponse, error) {
	return s.gossipKeyOp("use", key, (*serf.KeyManager).UseKey)
}

// RemoveGossipKey takes a key that does not encrypt from all servers.
func (s *Server) RemoveGossipKey(key string) (*structs.GossipKeysResponse, error) {
	return s.gossipKeyOp("remove", key, (*serf.KeyManager).RemoveKey)
}

func (s *Server) gossipKeyOp(what, key string, op func(*serf.KeyManager, string) (*serf.KeyResponse, error)) (*structs.GossipKeysResponse, error) {
	if !s.gossip.serf.EncryptionEnabled() {
		return nil, errNotEncrypted
	}
	if key != "" || what != "list" {
		if _, err := structs.DecodeGossipKey(key); err != nil {
			return nil, structs.Coded(400, "%w", err)
		}
	}
	r, err := op(s.gossip.serf.KeyManager(), key)
	if err != nil {
		return nil, fmt.Errorf("%s gossip key: %w%s", what, err, serversSaid(r.Messages))
	}
	s.log.Info("gossip keys", "operation", what, "servers", r.NumNodes)
	return &structs.GossipKeysResponse{Messages: r.Messages, Keys: r.Keys, NumNodes: r.NumNodes}, nil
}

// serversSaid lists what servers answered.
func serversSaid(messages map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(messages)) {
		if messages[name] != "" {
			fmt.Fprintf(&b, "; %s: %s", name, messages[name])
		}
	}
	return b.String()
}
