package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	// rewrapBudget is how long one step wraps keys before it says how far it is.
	rewrapBudget = 10 * time.Second
	// rewrapTries bounds how often a key that keeps changing is tried in one step.
	rewrapTries = 3
)

// RewrapKeys moves the root keys towards the active provider as far as it can now, and says how far that is. What is left
// to do follows from the keys alone: a step can be cut off anywhere, by the loss of leadership too, and the next goes on.
//
// A key gets a copy by the active provider beside those that it has. Those go once every server has read that copy. Keys
// that are loaded stay loaded all the while.
func (s *Server) RewrapKeys(ctx context.Context, providerID string) (*structs.KeyringRewrapResponse, error) {
	s.rewrapMu.Lock()
	defer s.rewrapMu.Unlock()
	target, err := s.rewrapTarget(ctx, providerID)
	if err != nil {
		return nil, err
	}
	keys, err := rootKeys(s.fsm.State(), nil)
	if err != nil {
		return nil, err
	}
	out := &structs.KeyringRewrapResponse{ProviderID: target.ProviderID, Done: true}
	deadline := time.Now().Add(rewrapBudget)
	waiting := false
	for _, k := range keys {
		p := &structs.RewrapKey{KeyID: k.KeyID, State: k.State, Phase: structs.RewrapPending}
		out.Keys = append(out.Keys, p)
		if time.Now().After(deadline) {
			continue
		}
		if err := s.changeKey(ctx, k.KeyID, func(k *structs.RootKey) (*structs.RootKey, error) { return s.addCopy(ctx, k, target) }); err != nil {
			if errors.Is(err, structs.ErrNoLeader) {
				return nil, err
			}
			p.Phase, p.Error = structs.RewrapFailed, err.Error()
			continue
		}
		p.Phase, waiting = structs.RewrapWaiting, true
	}
	if waiting {
		if err := s.dropCopies(ctx, target, out.Keys); err != nil {
			return nil, err
		}
	}
	return out, s.describeRewrap(out)
}

// rewrapTarget says what the keys are moved to, and refuses what would not end well.
func (s *Server) rewrapTarget(ctx context.Context, providerID string) (keyring.Target, error) {
	target, err := s.keyring.Target(ctx)
	switch {
	case providerID != "" && target.ProviderID != providerID:
		return target, structs.Coded(http.StatusConflict, "the leader's active keyring provider is %s, not %s; restart all servers with the new configuration first", target.ProviderID, providerID)
	case err != nil:
		return target, structs.Coded(http.StatusServiceUnavailable, "the active keyring provider can't be used now: %w", err)
	}
	return target, nil
}

// changeKey has a key changed as it stands in the state, and changed again if another change came in between. A change
// that returns nil leaves the key as it is.
func (s *Server) changeKey(ctx context.Context, id string, change func(*structs.RootKey) (*structs.RootKey, error)) error {
	for try := 1; ; try++ {
		if err := s.lease.check(ctx); err != nil {
			return err
		}
		key, err := s.fsm.State().RootKeyByID(nil, id)
		switch {
		case err != nil:
			return fmt.Errorf("look up root key %s: %w", id, err)
		case key == nil:
			return fmt.Errorf("root key %s: %w", id, structs.ErrRootKeyNotFound)
		}
		next, err := change(key)
		if err != nil || next == nil {
			return err
		}
		req := &structs.RootKeyUpsertRequest{WrappedRootKeys: next, IfIndex: key.ModifyIndex, WriteRequest: structs.WriteRequest{Region: s.cfg.Region}}
		_, err = (applier{s}).Apply(structs.RootKeyUpsertMsg, req)
		if !errors.Is(err, structs.ErrConflict) || try == rewrapTries {
			return err
		}
	}
}

// addCopy has the active provider wrap the key if it has not.
func (s *Server) addCopy(ctx context.Context, key *structs.RootKey, target keyring.Target) (*structs.RootKey, error) {
	if s.keyring.Find(ctx, key, target) >= 0 {
		return nil, nil
	}
	next, err := s.keyring.WrapAgain(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("wrap root key %s again: %w", key.KeyID, err)
	}
	s.log.Info("root key wrapped again", "key_id", key.KeyID, "provider", target.ProviderID, "copies", len(next.WrappedKeys))
	return next, nil
}

// dropCopies drops the old copies of the waiting keys whose new one every server reads.
func (s *Server) dropCopies(ctx context.Context, target keyring.Target, keys []*structs.RewrapKey) error {
	asked, cancel := context.WithTimeout(ctx, peerStatusLimit)
	defer cancel()
	servers, err := s.KeyringStatuses(asked)
	if err != nil {
		return err
	}
	for _, p := range keys {
		if p.Phase != structs.RewrapWaiting {
			continue
		}
		err := s.changeKey(ctx, p.KeyID, func(key *structs.RootKey) (*structs.RootKey, error) {
			at := s.keyring.Find(ctx, key, target)
			if at < 0 {
				return nil, fmt.Errorf("root key %s: the new copy can't be read any more", key.KeyID)
			}
			if len(key.WrappedKeys) == 1 {
				p.Phase = structs.RewrapDone
				return nil, nil
			}
			if p.Waiting = unread(servers, key.KeyID, keyring.CopyID(key, at)); len(p.Waiting) > 0 {
				return nil, nil
			}
			next := key.Copy()
			next.WrappedKeys = next.WrappedKeys[at : at+1]
			p.Phase = structs.RewrapDone
			return next, nil
		})
		switch {
		case errors.Is(err, structs.ErrNoLeader):
			return err
		case err != nil:
			p.Phase, p.Error = structs.RewrapFailed, err.Error()
		case p.Phase == structs.RewrapDone:
			s.log.Debug("root key is wrapped by one provider alone", "key_id", p.KeyID, "provider", target.ProviderID)
		}
	}
	return nil
}

// unread lists the servers that don't read the copy, each with the reason.
func unread(servers []*structs.KeyringServerStatus, keyID, copyID string) []string {
	var out []string
	for _, server := range servers {
		if why := unreadBy(server, keyID, copyID); why != "" {
			out = append(out, server.Name+": "+why)
		}
	}
	return out
}

func unreadBy(server *structs.KeyringServerStatus, keyID, copyID string) string {
	if server.Error != "" {
		return "no answer: " + server.Error
	}
	for _, k := range server.Keys {
		if k.KeyID != keyID {
			continue
		}
		for _, c := range k.Copies {
			switch {
			case c.ID != copyID:
			case c.Readable:
				return ""
			default:
				return c.Error
			}
		}
	}
	return "has not received the new copy yet"
}

// describeRewrap says which providers have wrapped each key now, and whether all is done.
func (s *Server) describeRewrap(out *structs.KeyringRewrapResponse) error {
	st := s.fsm.State()
	for _, p := range out.Keys {
		key, err := st.RootKeyByID(nil, p.KeyID)
		if err != nil {
			return fmt.Errorf("look up root key %s: %w", p.KeyID, err)
		}
		if key == nil { // deleted meanwhile
			p.Phase, p.Error = structs.RewrapDone, ""
			continue
		}
		p.State = key.State
		for _, w := range key.WrappedKeys {
			if w != nil {
				p.Copies = append(p.Copies, keyring.ProviderOf(w))
			}
		}
		out.Done = out.Done && p.Phase == structs.RewrapDone
		out.Index = max(out.Index, key.ModifyIndex)
	}
	return nil
}
