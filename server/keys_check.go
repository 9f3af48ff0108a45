package server

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/structs"
)

// keyJudge is the pause before a server that can open no root key looks again whether its keys are those of the cluster.
const keyJudge = 500 * time.Millisecond

// logWait is how long a starting server waits for the first root key of its log.
const logWait = 5 * time.Second

// waitForLog waits for a root key of the log that this server has, so that a wrong key-encryption key ends the start before anything
// is served. A log is applied once a leader has said how far it counts; without one the server starts all the same.
func (s *Server) waitForLog(ctx context.Context) error {
	if s.raft.LastIndex() == 0 {
		return nil // it has never been part of a cluster
	}
	ctx, cancel := context.WithTimeout(ctx, logWait)
	defer cancel()
	for {
		st, ws := s.fsm.State(), memdb.NewWatchSet()
		ws.Add(st.AbandonCh())
		keys, err := rootKeys(st, ws)
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			return s.loadKeys(nil)
		}
		if ws.WatchCtx(ctx) != nil {
			return nil
		}
	}
}

// checkKeys refuses to go on when no root key can be opened and one of them was wrapped with a key-encryption
// key of this project's own configuration. Such a server would issue under a new key while it takes every
// identity issued before for forged. Keys of other providers, as in a snapshot from elsewhere, are no reason.
//
// The keys that count are those of the cluster. A server that was away while they were moved to another provider begins with
// the old copies and needs nothing that opens those. While it has not caught up there is no judgement.
func (s *Server) checkKeys(ctx context.Context) (judged bool, err error) {
	if err := s.judgeKeys(); err == nil {
		return true, nil
	}
	if !s.hasKeysOfCluster(ctx) {
		return false, nil
	}
	if err := s.loadKeys(nil); err != nil {
		return false, err
	}
	if err := s.keyring.WaitReady(ctx); err != nil {
		return false, nil
	}
	return true, s.judgeKeys()
}

// judgeKeys is checkKeys of the keys that this server has now, whatever they are.
func (s *Server) judgeKeys() error {
	ok, _, failed := s.keyring.Ready()
	keys, err := rootKeys(s.fsm.State(), nil)
	if err != nil || !ok || len(failed) < len(keys) {
		return err
	}
	for _, k := range keys {
		if err := failed[k.KeyID]; err != nil && wrappedByKEK(k) {
			return fmt.Errorf("open root key %s with the configured key-encryption keys: %w; give this server the key (kek_file or kek_credential) that the cluster's keys were wrapped with", k.KeyID, err)
		}
	}
	return nil
}

// hasKeysOfCluster reports whether the root keys here are those that the leader has; false as well if nobody leads or it does
// not say.
func (s *Server) hasKeysOfCluster(ctx context.Context) bool {
	addr, id := s.raft.LeaderWithID()
	switch string(id) {
	case "":
		return false
	case s.id:
		return s.barrier() == nil
	}
	ctx, cancel := context.WithTimeout(ctx, peerStatusLimit)
	defer cancel()
	leader := &structs.KeyringServerStatus{ID: string(id), Address: string(addr)}
	s.askKeyringStatus(ctx, leader)
	keys, err := rootKeys(s.fsm.State(), nil)
	if leader.Error != "" || err != nil {
		return false
	}
	theirs, ours := map[string]bool{}, map[string]bool{} // copies by ID
	for _, k := range leader.Keys {
		for _, c := range k.Copies {
			theirs[k.KeyID+c.ID] = true
		}
	}
	for _, k := range keys {
		for i, w := range k.WrappedKeys {
			if w != nil {
				ours[k.KeyID+keyring.CopyID(k, i)] = true
			}
		}
	}
	return maps.Equal(theirs, ours)
}

// wrappedByKEK reports whether every copy of the key was wrapped by aead with a key that is not stored beside it.
func wrappedByKEK(k *structs.RootKey) bool {
	for _, w := range k.WrappedKeys {
		if w == nil {
			return false // not written by this project
		}
		provider, _, _ := strings.Cut(w.ProviderID, ".")
		if provider != keyring.ProviderAEAD || len(w.KeyEncryptionKey) > 0 {
			return false
		}
	}
	return len(k.WrappedKeys) > 0
}
