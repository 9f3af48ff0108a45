package main

import (
	"strings"
	"testing"

	"github.com/rollcall-id/rollcall/structs"
)

func TestGeneratedGossipKeysAreOfFullLengthAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 2 {
		out := mustRun(t, "operator", "gossip", "keyring", "generate")
		key, err := structs.DecodeGossipKey(strings.TrimSuffix(out, "\n"))
		if err != nil || len(key) != gossipKeyBytes || seen[out] {
			t.Errorf("%d bytes, seen before: %v (%v)", len(key), seen[out], err)
		}
		seen[out] = true
	}
}
