package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-memdb"
	"github.com/hashicorp/go-uuid"

	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// keyRetry is the pause before the table is read again after an error.
const keyRetry = 5 * time.Second

// watchKeys keeps the keyring in step with the replicated keys, on every server, until the server stops. Keys
// are unwrapped here and not where commands are applied, so that one that can't be opened delays nothing.
func (s *Server) watchKeys() {
	for {
		ws := memdb.NewWatchSet()
		err, judged := s.loadKeys(ws), true
		if err != nil {
			s.log.Error("root keys not read", "error", err)
		} else if judged, err = s.checkKeys(s.ctx); err != nil {
			s.fail(err)
		}
		for {
			wait := s.keyring.Retry(s.ctx)
			switch {
			case err != nil:
				wait = keyRetry
			case !judged:
				wait = keyJudge
			}
			ctx, cancel := s.ctx, context.CancelFunc(func() {})
			if wait > 0 {
				ctx, cancel = context.WithTimeout(s.ctx, wait)
			}
			changed := ws.WatchCtx(ctx) == nil
			cancel()
			if changed || err != nil || !judged || s.ctx.Err() != nil {
				break
			}
		}
		if s.ctx.Err() != nil {
			return
		}
	}
}

// loadKeys hands the replicated keys of this moment to the keyring; ws may be nil.
func (s *Server) loadKeys(ws memdb.WatchSet) error {
	s.keysMu.Lock()
	defer s.keysMu.Unlock()
	st := s.fsm.State()
	if ws != nil {
		ws.Add(st.AbandonCh())
	}
	keys, err := rootKeys(st, ws)
	if err != nil {
		return err
	}
	s.keyring.Set(s.ctx, keys)
	s.warnOfClearKeys(keys)
	return nil
}

// warnOfClearKeys says at every start, and when keys come in, what whoever gets a snapshot could do with them.
func (s *Server) warnOfClearKeys(keys []*structs.RootKey) {
	if s.cfg.DataDir == "" {
		return // nothing is kept that could be stolen
	}
	var exposed []string
	for _, k := range keys {
		if slices.ContainsFunc(k.WrappedKeys, func(w *structs.WrappedKey) bool { return w != nil && len(w.KeyEncryptionKey) > 0 }) {
			exposed = append(exposed, k.KeyID)
		}
	}
	if len(exposed) == 0 {
		return
	}
	s.warnClear.Do(func() {
		todo := "run 'rollcall operator root keyring rewrap', then rotate, for older snapshots and logs still hold them in this form"
		if s.keyring.StoresClear() {
			todo = "make a key with 'rollcall operator root keyring kek generate', name it in a keyring block of every server (kek_file or kek_credential), restart the servers one after the other, and " + todo
		}
		s.log.Warn("root keys are stored with what opens them beside them: whoever reads a snapshot or a server's disk can sign any identity", "keys", len(exposed), "todo", todo)
	})
}

func rootKeys(st *state.Store, ws memdb.WatchSet) ([]*structs.RootKey, error) {
	seq, err := st.RootKeys(ws)
	if err != nil {
		return nil, fmt.Errorf("list root keys: %w", err)
	}
	var keys []*structs.RootKey
	for k := range seq {
		keys = append(keys, k)
	}
	return keys, nil
}

// endpointKeyring is the keyring as endpoints use it.
type endpointKeyring struct {
	*keyring.Keyring
	issuer string
	// mayWrap is asked before a key is made.
	mayWrap func() error
}

var _ rpc.Keyring = endpointKeyring{}

// Sign waits a little for an active key that is being unwrapped: no registration has to fail over a rotation.
func (k endpointKeyring) Sign(c *structs.IdentityClaims) (string, string, error) {
	signed, err := k.Keyring.SignWait(context.Background(), c)
	return signed.Token, signed.KeyID, err
}

// Verify waits a little for a key that is being unwrapped.
func (k endpointKeyring) Verify(ctx context.Context, token string, now time.Time) (*structs.IdentityClaims, error) {
	return k.Keyring.VerifyWait(ctx, token, now)
}

func (k endpointKeyring) NewRootKey(state structs.KeyState, now time.Time, publish int64) (*structs.RootKey, error) {
	if err := k.mayWrap(); err != nil {
		return nil, err
	}
	id, err := uuid.GenerateUUID()
	if err != nil {
		return nil, fmt.Errorf("make root key ID: %w", err)
	}
	return k.Keyring.NewRootKey(keyring.KeySpec{ID: id, Now: now, State: state, PublishTime: publishTime(publish)})
}

func (k endpointKeyring) Discovery() *structs.OIDCDiscovery { return keyring.Discovery(k.issuer) }

// publishTime turns Unix ns into a time, 0 into none.
func publishTime(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
