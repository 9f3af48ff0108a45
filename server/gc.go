package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	// keyStepsPerRun bounds how much one look at the keys may do, should a plan never be satisfied.
	keyStepsPerRun = 16
	// keyLoadWait is how long to wait for a new key to be usable on this server.
	keyLoadWait = 10 * time.Second
)

// collectNodes removes the nodes that have been down for the threshold or longer, but none whose identity may still
// verify: with its record would go what keeps the key that signed it.
func (s *Server) collectNodes(_ context.Context, threshold time.Duration) error {
	now := s.cfg.Clock()
	before := now.Add(-threshold).Unix()
	return s.removeNodes(threshold, func(n *structs.Node) bool { return n.StatusUpdatedAt <= before && !holdsIdentity(n, now) })
}

// collectNodesNow removes the nodes that are down, whatever identities they hold: an operator has asked for it.
func (s *Server) collectNodesNow(threshold time.Duration) error {
	before := s.cfg.Clock().Add(-threshold).Unix()
	return s.removeNodes(threshold, func(n *structs.Node) bool { return n.StatusUpdatedAt <= before })
}

// holdsIdentity reports whether an identity of a node that is down can still verify. Of one whose lifetime is not
// known it is not said.
func holdsIdentity(n *structs.Node, now time.Time) bool {
	return n.IdentitySigningKeyID != "" && n.IdentityTTL > 0 && n.UsesKey(n.IdentitySigningKeyID, now.Unix())
}

// removeNodes removes the nodes that are down and fit.
func (s *Server) removeNodes(threshold time.Duration, fits func(*structs.Node) bool) error {
	nodes, err := s.fsm.State().Nodes(nil)
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	var ids []string
	for n := range nodes {
		if n.Status == structs.NodeStatusDown && fits(n) {
			ids = append(ids, n.ID)
		}
	}
	for len(ids) > 0 {
		part := ids[:min(len(ids), structs.MaxNodesPerDeregister)]
		ids = ids[len(part):]
		req := &structs.NodeBatchDeregisterRequest{NodeIDs: part, WriteRequest: structs.WriteRequest{Region: s.cfg.Region}}
		if _, err := (applier{s}).Apply(structs.NodeBatchDeregisterMsg, req); err != nil {
			return fmt.Errorf("remove %d nodes that are down: %w", len(part), err)
		}
		s.heartbeats.Clear(part...)
		s.log.Info("removed nodes that were down for long", "nodes", len(part), "threshold", threshold)
	}
	return nil
}

// ensureRootKey makes the first root key, and another if the active one is of no use to this server. It loads the
// keys first: one that the watcher has not come to yet would look like one that can't be used.
func (s *Server) ensureRootKey(ctx context.Context) error {
	if err := s.loadKeys(nil); err != nil {
		return err
	}
	if err := s.judgeKeys(); err != nil {
		s.fail(err) // all that was committed is applied here
		return err
	}
	if err := s.maintainKeys(ctx); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, keyLoadWait)
	defer cancel()
	if err := s.keyring.WaitReady(wait); err != nil {
		s.log.Warn("some root keys are not loaded yet", "error", err)
	}
	return nil
}

// maintainKeys does what the plan says is due, one step after the other, until nothing is. One call at a time: two
// that plan from the same keys would both make the next one.
func (s *Server) maintainKeys(ctx context.Context) error {
	s.upkeepMu.Lock()
	defer s.upkeepMu.Unlock()
	for range keyStepsPerRun {
		if err := s.lease.check(ctx); err != nil {
			return err
		}
		action, err := s.planKeys()
		if err != nil || action.Kind == keyring.ActionNone {
			return err
		}
		if err := s.stepKeys(ctx, action); err != nil {
			return fmt.Errorf("%s root key: %w", action.Kind, err)
		}
	}
	return nil
}

func (s *Server) planKeys() (keyring.Action, error) {
	st := s.fsm.State()
	keys, err := rootKeys(st, nil)
	if err != nil {
		return keyring.Action{}, err
	}
	now := s.cfg.Clock()
	var failed error
	action := keyring.Plan(now, s.cfg.Keys.Policy, keys, keyring.Facts{
		Usable: s.keyring.Usable,
		InUse: func(id string) bool {
			used, err := st.KeyInUse(id, now.Unix())
			failed = errors.Join(failed, err)
			return used || err != nil
		},
		Encrypts: func(id string) bool {
			users, err := st.KeyUsers(id, now.Unix())
			failed = errors.Join(failed, err)
			return users.Foreign > 0 || err != nil
		},
	})
	return action, failed
}

func (s *Server) stepKeys(ctx context.Context, a keyring.Action) error {
	s.log.Info("root key due", "action", a.Kind, "reason", a.Reason, "key_id", a.KeyID, "keys", len(a.KeyIDs))
	switch a.Kind {
	case keyring.ActionCreate:
		if a.KeyID != "" {
			if err := s.yieldTo(ctx, a.KeyID); err != nil {
				return err
			}
		}
		return s.makeKey(ctx, structs.KeyStateActive, 0)
	case keyring.ActionPrepublish:
		return s.makeKey(ctx, structs.KeyStatePrepublished, a.PublishTime.UnixNano())
	case keyring.ActionPromote:
		return s.setKeyState(ctx, a.KeyID, structs.KeyStateActive)
	case keyring.ActionFinishRekey:
		return s.setKeyState(ctx, a.KeyID, structs.KeyStateInactive)
	case keyring.ActionDelete:
		for _, id := range a.KeyIDs {
			req := &structs.KeyringDeleteRequest{KeyID: id, At: s.cfg.Clock().Unix(), WriteRequest: structs.WriteRequest{Region: s.cfg.Region}}
			if _, err := (applier{s}).Apply(structs.RootKeyDeleteMsg, req); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeKey makes a key and waits until this server has it.
func (s *Server) makeKey(ctx context.Context, state structs.KeyState, publish int64) error {
	key, err := s.endpointKeyring().NewRootKey(state, s.cfg.Clock(), publish)
	if err != nil {
		return err
	}
	if _, err := (applier{s}).Apply(structs.RootKeyUpsertMsg, &structs.RootKeyUpsertRequest{WrappedRootKeys: key}); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, keyLoadWait)
	defer cancel()
	return s.keyring.WaitLoaded(wait, key.KeyID)
}

// setKeyState changes the state of a key as it is, whatever other changes come in between.
func (s *Server) setKeyState(ctx context.Context, id string, state structs.KeyState) error {
	return s.changeKey(ctx, id, func(key *structs.RootKey) (*structs.RootKey, error) {
		next := key.Copy()
		next.State = state
		return next, nil
	})
}
