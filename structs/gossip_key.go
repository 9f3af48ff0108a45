package structs

import (
	"encoding/base64"
	"errors"
)

// GossipKeysResponse is what the servers of the gossip pool answered to an operation on its keys (wire.md §5.4).
type GossipKeysResponse struct {
	// Messages are what servers had to say besides, by their names.
	Messages map[string]string
	// Keys counts the servers that have a key, by its base64 form. It is filled by a listing only.
	Keys map[string]int
	// NumNodes is how many servers there are.
	NumNodes int
}

// GossipKeyRequest is the body of an operation on one key. Key is a secret.
type GossipKeyRequest struct{ Key string }

var errGossipKey = errors.New("a gossip key is 16, 24 or 32 bytes in standard base64; 'rollcall operator gossip keyring generate' makes one")

// DecodeGossipKey reads a key; the error does not hold it.
func DecodeGossipKey(text string) ([]byte, error) {
	if len(text) > 64 {
		return nil, errGossipKey
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errGossipKey
	}
	switch len(key) {
	case 16, 24, 32:
		return key, nil
	}
	return nil, errGossipKey
}
